// Rays through pixels, and their gradient back to the cameras; a thread is a ray.
//
// In the backward pass sums over a camera's rays are atomic, in double precision: in which order they are added changes
// a sum by about 1e-16 of itself, which the rounding to single precision that follows all but never shows. Where a
// warp's rays are of one camera, as in a drawn view, they are first added up within the warp.
#include "../checks.h"
#include "../math/camera.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 128;

struct RayCamera {
  Mat3<float> rotation;  // world from camera
  Vec3<float> center;
  Lens<float> lens;
};

template <class Params>
NK_DEVICE RayCamera camera_at(const Params &p, int64_t camera) {
  const float *m = p.world_from_cam + 16 * camera, *k = p.intrinsics + 4 * camera;
  RayCamera out = {{{{m[0], m[1], m[2]}, {m[4], m[5], m[6]}, {m[8], m[9], m[10]}}},
                   {m[3], m[7], m[11]},
                   {k[0], k[1], k[2], k[3], {}}};
  if (p.distortion)
    for (int i = 0; i < 4; ++i) out.lens.k[i] = p.distortion[4 * camera + i];
  return out;
}

// The camera of a ray, or -1 where there is none of that number.
template <class Params>
NK_DEVICE int64_t camera_of(const Params &p, int64_t ray, Fault *note) {
  const int64_t camera = p.camera_index[ray];
  if (camera >= 0 && camera < p.C) return camera;
  report(note, kFaultCamera, camera, ray, p.C);
  return -1;
}

__global__ void __launch_bounds__(kBlock) cast_rays(nk_rays_params p, int model, Fault *note) {
  const int64_t i = thread_number();
  if (i >= p.R) return;
  const int64_t index = camera_of(p, i, note);
  if (index < 0) return;
  const RayCamera camera = camera_at(p, index);
  const PixelRay<float> ray = pixel_ray(model, camera.lens, p.width, p.height, p.pixels[2 * i], p.pixels[2 * i + 1]);
  const Vec3<float> direction = multiply(camera.rotation, ray.direction);
  float *origin = p.origins + 3 * i, *out = p.directions + 3 * i;
  origin[0] = camera.center.x;
  origin[1] = camera.center.y;
  origin[2] = camera.center.z;
  out[0] = direction.x;
  out[1] = direction.y;
  out[2] = direction.z;
  p.radii[i] = cone_radius(model, camera.lens, p.width, ray);
}

NK_DEVICE void add_to_camera(const float *v, int64_t camera, double *sums) {
  const int64_t first = __shfl_sync(kAllLanes, camera, 0);
  const bool alike = __all_sync(kAllLanes, camera == first) != 0;
  for (int k = 0; k < kCameraParameters; ++k) {
    double sum = v[k];
    if (alike)
      for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(kAllLanes, sum, step);
    if (camera >= 0 && (!alike || threadIdx.x % 32 == 0)) atomicAdd(sums + camera * kCameraParameters + k, sum);
  }
}

// All threads of a warp take part in its sums, also those past the last ray.
__global__ void __launch_bounds__(kBlock) cast_rays_vjp(nk_rays_grad_params p, int model, double *sums, Fault *note) {
  const int64_t i = thread_number(), index = i < p.R ? camera_of(p, i, note) : -1;
  float v[kCameraParameters] = {};
  if (index >= 0) {
    const RayCamera camera = camera_at(p, index);
    const PixelRay<float> ray = pixel_ray(model, camera.lens, p.width, p.height, p.pixels[2 * i], p.pixels[2 * i + 1]);
    const float *o = p.grad_origins + 3 * i, *d = p.grad_directions + 3 * i;
    camera_ray_vjp(model, camera.lens, camera.rotation, ray, Vec3<float>{o[0], o[1], o[2]},
                   Vec3<float>{d[0], d[1], d[2]}, v);
  }
  add_to_camera(v, index, sums);
}

__global__ void __launch_bounds__(kBlock) write_camera_gradients(nk_rays_grad_params p, const double *sums) {
  const int64_t i = thread_number();
  if (i >= int64_t(p.C) * kCameraParameters) return;
  const int64_t camera = i / kCameraParameters;
  const int k = static_cast<int>(i - camera * kCameraParameters), lens = k - kPoseParameters;
  const float value = static_cast<float>(sums[i]);
  if (lens < 0)
    p.grad_world_from_cam[16 * camera + k] = value;
  else if (lens < 4)
    p.grad_intrinsics[4 * camera + lens] = value;
  else if (p.grad_distortion)
    p.grad_distortion[4 * camera + lens - 4] = value;
  if (k < 4) p.grad_world_from_cam[16 * camera + kPoseParameters + k] = 0.0f;  // the last row, 0 0 0 1
}

}  // namespace
}  // namespace nk

extern "C" int nk_rays_fwd(const nk_rays_params *p) {
  using namespace nk;
  return on_device("nk_rays_fwd",
                   [&] { NK_LAUNCH(cast_rays, blocks(p->R, kBlock), kBlock, 0, *p, camera_model(p), fault_note()); });
}

extern "C" int nk_rays_bwd(const nk_rays_grad_params *p) {
  using namespace nk;
  return on_device("nk_rays_bwd", [&] {
    const int model = camera_model(p);
    const int64_t size = int64_t(p->C) * kCameraParameters;
    Scratch scratch;
    double *sums = scratch.take<double>(size);
    fill_zero(sums, sizeof(double) * size);
    NK_LAUNCH(cast_rays_vjp, blocks(p->R, kBlock), kBlock, 0, *p, model, sums, fault_note());
    NK_LAUNCH(write_camera_gradients, blocks(size, kBlock), kBlock, 0, *p, sums);
  });
}
