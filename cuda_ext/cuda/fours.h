// Numbers that go between memory and registers 16 bytes at a time: kCount of them, from addresses that are multiples
// of 16.
#pragma once

#include "launch.h"

namespace nk {

template <int kCount>
NK_DEVICE void load_fours(const float *from, float *values) {
  static_assert(kCount % 4 == 0);
  for (int k = 0; k < kCount; k += 4) {
    const float4 v = *reinterpret_cast<const float4 *>(from + k);
    values[k] = v.x;
    values[k + 1] = v.y;
    values[k + 2] = v.z;
    values[k + 3] = v.w;
  }
}

template <int kCount>
NK_DEVICE void store_fours(float *to, const float *values) {
  static_assert(kCount % 4 == 0);
  for (int k = 0; k < kCount; k += 4)
    *reinterpret_cast<float4 *>(to + k) = make_float4(values[k], values[k + 1], values[k + 2], values[k + 3]);
}

// The same one by one where the addresses aren't such multiples, or the count isn't one of four.
template <int kCount>
NK_DEVICE void load_row(const float *from, float *values, bool by_fours) {
  if constexpr (kCount % 4 == 0) {
    if (by_fours) {
      load_fours<kCount>(from, values);
      return;
    }
  }
  for (int k = 0; k < kCount; ++k) values[k] = from[k];
}

}  // namespace nk
