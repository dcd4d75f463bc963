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

// The entries from i on, one after the other: the rate of each, and whether its row is one of those that change.
class Walk {
 public:
  NK_DEVICE Walk(const nk_adam_params &p, const float *rates, int64_t i)
      : drawn_(p.drawn), rates_(rates), count_(p.L), rate_(static_cast<int>(i - quotient(p.P, i, p.L) * p.L)) {
    if (!drawn_) return;
    width_ = quotient(p.P, p.P, p.R);
    const int64_t row = quotient(p.P, i, width_);
    column_ = i - row * width_;
    drawn_ += row;
  }

  NK_DEVICE float rate() const { return rates_[rate_]; }
  NK_DEVICE bool changes() const { return !drawn_ || *drawn_; }
  NK_DEVICE void next() {
    if (++rate_ == count_) rate_ = 0;
    if (drawn_ && ++column_ == width_) {
      column_ = 0;
      ++drawn_;
    }
  }

 private:
  const uint8_t *drawn_;
  const float *rates_;
  int count_, rate_;
  int64_t width_ = 1, column_ = 0;
};

__global__ void __launch_bounds__(kBlock) adam_kernel(nk_adam_params p, AdamStep s, Rates rates, int64_t first) {
  NK_SHARED(float, rate, NK_ADAM_RATES);
  share(rates, p.L, rate);
  const int64_t i = first + thread_number();
  if (i >= p.P) return;
  const Walk walk(p, rate, i);
  if (walk.changes()) adam(s, walk.rate(), p.grad[i], p.param + i, p.m + i, p.v + i);
}

__global__ void __launch_bounds__(kBlock) adam_by_fours(nk_adam_params p, AdamStep s, Rates rates) {
  NK_SHARED(float, rate, NK_ADAM_RATES);
  share(rates, p.L, rate);
  const int64_t four = thread_number(), i = 4 * four;
  if (i + 4 > p.P) return;
  float rates_of[4];
  bool changes[4];
  Walk walk(p, rate, i);
  for (int k = 0; k < 4; ++k, walk.next()) {
    rates_of[k] = walk.rate();
    changes[k] = walk.changes();
  }
  if (!(changes[0] || changes[1] || changes[2] || changes[3])) return;
  const float4 g = reinterpret_cast<const float4 *>(p.grad)[four];
  float4 &param = reinterpret_cast<float4 *>(p.param)[four], &m = reinterpret_cast<float4 *>(p.m)[four],
         &v = reinterpret_cast<float4 *>(p.v)[four];
  float4 new_param = param, new_m = m, new_v = v;
  if (changes[0]) adam(s, rates_of[0], g.x, &new_param.x, &new_m.x, &new_v.x);
  if (changes[1]) adam(s, rates_of[1], g.y, &new_param.y, &new_m.y, &new_v.y);
  if (changes[2]) adam(s, rates_of[2], g.z, &new_param.z, &new_m.z, &new_v.z);
  if (changes[3]) adam(s, rates_of[3], g.w, &new_param.w, &new_m.w, &new_v.w);
  param = new_param;
  m = new_m;
  v = new_v;
}

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
    if (is_aligned(p->grad) && is_aligned(p->param) && is_aligned(p->m) && is_aligned(p->v)) {
      NK_LAUNCH(adam_by_fours, blocks(p->P / 4, kBlock), kBlock, 0, *p, s, rates);
      done = p->P / 4 * 4;
    }
    NK_LAUNCH(adam_kernel, blocks(p->P - done, kBlock), kBlock, 0, *p, s, rates, done);
  });
}
