// Matrices whose rows lie a stride apart, turned over in squares of vectors.
#pragma once

#include <cstdint>

#include "../math/lanes.h"

namespace nk {

template <int kBit>
NK_HD void swap_bits(Lanes (&square)[kLanes]) {
  if constexpr (kBit < kLanes) {
    for (int i = 0; i < kLanes; ++i)
      if (!(i & kBit)) swap_bit<kBit>(square[i], square[i + kBit]);
    swap_bits<2 * kBit>(square);
  }
}

// to[i][j] = from[j][i], for i below `rows` and j below `columns` of `to`.
template <bool kPastCaches = false>
void transpose(const float *from, int64_t from_stride, int rows, int columns, float *to, int64_t to_stride) {
  const int whole_rows = rows / kLanes * kLanes, whole_columns = columns / kLanes * kLanes;
  for (int i = 0; i < whole_rows; i += kLanes)
    for (int j = 0; j < whole_columns; j += kLanes) {
      Lanes square[kLanes];
      for (int k = 0; k < kLanes; ++k) square[k] = load(from + (j + k) * from_stride + i);
      swap_bits<1>(square);
      for (int k = 0; k < kLanes; ++k)
        if constexpr (kPastCaches)
          store_past_caches(to + (i + k) * to_stride + j, square[k]);
        else
          store(to + (i + k) * to_stride + j, square[k]);
    }
  for (int j = 0; j < columns; ++j)
    for (int i = j < whole_columns ? whole_rows : 0; i < rows; ++i) to[i * to_stride + j] = from[j * from_stride + i];
}

}  // namespace nk
