// What proposed weights along a ray don't allow (Barron et al. 2022, mip-NeRF 360, eq. 13).
#pragma once

#include <cstdint>

#include "lanes.h"

namespace nk {

constexpr float kLeastWeight = 1e-7f;  // added below the fraction

// Calls visit(j, begin, end, allowed) for each of m intervals between the ascending edges `finer`: those of the n
// intervals between `edges` that overlap it are begin .. end, and `allowed` is the sum of their weights. As both
// ascend, one walk along each end finds them all. Sums are double: `allowed` is the difference of two of them.
template <class Visit>
NK_HD void overlaps(const float *edges, const float *proposed, int n, const float *finer, int m, Visit visit) {
  int begin = 0, end = 0;
  double before_begin = 0.0, before_end = 0.0;
  for (int j = 0; j < m; ++j) {
    while (begin < n && edges[begin + 1] <= finer[j]) before_begin += double(proposed[begin++]);
    while (end < n && edges[end] < finer[j + 1]) before_end += double(proposed[end++]);
    // An interval of no length, on an edge, overlaps none.
    visit(j, begin, end, begin < end ? static_cast<float>(before_end - before_begin) : 0.0f);
  }
}

// sum_j max(0, w_j - allowed_j)^2 / (w_j + 1e-7).
NK_HD float missed(const float *edges, const float *proposed, int n, const float *finer, const float *weights, int m) {
  float sum = 0.0f;
  overlaps(edges, proposed, n, finer, m, [&](int j, int, int, float allowed) {
    const float excess = max(weights[j] - allowed, 0.0f);
    sum += excess * excess / (weights[j] + kLeastWeight);
  });
  return sum;
}

// Each interval j adds -2 v excess_j / (w_j + 1e-7) to all the proposed ones that overlap it: noted where these begin,
// and taken off behind where they end; the sums up to each of them are the gradient.
NK_HD void missed_vjp(const float *edges, const float *proposed, int n, const float *finer, const float *weights, int m,
                      float v, float *v_proposed) {
  for (int i = 0; i < n; ++i) v_proposed[i] = 0.0f;
  overlaps(edges, proposed, n, finer, m, [&](int j, int begin, int end, float allowed) {
    const float step = -2.0f * v * max(weights[j] - allowed, 0.0f) / (weights[j] + kLeastWeight);
    if (begin >= end) return;
    v_proposed[begin] += step;
    if (end < n) v_proposed[end] -= step;
  });
  double running = 0.0;
  for (int i = 0; i < n; ++i) {
    running += double(v_proposed[i]);
    v_proposed[i] = static_cast<float>(running);
  }
}

}  // namespace nk
