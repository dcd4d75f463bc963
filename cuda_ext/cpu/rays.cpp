// Rays through pixels, and their gradient back to the cameras; a lane is a ray.
//
// In the backward pass each thread has sums of its own for all cameras, over a fixed part of the rays, which are added
// in a fixed order: the same bytes on every run with the same number of threads. They are kept in double precision: all
// pixels of a photo add up in one camera.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "../checks.h"
#include "../error.h"
#include "../math/camera.h"
#include "../nerfkit.h"

namespace nk {
namespace {

// Refuses what the loops could not survive, and says which model is meant.
template <class Params>
int checked_model(const Params *p) {
  for (int64_t r = 0; r < p->R; ++r)
    if (p->camera_index[r] < 0 || p->camera_index[r] >= p->C)
      throw std::invalid_argument("camera_index must be 0 to " + std::to_string(p->C - 1) + ", got " +
                                  std::to_string(p->camera_index[r]) + " for ray " + std::to_string(r));
  return camera_model(p);
}

// The rays from `first` on, with their cameras; lanes past `count` repeat the first.
struct Block {
  int64_t camera[kLanes];
  Mat3<Lanes> rotation;  // world from camera
  Vec3<Lanes> center;
  Lens<Lanes> lens;
  PixelRay<Lanes> ray;

  template <class Params>
  Block(const Params *p, int model, int64_t first, int count) : lens{} {
    for (int lane = 0; lane < kLanes; ++lane) camera[lane] = p->camera_index[first + (lane < count ? lane : 0)];
    const auto pose = [&](int k) { return gather(p->world_from_cam + k, 16); };
    for (int i = 0; i < 3; ++i) rotation.row[i] = {pose(4 * i), pose(4 * i + 1), pose(4 * i + 2)};
    center = {pose(3), pose(7), pose(11)};
    Lanes *const intrinsics[] = {&lens.fx, &lens.fy, &lens.cx, &lens.cy};
    for (int k = 0; k < 4; ++k) *intrinsics[k] = gather(p->intrinsics + k, 4);
    if (p->distortion)
      for (int k = 0; k < 4; ++k) lens.k[k] = gather(p->distortion + k, 4);
    const float *pixels = p->pixels + 2 * first;
    ray =
        pixel_ray(model, lens, p->width, p->height, load_strided(pixels, 2, count), load_strided(pixels + 1, 2, count));
  }

  Lanes gather(const float *column, int64_t width) const {
    Lanes out;
    for (int lane = 0; lane < kLanes; ++lane) out[lane] = column[camera[lane] * width];
    return out;
  }
};

void cast(const nk_rays_params *p, int model, int64_t first, int count) {
  const Block block(p, model, first, count);
  const Vec3<Lanes> *row = block.rotation.row, &d = block.ray.direction;
  store_vectors(p->origins + 3 * first, count, block.center);
  store_vectors(p->directions + 3 * first, count, {dot(row[0], d), dot(row[1], d), dot(row[2], d)});
  store_strided(p->radii + first, 1, count, cone_radius(model, block.lens, p->width, block.ray));
}

// Adds to sums [C, kCameraParameters].
void cast_vjp(const nk_rays_grad_params *p, int model, int64_t first, int count, double *sums) {
  const Block block(p, model, first, count);
  Lanes columns[kCameraParameters];
  camera_ray_vjp(model, block.lens, block.rotation, block.ray, load_vectors(p->grad_origins + 3 * first, count),
                 load_vectors(p->grad_directions + 3 * first, count), columns);
  for (int lane = 0; lane < count; ++lane)
    for (int k = 0; k < kCameraParameters; ++k) sums[block.camera[lane] * kCameraParameters + k] += columns[k][lane];
}

}  // namespace
}  // namespace nk

extern "C" int nk_rays_fwd(const nk_rays_params *p) {
  return nk::guarded("nk_rays_fwd", [&] {
    const int model = nk::checked_model(p);
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t i = 0; i < p->R; i += nk::kLanes)
      nk::cast(p, model, i, static_cast<int>(std::min<int64_t>(nk::kLanes, p->R - i)));
  });
}

extern "C" int nk_rays_bwd(const nk_rays_grad_params *p) {
  return nk::guarded("nk_rays_bwd", [&] {
    const int model = nk::checked_model(p);
    const int64_t blocks = (int64_t(p->R) + nk::kLanes - 1) / nk::kLanes, size = int64_t(p->C) * nk::kCameraParameters;
    std::vector<std::vector<double>> of_thread(p->threads, std::vector<double>(size, 0.0));
#pragma omp parallel for num_threads(p->threads) schedule(static, 1)
    for (int t = 0; t < p->threads; ++t)
      for (int64_t block = blocks * t / p->threads; block < blocks * (t + 1) / p->threads; ++block) {
        const int64_t first = block * nk::kLanes;
        const int count = static_cast<int>(std::min<int64_t>(nk::kLanes, p->R - first));
        nk::cast_vjp(p, model, first, count, of_thread[t].data());
      }
    for (int64_t i = 0; i < size; ++i) {
      double total = 0.0;
      for (const auto &sums : of_thread) total += sums[i];
      const int64_t camera = i / nk::kCameraParameters;
      const int k = static_cast<int>(i % nk::kCameraParameters);
      if (k < nk::kPoseParameters)
        p->grad_world_from_cam[16 * camera + k] = static_cast<float>(total);
      else if (k < nk::kPoseParameters + 4)
        p->grad_intrinsics[4 * camera + k - nk::kPoseParameters] = static_cast<float>(total);
      else if (p->grad_distortion)
        p->grad_distortion[4 * camera + k - nk::kPoseParameters - 4] = static_cast<float>(total);
    }
    for (int64_t camera = 0; camera < p->C; ++camera)
      std::fill_n(p->grad_world_from_cam + 16 * camera + nk::kPoseParameters, 4, 0.0f);
  });
}
