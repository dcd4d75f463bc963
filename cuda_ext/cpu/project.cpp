// Projection of Gaussians to splats and back; a lane is a Gaussian.
#include <algorithm>
#include <cstring>

#include "../error.h"
#include "../math/splat.h"
#include "../nerfkit.h"
#include "transpose.h"

namespace nk {
namespace {

// `count` Gaussians from index i on; the lanes past them repeat nothing and hold a harmless Gaussian.
template <class Params>
Gaussian<Lanes> load_gaussians(const Params *p, int64_t i, int count) {
  Gaussian<Lanes> g;
  g.mean = {load_strided(p->means + 3 * i, 3, count), load_strided(p->means + 3 * i + 1, 3, count),
            load_strided(p->means + 3 * i + 2, 3, count)};
  g.quat = {load_strided(p->quats + 4 * i, 4, count), load_strided(p->quats + 4 * i + 1, 4, count),
            load_strided(p->quats + 4 * i + 2, 4, count), load_strided(p->quats + 4 * i + 3, 4, count)};
  g.scale = {load_strided(p->scales + 3 * i, 3, count), load_strided(p->scales + 3 * i + 1, 3, count),
             load_strided(p->scales + 3 * i + 2, 3, count)};
  return g;
}

// A lane for each row of an array: vector k holds column k of `count` rows, and zero in the lanes past them.
template <int kColumns>
struct Columns {
  alignas(64) float at[kColumns][kLanes];

  Columns(const float *rows, int64_t width, int count) {
    if (count < kLanes) std::memset(at, 0, sizeof(at));
    transpose(rows, width, static_cast<int>(width), count, at[0], kLanes);
  }
  Columns() = default;

