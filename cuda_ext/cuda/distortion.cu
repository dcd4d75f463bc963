// The distortion loss of packed samples; a thread is a ray.
#include "../checks.h"
#include "../math/distortion.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 128;

__global__ void __launch_bounds__(kBlock) distortion_of_rays(nk_distortion_params p, Fault *note) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  const SampleRange own = samples_of_ray(p.offsets, ray, p.R, p.S, note);
  p.loss[ray] = distortion_of_ray(p, own.begin, own.end);
}

__global__ void __launch_bounds__(kBlock) distortion_of_rays_vjp(nk_distortion_grad_params p, Fault *note) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  const SampleRange own = samples_of_ray(p.offsets, ray, p.R, p.S, note);
  distortion_of_ray_vjp(p, p.grad_loss[ray], own.begin, own.end);
}

}  // namespace
}  // namespace nk

extern "C" int nk_distortion_fwd(const nk_distortion_params *p) {
  using namespace nk;
  return on_device("nk_distortion_fwd", [&] {
    check_rays(p);
    NK_LAUNCH(distortion_of_rays, blocks(p->R, kBlock), kBlock, 0, *p, fault_note());
  });
}

extern "C" int nk_distortion_bwd(const nk_distortion_grad_params *p) {
  using namespace nk;
  return on_device("nk_distortion_bwd", [&] {
    check_rays(p);
    NK_LAUNCH(distortion_of_rays_vjp, blocks(p->R, kBlock), kBlock, 0, *p, fault_note());
  });
}
