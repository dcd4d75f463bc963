// Resampling along rays; a thread is a ray, and walks its intervals once.
#include "../checks.h"
#include "../math/resample.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 128;

__global__ void __launch_bounds__(kBlock) resample_kernel(nk_resample_params p, Fault *note) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  if (!resample(p.edges + ray * p.N1, p.weights + ray * p.N, p.N, p.u + ray * p.M, p.M, p.t + ray * p.M))
    report(note, kFaultAscending);
}

}  // namespace
}  // namespace nk

extern "C" int nk_resample(const nk_resample_params *p) {
  using namespace nk;
  return on_device("nk_resample", [&] {
    check_resample(p);
    NK_LAUNCH(resample_kernel, blocks(p->R, kBlock), kBlock, 0, *p, fault_note());
  });
}
