// What follows the last layer of a small network: nothing, ReLU, exp or the logistic sigmoid.
#pragma once

#include "constants.h"
#include "lanes.h"

namespace nk {

// e^x = 2^(x log2 e), for powers that floats hold: x between -87 and 88.
template <class F>
NK_HD F exp_within(F x) {
  return exp2(min(max(x * 1.44269504f, F{} - 126.0f), F{} + 127.0f));
}

template <class F>
NK_HD F activation(int kind, F x) {
  switch (kind) {
    case NK_OUTPUT_RELU:
      return max(x, F{});
    case NK_OUTPUT_EXP:
      return exp_within(x);
    case NK_OUTPUT_SIGMOID:
      return 1.0f / (1.0f + exp_within(-x));
  }
  return x;
}

// By the value y instead of x: 1 where y > 0 for ReLU, y for exp, y (1 - y) for the sigmoid.
template <class F>
NK_HD F activation_vjp(int kind, F y, F v) {
  switch (kind) {
    case NK_OUTPUT_RELU:
      return select(y > F{}, v, F{});
    case NK_OUTPUT_EXP:
      return v * y;
    case NK_OUTPUT_SIGMOID:
      return v * y * (1.0f - y);
  }
  return v;
}

}  // namespace nk
