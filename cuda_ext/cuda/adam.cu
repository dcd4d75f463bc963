// The fused Adam update: memory-bound, so that a thread moves four numbers at a time where they are aligned.
#include "../math/adam.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

// The rate of entry i: lr [L] repeats. A division of 64 bits costs more than the update.
NK_DEVICE float rate_of(const nk_adam_params &p, int64_t i) {
  if (p.L == 1) return p.lr[0];
  return p.P <= 0xffffffff ? p.lr[uint32_t(i) % uint32_t(p.L)] : p.lr[i % p.L];
}

__global__ void __launch_bounds__(kBlock) adam_kernel(nk_adam_params p, AdamStep s, int64_t first) {
  const int64_t i = first + thread_number();
  if (i < p.P) adam(s, rate_of(p, i), p.grad[i], p.param + i, p.m + i, p.v + i);
}

__global__ void __launch_bounds__(kBlock) adam_by_fours(nk_adam_params p, AdamStep s) {
  const int64_t four = thread_number(), i = 4 * four;
  if (i + 4 > p.P) return;
  const float4 g = reinterpret_cast<const float4 *>(p.grad)[four];
  float4 &param = reinterpret_cast<float4 *>(p.param)[four], &m = reinterpret_cast<float4 *>(p.m)[four],
         &v = reinterpret_cast<float4 *>(p.v)[four];
  float4 new_param = param, new_m = m, new_v = v;
  adam(s, rate_of(p, i), g.x, &new_param.x, &new_m.x, &new_v.x);
  adam(s, rate_of(p, i + 1), g.y, &new_param.y, &new_m.y, &new_v.y);
  adam(s, rate_of(p, i + 2), g.z, &new_param.z, &new_m.z, &new_v.z);
  adam(s, rate_of(p, i + 3), g.w, &new_param.w, &new_m.w, &new_v.w);
  param = new_param;
  m = new_m;
  v = new_v;
}

bool aligned(const void *p) { return reinterpret_cast<uintptr_t>(p) % sizeof(float4) == 0; }

}  // namespace
}  // namespace nk

extern "C" int nk_adam(const nk_adam_params *p) {
  using namespace nk;
  return on_device("nk_adam", [&] {
    const AdamStep s = adam_step(p->beta1, p->beta2, p->epsilon, p->step);
    int64_t done = 0;
    if (aligned(p->grad) && aligned(p->param) && aligned(p->m) && aligned(p->v)) {
      NK_LAUNCH(adam_by_fours, blocks(p->P / 4, kBlock), kBlock, 0, *p, s);
      done = p->P / 4 * 4;
    }
    NK_LAUNCH(adam_kernel, blocks(p->P - done, kBlock), kBlock, 0, *p, s, done);
  });
}
