// Sums over the lanes of a warp of several numbers at once.
#pragma once

#include "launch.h"

namespace nk {

// Adds up kCount numbers of every lane. Two lanes that differ in one bit exchange halves of what they hold, so that
// each keeps the sums of half the numbers: 12 shuffles for 9 numbers in place of 45. In the end v[0] is the sum of
// number LaneSum<kCount>(lane).number.
template <int kCount, int kStep = 16>
NK_DEVICE void fold_lanes(float *v) {
  constexpr int kHalf = (kCount + 1) / 2;
  const bool upper = threadIdx.x & kStep;
  for (int i = 0; i < kHalf; ++i) {
    const bool paired = i + kHalf < kCount;
    const float keep = paired && upper ? v[i + kHalf] : v[i];
    const float send = paired && !upper ? v[i + kHalf] : v[i];
    v[i] = keep + __shfl_xor_sync(0xffffffffu, send, kStep);
  }
  if constexpr (kStep > 1) fold_lanes<kHalf, kStep / 2>(v);
}

// Which of the sums a lane holds in the end, and whether it is the first of the lanes that hold it.
template <int kCount>
struct LaneSum {
  int number = 0;
  bool first = true;

  NK_DEVICE explicit LaneSum(int lane) { unfold<kCount, 16>(lane); }

 private:
  template <int kNumbers, int kStep>
  NK_DEVICE void unfold(int lane) {
    constexpr int kHalf = (kNumbers + 1) / 2;
    if constexpr (kStep > 1) unfold<kHalf, kStep / 2>(lane);
    if (!(lane & kStep)) return;
    if (number + kHalf < kNumbers)
      number += kHalf;
    else
      first = false;
  }
};

}  // namespace nk
