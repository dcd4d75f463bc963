// The positional encoding and its gradient; a lane is a sample.
#include "../math/frequency.h"

#include <algorithm>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

void encode(const nk_frequency_encode_params *p, int64_t first, int count) {
  for (int axis = 0; axis < 3; ++axis) {
    float *to = p->features + first * p->W + axis;
    const Lanes x = load_strided(p->positions + 3 * first + axis, 3, count);
    const Lanes variance = p->variances ? load_strided(p->variances + 3 * first + axis, 3, count) : Lanes{};
    store_strided(to, p->W, count, x);
    float scale = 1.0f;
    for (int j = 0; j < p->L; ++j, scale *= 2.0f) {
      Lanes sine, cosine;
      if (p->variances)
        frequency_band(x, variance, scale, &sine, &cosine);
      else
        frequency_band(x, scale, &sine, &cosine);
      store_strided(to + 3 + 6 * j, p->W, count, sine);
      store_strided(to + 6 + 6 * j, p->W, count, cosine);
    }
  }
}

void encode_vjp(const nk_frequency_encode_grad_params *p, int64_t first, int count) {
  for (int axis = 0; axis < 3; ++axis) {
    const auto column = [&](const float *rows, int k) {
      return load_strided(rows + first * p->W + axis + k, p->W, count);
    };
    Lanes v = column(p->grad_features, 0);
    float scale = 1.0f;
    for (int j = 0; j < p->L; ++j, scale *= 2.0f) {
      const int k = 3 + 6 * j;
      v = v + frequency_band_vjp(column(p->features, k), column(p->features, k + 3), scale, column(p->grad_features, k),
                                 column(p->grad_features, k + 3));
    }
    store_strided(p->grad_positions + 3 * first + axis, 3, count, v);
  }
}

// Calls work(first sample, how many) for all blocks of lanes.
template <class Params, class Work>
void for_blocks(const Params *p, Work work) {
  check_frequency(p);
  const int64_t blocks = (p->S + int64_t(kLanes) - 1) / kLanes;
#pragma omp parallel for num_threads(p->threads) schedule(static)
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = block * kLanes;
    work(first, static_cast<int>(std::min<int64_t>(kLanes, p->S - first)));
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_frequency_encode_fwd(const nk_frequency_encode_params *p) {
  return nk::guarded("nk_frequency_encode_fwd",
                     [&] { nk::for_blocks(p, [&](int64_t first, int count) { nk::encode(p, first, count); }); });
}

extern "C" int nk_frequency_encode_bwd(const nk_frequency_encode_grad_params *p) {
  return nk::guarded("nk_frequency_encode_bwd",
                     [&] { nk::for_blocks(p, [&](int64_t first, int count) { nk::encode_vjp(p, first, count); }); });
}
