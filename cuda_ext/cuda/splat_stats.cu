// Densification statistics; a thread is a splat.
#include "../math/splat_stats.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) splat_stats(nk_splat_stats_params p) {
  const int64_t i = thread_number();
  if (i >= p.N || p.splats[i * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] == 0.0f) return;
  p.grad_sum[i] += splat_pull(p.grad_splats + i * NK_SPLAT_SIZE, p.width, p.height);
  p.count[i] += 1.0f;
}

}  // namespace
}  // namespace nk

extern "C" int nk_splat_stats(const nk_splat_stats_params *p) {
  using namespace nk;
  return on_device("nk_splat_stats", [&] { NK_LAUNCH(splat_stats, blocks(p->N, kBlock), kBlock, 0, *p); });
}
