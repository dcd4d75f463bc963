// Compositing along rays of packed samples; a thread is a ray. Its sums are in the rasterizer's order, so that both
// give the same bits. The usual numbers of channels are known to the compiler, which keeps the sums in registers.
#include "../checks.h"
#include "../math/compositing.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 128;

template <int kChannels>
__global__ void __launch_bounds__(kBlock) composite_rays(nk_composite_params p, Fault *note) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  const SampleRange own = samples_of_ray(p.offsets, ray, p.R, p.S, note);
  composite_ray<kChannels>(p, ray, own.begin, own.end);
}

template <int kChannels>
__global__ void __launch_bounds__(kBlock) composite_rays_vjp(nk_composite_grad_params p, Fault *note) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  const SampleRange own = samples_of_ray(p.offsets, ray, p.R, p.S, note);
  composite_ray_vjp<kChannels>(p, ray, own.begin, own.end);
}

// Calls work(std::integral_constant) with the number of channels, or 0 for an unusual one.
template <class Work>
void with_channels(int channels, Work work) {
  switch (channels) {
    case 1:
      return work(std::integral_constant<int, 1>());
    case 3:
      return work(std::integral_constant<int, 3>());
    case 4:
      return work(std::integral_constant<int, 4>());
    default:
      return work(std::integral_constant<int, 0>());
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_composite_fwd(const nk_composite_params *p) {
  using namespace nk;
  return on_device("nk_composite_fwd", [&] {
    check_rays(p);
    with_channels(p->C, [&](auto channels) {
      NK_LAUNCH(composite_rays<decltype(channels)::value>, blocks(p->R, kBlock), kBlock, 0, *p, fault_note());
    });
  });
}

extern "C" int nk_composite_bwd(const nk_composite_grad_params *p) {
  using namespace nk;
  return on_device("nk_composite_bwd", [&] {
    check_rays(p);
    with_channels(p->C, [&](auto channels) {
      NK_LAUNCH(composite_rays_vjp<decltype(channels)::value>, blocks(p->R, kBlock), kBlock, 0, *p, fault_note());
    });
  });
}
