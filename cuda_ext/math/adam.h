// One Adam update (Kingma & Ba 2015, algorithm 1), with the bias corrections folded into step size and epsilon.
#pragma once

#include <cmath>
#include <cstdint>

#include "lanes.h"

namespace nk {

struct AdamStep {
  float beta1, beta2;
  float inverse_bias1;       // 1 / (1 - beta1^t)
  float inverse_sqrt_bias2;  // 1 / sqrt(1 - beta2^t)
  float epsilon;
};

// Of update t, 1 at the first.
inline AdamStep adam_step(float beta1, float beta2, float epsilon, int64_t t) {
  const double n = static_cast<double>(t);
  return {beta1, beta2, static_cast<float>(1.0 / (1.0 - std::pow(double(beta1), n))),
          static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(double(beta2), n))), epsilon};
}

template <class F>
NK_HD void adam(const AdamStep &s, F lr, F grad, F *param, F *m, F *v) {
  *m = s.beta1 * *m + (1.0f - s.beta1) * grad;
  *v = s.beta2 * *v + (1.0f - s.beta2) * grad * grad;
  const F denominator = sqrt(*v) * s.inverse_sqrt_bias2 + s.epsilon;
  *param = *param - lr * s.inverse_bias1 * *m / denominator;
}

}  // namespace nk
