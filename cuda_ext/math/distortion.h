// The distortion loss of a ray's samples (Barron et al. 2022, mip-NeRF 360, eq. 15), sample by sample, near to far:
// sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 length_i, with m the intervals' middles.
#pragma once

#include "lanes.h"

namespace nk {

// What one side of a sample holds: W = sum_j w_j and D = sum_j w_j |m_i - m_j|. Going on by `gap` to the next sample
// moves all of them that much farther away: D grows by W gap. No differences are taken, so that nothing cancels.
template <class F>
struct Spread {
  F weight, distance;

  NK_HD void move(F gap) { distance = distance + weight * gap; }
  NK_HD void add(F w) { weight = weight + w; }
};

// A sample's share of the loss, where `before` is what lies in front of it; each pair i, j counts twice.
template <class F>
NK_HD F distortion(F w, F length, const Spread<F> &before) {
  return w * (2.0f * before.distance + w * length * (1.0f / 3.0f));
}

// d loss / d w_i = 2 sum_j w_j |m_i - m_j| + 2/3 w_i length_i, where the sum is over both sides of the sample; times v.
template <class F>
NK_HD F distortion_vjp(F w, F length, const Spread<F> &before, const Spread<F> &behind, F v) {
  return 2.0f * v * (before.distance + behind.distance + w * length * (1.0f / 3.0f));
}

}  // namespace nk
