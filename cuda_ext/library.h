// What a library says about itself: version, struct sizes, last error. Included by one source of each library.
#pragma once

#include <cstring>

#include "error.h"
#include "nerfkit.h"

namespace nk {
static thread_local std::string last_error;
void set_error(const std::string &message) { last_error = message; }
}  // namespace nk

extern "C" {

int32_t nk_abi_version(void) { return NK_ABI_VERSION; }
const char *nk_error(void) { return nk::last_error.c_str(); }

int64_t nk_params_size(const char *name) {
#define NK_SIZE(type) \
  if (std::strcmp(name, #type) == 0) return sizeof(type);
  NK_SIZE(nk_project_params)
  NK_SIZE(nk_project_grad_params)
  NK_SIZE(nk_bin_params)
  NK_SIZE(nk_fill_params)
  NK_SIZE(nk_rasterize_params)
  NK_SIZE(nk_rasterize_grad_params)
  NK_SIZE(nk_splat_stats_params)
  NK_SIZE(nk_ssim_target_params)
  NK_SIZE(nk_photometric_params)
  NK_SIZE(nk_adam_params)
  NK_SIZE(nk_photo_step_params)
  NK_SIZE(nk_tsdf_mark_params)
  NK_SIZE(nk_tsdf_integrate_params)
  NK_SIZE(nk_cubes_count_params)
  NK_SIZE(nk_cubes_fill_params)
  NK_SIZE(nk_draw_mesh_params)
  NK_SIZE(nk_photo_colors_params)
  NK_SIZE(nk_rays_params)
  NK_SIZE(nk_rays_grad_params)
  NK_SIZE(nk_march_count_params)
  NK_SIZE(nk_march_fill_params)
  NK_SIZE(nk_composite_params)
  NK_SIZE(nk_composite_grad_params)
  NK_SIZE(nk_hash_encode_params)
  NK_SIZE(nk_hash_encode_grad_params)
  NK_SIZE(nk_mlp_params)
  NK_SIZE(nk_mlp_grad_params)
  NK_SIZE(nk_sh_encode_params)
  NK_SIZE(nk_sh_encode_grad_params)
  NK_SIZE(nk_frequency_encode_params)
  NK_SIZE(nk_frequency_encode_grad_params)
  NK_SIZE(nk_resample_params)
  NK_SIZE(nk_distortion_params)
  NK_SIZE(nk_distortion_grad_params)
  NK_SIZE(nk_ray_ranges_params)
  NK_SIZE(nk_intervals_params)
  NK_SIZE(nk_sample_points_params)
  NK_SIZE(nk_to_cube_params)
  NK_SIZE(nk_to_cube_grad_params)
  NK_SIZE(nk_exp_density_params)
  NK_SIZE(nk_exp_density_grad_params)
  NK_SIZE(nk_opacity_params)
  NK_SIZE(nk_opacity_grad_params)
  NK_SIZE(nk_missed_params)
  NK_SIZE(nk_missed_grad_params)
#undef NK_SIZE
  return -1;
}
}
