// The positional encoding and its gradient. Forward a thread is a number of the features, so that they are written one
// beside the other; backward it is a coordinate of a sample.
#include "../checks.h"
#include "../math/frequency.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) frequency_encode(nk_frequency_encode_params p) {
  const int64_t i = thread_number(), all = int64_t(p.S) * p.W;
  if (i >= all) return;
  const int64_t sample = quotient(all, i, p.W);
  const int column = static_cast<int>(i - sample * p.W), axis = column % 3;
  const float x = p.positions[3 * sample + axis];
  if (column < 3) {
    p.features[i] = x;
    return;
  }
  const float scale = static_cast<float>(1 << ((column - 3) / 6));
  float sine, cosine;
  if (p.variances)
    frequency_band(x, p.variances[3 * sample + axis], scale, &sine, &cosine);
  else
    frequency_band(x, scale, &sine, &cosine);
  p.features[i] = (column - 3) % 6 < 3 ? sine : cosine;
}

__global__ void __launch_bounds__(kBlock) frequency_encode_vjp(nk_frequency_encode_grad_params p) {
  const int64_t i = thread_number();
  if (i >= int64_t(p.S) * 3) return;
  const int64_t sample = i / 3, row = sample * p.W + i % 3;
  const float *features = p.features + row, *grad = p.grad_features + row;
  float v = grad[0], scale = 1.0f;
  for (int k = 3; k < p.W; k += 6, scale *= 2.0f)
    v += frequency_band_vjp(features[k], features[k + 3], scale, grad[k], grad[k + 3]);
  p.grad_positions[i] = v;
}

}  // namespace
}  // namespace nk

extern "C" int nk_frequency_encode_fwd(const nk_frequency_encode_params *p) {
  using namespace nk;
  return on_device("nk_frequency_encode_fwd", [&] {
    check_frequency(p);
    NK_LAUNCH(frequency_encode, blocks(int64_t(p->S) * p->W, kBlock), kBlock, 0, *p);
  });
}

extern "C" int nk_frequency_encode_bwd(const nk_frequency_encode_grad_params *p) {
  using namespace nk;
  return on_device("nk_frequency_encode_bwd", [&] {
    check_frequency(p);
    NK_LAUNCH(frequency_encode_vjp, blocks(int64_t(p->S) * 3, kBlock), kBlock, 0, *p);
  });
}
