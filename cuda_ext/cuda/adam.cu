// The fused Adam update: memory-bound, so that a thread moves four numbers at a time where they are aligned.
#include "../checks.h"
#include "../math/adam.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

// The learning rates, which come from the host: part of the launch.
struct Rates {
  float of[NK_ADAM_RATES];
};

// The rates in shared memory, from where each thread takes its own: entry i uses rate i % L. For all threads of a
// block.
NK_DEVICE void share(const Rates &rates, int count, float *shared) {
  if (int(threadIdx.x) < count) shared[threadIdx.x] = rates.of[threadIdx.x];
  __syncthreads();
}

// A division of 64 bits costs more than the update.
NK_DEVICE int place_of(const nk_adam_params &p, int64_t i) {
  return p.P <= 0xffffffff ? int(uint32_t(i) % uint32_t(p.L)) : int(i % p.L);
}

__global__ void __launch_bounds__(kBlock) adam_kernel(nk_adam_params p, AdamStep s, Rates rates, int64_t first) {
  NK_SHARED(float, rate, NK_ADAM_RATES);
  share(rates, p.L, rate);
  const int64_t i = first + thread_number();
  if (i < p.P) adam(s, rate[place_of(p, i)], p.grad[i], p.param + i, p.m + i, p.v + i);
}

__global__ void __launch_bounds__(kBlock) adam_by_fours(nk_adam_params p, AdamStep s, Rates rates) {
  NK_SHARED(float, rate, NK_ADAM_RATES);
  share(rates, p.L, rate);
  const int64_t four = thread_number(), i = 4 * four;
  if (i + 4 > p.P) return;
  const float4 g = reinterpret_cast<const float4 *>(p.grad)[four];
  float4 &param = reinterpret_cast<float4 *>(p.param)[four], &m = reinterpret_cast<float4 *>(p.m)[four],
         &v = reinterpret_cast<float4 *>(p.v)[four];
  float4 new_param = param, new_m = m, new_v = v;
  int at = place_of(p, i);
  const auto next_rate = [&] {
    const float found = rate[at];
    at = at + 1 == p.L ? 0 : at + 1;
    return found;
  };
  adam(s, next_rate(), g.x, &new_param.x, &new_m.x, &new_v.x);
  adam(s, next_rate(), g.y, &new_param.y, &new_m.y, &new_v.y);
  adam(s, next_rate(), g.z, &new_param.z, &new_m.z, &new_v.z);
  adam(s, next_rate(), g.w, &new_param.w, &new_m.w, &new_v.w);
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
    check_adam(p);
    const AdamStep s = adam_step(p->beta1, p->beta2, p->epsilon, p->step);
    Rates rates = {};
    for (int i = 0; i < p->L; ++i) rates.of[i] = p->lr[i];
    int64_t done = 0;
    if (aligned(p->grad) && aligned(p->param) && aligned(p->m) && aligned(p->v)) {
      NK_LAUNCH(adam_by_fours, blocks(p->P / 4, kBlock), kBlock, 0, *p, s, rates);
      done = p->P / 4 * 4;
    }
    NK_LAUNCH(adam_kernel, blocks(p->P - done, kBlock), kBlock, 0, *p, s, rates, done);
  });
}
