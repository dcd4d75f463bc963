// One Adam update (Kingma & Ba 2015, algorithm 1), with the bias corrections folded into step size and epsilon.
#pragma once

#include "lanes.h"

namespace nk {

struct AdamStep {
  float beta1, beta2;
  float inverse_bias1;       // 1 / (1 - beta1^t)
  float inverse_sqrt_bias2;  // 1 / sqrt(1 - beta2^t)
  float epsilon;
};

template <class F>
NK_HD void adam(const AdamStep &s, F lr, F grad, F *param, F *m, F *v) {
  *m = s.beta1 * *m + (1.0f - s.beta1) * grad;
  *v = s.beta2 * *v + (1.0f - s.beta2) * grad * grad;
  const F denominator = sqrt(*v) * s.inverse_sqrt_bias2 + s.epsilon;
  *param = *param - lr * s.inverse_bias1 * *m / denominator;
}

}  // namespace nk
