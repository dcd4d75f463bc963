// The distortion loss of a ray's samples (Barron et al. 2022, mip-NeRF 360, eq. 15), sample by sample, near to far:
// sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 length_i, with m the intervals' middles.
#pragma once

#include <cstdint>

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

// --- along a ray of packed samples [begin, end) ------------------------------------------------------------

template <class Params>
NK_HD float sample_middle(const Params &p, int64_t i) {
  return 0.5f * (p.t_start[i] + p.t_end[i]);
}

// Params is nk_distortion_params.
template <class Params>
NK_HD float distortion_of_ray(const Params &p, int64_t begin, int64_t end) {
  Spread<float> before = {};
  float loss = 0.0f;
  for (int64_t i = begin; i < end; ++i) {
    if (i > begin) before.move(sample_middle(p, i) - sample_middle(p, i - 1));
    loss += distortion(p.weights[i], p.t_end[i] - p.t_start[i], before);
    before.add(p.weights[i]);
  }
  return loss;
}

// Params is nk_distortion_grad_params. Once along the ray for what lies in front of each sample, which the gradient's
// place keeps, and once back.
template <class Params>
NK_HD void distortion_of_ray_vjp(const Params &p, float v_loss, int64_t begin, int64_t end) {
  Spread<float> before = {}, behind = {};
  for (int64_t i = begin; i < end; ++i) {
    if (i > begin) before.move(sample_middle(p, i) - sample_middle(p, i - 1));
    p.grad_weights[i] = before.distance;
    before.add(p.weights[i]);
  }
  for (int64_t i = end - 1; i >= begin; --i) {
    if (i + 1 < end) behind.move(sample_middle(p, i + 1) - sample_middle(p, i));
    before.distance = p.grad_weights[i];
    p.grad_weights[i] = distortion_vjp(p.weights[i], p.t_end[i] - p.t_start[i], before, behind, v_loss);
    behind.add(p.weights[i]);
  }
}

}  // namespace nk
