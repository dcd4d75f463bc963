// Inverse transform sampling of a piecewise constant density along a ray (Mildenhall et al. 2020, section 5.2).
#pragma once

#include "constants.h"
#include "lanes.h"

namespace nk {

// Writes m distances for the ascending u in [0, 1): the distribution function over the n intervals between ascending
// edges is F(e_i) = sum_{j < i} w_j / sum_j w_j, linear in between, and t = F^-1(u). As u ascends, one walk along the
// intervals finds them all. Sums are double: a far interval's share of u is the difference of two of them.
// Returns whether u ascends.
NK_HD bool resample(const float *edges, const float *weights, int n, const float *u, int m, float *t) {
  const auto weight = [&](int i) { return double(max(weights[i], 0.0f)) + double(NK_RESAMPLE_PADDING); };
  double total = 0.0;
  for (int i = 0; i < n; ++i) total += weight(i);
  int i = 0;
  double passed = 0.0, w = weight(0);
  bool ascends = true;
  for (int k = 0; k < m; ++k) {
    ascends = ascends && (k == 0 || u[k - 1] <= u[k]);
    const double target = u[k] * total;
    while (i + 1 < n && target >= passed + w) {
      passed += w;
      w = weight(++i);
    }
    const float along = min(max(static_cast<float>((target - passed) / w), 0.0f), 1.0f);
    t[k] = min(edges[i] + along * (edges[i + 1] - edges[i]), edges[i + 1]);  // rounding may not pass the next edge
  }
  return ascends;
}

}  // namespace nk