  Lanes operator()(int k) const { return load(at[k]); }
  void set(int k, Lanes value) { store(at[k], value); }
  void write(float *rows, int64_t width, int count) const {
    transpose(at[0], kLanes, count, static_cast<int>(width), rows, width);
  }
  // For what is large and read only much later; the thread has to finish these stores.
  void write_past_caches(float *rows, int64_t width, int count) const {
    if (count < kLanes || width % kLanes != 0 || reinterpret_cast<uintptr_t>(rows) % sizeof(Lanes) != 0)
      return write(rows, width, count);
    transpose<true>(at[0], kLanes, count, static_cast<int>(width), rows, width);
  }
};
using SplatColumns = Columns<NK_SPLAT_SIZE>;
using ShColumns = Columns<3 * 16>;

void project_block(const nk_project_params *p, const Camera &cam, int64_t i, int count) {
  const Gaussian<Lanes> g = load_gaussians(p, i, count);
  ProjectionState<Lanes> state;
  const Projected<Lanes> s = project(cam, g, p->antialiased, &state);
  const Lanes opacity = s.coverage * load_strided(p->opacities + i, 1, count);
  const Footprint<Lanes> reach = footprint(s, opacity, p->near, p->width, p->height);
  const Lanes zero = {};
  const Lanes depth = select(reach.visible, s.depth, zero);
  float *out = p->splats + i * NK_SPLAT_SIZE;
  if (!any(reach.visible)) {
    for (int lane = 0; lane < count; ++lane) out[lane * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] = 0.0f;
    return;
  }
  Lanes basis[16], inverse_length;
  sh_basis(p->degree, view_direction(cam, g.mean, &inverse_length), basis);
  const int coefficients = (p->degree + 1) * (p->degree + 1);
  const Vec3<Lanes> color = sh_color(coefficients, basis, ShColumns(p->sh + i * p->K * 3, p->K * 3, count));

  Lanes values[NK_SPLAT_SIZE];
  splat_values(s, opacity, depth, color, reach, values);
  SplatColumns columns;
  for (int k = 0; k < NK_SPLAT_SIZE; ++k) columns.set(k, values[k]);
  columns.write(out, NK_SPLAT_SIZE, count);
  if (p->slopes) {
    store_strided(p->slopes + 2 * i, 2, count, s.slope_x);
    store_strided(p->slopes + 2 * i + 1, 2, count, s.slope_y);
  }
}

void zero_gradients(const nk_project_grad_params *p, int64_t i, int count) {
  std::memset(p->grad_means + 3 * i, 0, sizeof(float) * 3 * count);
  std::memset(p->grad_quats + 4 * i, 0, sizeof(float) * 4 * count);
  std::memset(p->grad_scales + 3 * i, 0, sizeof(float) * 3 * count);
  std::memset(p->grad_opacities + i, 0, sizeof(float) * count);
  std::memset(p->grad_sh + i * p->K * 3, 0, sizeof(float) * 3 * p->K * count);
}

void project_block_vjp(const nk_project_grad_params *p, const Camera &cam, int64_t i, int count) {
  const float *splat_rows = p->splats + i * NK_SPLAT_SIZE;
  const IntLanes drawn = load_strided(splat_rows + NK_SPLAT_DEPTH, NK_SPLAT_SIZE, count) != 0.0f;
  if (!any(drawn)) return zero_gradients(p, i, count);
  const SplatColumns splats(splat_rows, NK_SPLAT_SIZE, count);
  const SplatColumns grads(p->grad_splats + i * NK_SPLAT_SIZE, NK_SPLAT_SIZE, count);
  const Lanes zero = {};
  const auto grad = [&](int k) { return select(drawn, grads(k), zero); };
  const auto slope_grad = [&](int k) {
    return p->grad_slopes ? select(drawn, load_strided(p->grad_slopes + 2 * i + k, 2, count), zero) : zero;
  };

  Gaussian<Lanes> g = load_gaussians(p, i, count);
  ProjectionState<Lanes> state;
  const Projected<Lanes> s = project(cam, g, p->antialiased, &state);
  const Lanes opacity = load_strided(p->opacities + i, 1, count);
  const ProjectedGrad<Lanes> v = {grad(NK_SPLAT_X),
                                  grad(NK_SPLAT_Y),
                                  grad(NK_SPLAT_A),
                                  grad(NK_SPLAT_B),
                                  grad(NK_SPLAT_C),
                                  grad(NK_SPLAT_DEPTH),
                                  slope_grad(0),
                                  slope_grad(1),
                                  opacity * grad(NK_SPLAT_OPACITY),
                                  {grad(NK_SPLAT_NORMAL), grad(NK_SPLAT_NORMAL + 1), grad(NK_SPLAT_NORMAL + 2)}};
  Vec3<Lanes> v_mean, v_scale;
  Quat<Lanes> v_quat;
  project_vjp(cam, g, p->antialiased, s, state, v, &v_mean, &v_quat, &v_scale);

  // Clamped channels pass nothing on.
  const auto color_grad = [&](int c) {
    return select(splats(NK_SPLAT_COLOR + c) > 0.0f, grad(NK_SPLAT_COLOR + c), zero);
  };
  const int64_t width = p->K * 3;
  const ShColumns sh(p->sh + i * width, width, count);
  ShColumns grad_sh;
  v_mean = v_mean + sh_color_vjp<Lanes>(cam, g.mean, p->degree, {color_grad(0), color_grad(1), color_grad(2)}, sh,
                                        [&](int k, Lanes value) { grad_sh.set(k, value); });
  for (int k = 3 * (p->degree + 1) * (p->degree + 1); k < width; ++k) grad_sh.set(k, zero);
  grad_sh.write_past_caches(p->grad_sh + i * width, width, count);

  // Culled lanes may hold infinities: they are set to zero here, not multiplied by it.
  const auto put = [&](float *to, int64_t width, Lanes value) {
    store_strided(to, width, count, select(drawn, value, zero));
  };
  put(p->grad_means + 3 * i, 3, v_mean.x);
  put(p->grad_means + 3 * i + 1, 3, v_mean.y);
  put(p->grad_means + 3 * i + 2, 3, v_mean.z);
  put(p->grad_quats + 4 * i, 4, v_quat.w);
  put(p->grad_quats + 4 * i + 1, 4, v_quat.x);
  put(p->grad_quats + 4 * i + 2, 4, v_quat.y);
  put(p->grad_quats + 4 * i + 3, 4, v_quat.z);
  put(p->grad_scales + 3 * i, 3, v_scale.x);
  put(p->grad_scales + 3 * i + 1, 3, v_scale.y);
  put(p->grad_scales + 3 * i + 2, 3, v_scale.z);
  put(p->grad_opacities + i, 1, s.coverage * grad(NK_SPLAT_OPACITY));
}

}  // namespace
}  // namespace nk

extern "C" int nk_project_fwd(const nk_project_params *p) {
  return nk::guarded("nk_project_fwd", [&] {
    const nk::Camera cam = nk::make_camera(p->cam_from_world, p->intrinsics, p->width, p->height);
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t i = 0; i < p->N; i += nk::kLanes)
      nk::project_block(p, cam, i, std::min<int64_t>(nk::kLanes, p->N - i));
  });
}

extern "C" int nk_project_bwd(const nk_project_grad_params *p) {
  return nk::guarded("nk_project_bwd", [&] {
    const nk::Camera cam = nk::make_camera(p->cam_from_world, p->intrinsics, p->width, p->height);
#pragma omp parallel num_threads(p->threads)
    {
#pragma omp for schedule(static) nowait
      for (int64_t i = 0; i < p->N; i += nk::kLanes)
        nk::project_block_vjp(p, cam, i, std::min<int64_t>(nk::kLanes, p->N - i));
      nk::finish_stores_past_caches();
    }
  });
}
