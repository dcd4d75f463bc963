// What proposed weights don't allow; a thread is a ray, and walks its intervals once.
#include "../checks.h"
#include "../math/missed.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 128;

__global__ void __launch_bounds__(kBlock) missed_of_rays(nk_missed_params p) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  p.loss[ray] =
      missed(p.edges + ray * p.N1, p.proposed + ray * p.N, p.N, p.finer + ray * p.M1, p.weights + ray * p.M, p.M);
}

__global__ void __launch_bounds__(kBlock) missed_of_rays_vjp(nk_missed_grad_params p) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  missed_vjp(p.edges + ray * p.N1, p.proposed + ray * p.N, p.N, p.finer + ray * p.M1, p.weights + ray * p.M, p.M,
             p.grad_loss[ray], p.grad_proposed + ray * p.N);
}

}  // namespace
}  // namespace nk

extern "C" int nk_missed_fwd(const nk_missed_params *p) {
  using namespace nk;
  return on_device("nk_missed_fwd", [&] {
    check_missed(p);
    NK_LAUNCH(missed_of_rays, blocks(p->R, kBlock), kBlock, 0, *p);
  });
}

extern "C" int nk_missed_bwd(const nk_missed_grad_params *p) {
  using namespace nk;
  return on_device("nk_missed_bwd", [&] {
    check_missed(p);
    NK_LAUNCH(missed_of_rays_vjp, blocks(p->R, kBlock), kBlock, 0, *p);
  });
}
