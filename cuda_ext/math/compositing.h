// One step of front-to-back alpha compositing, for the rasterizer and the ray marcher alike.
//
// With transmittance T before a sample of opacity alpha: weight w = alpha T, T' = (1 - alpha) T, and
// out = sum_i w_i c_i + T_end background (Max 1995, eq. 3; Mildenhall et al. 2020, eq. 3).
#pragma once

#include <cstdint>

#include "constants.h"
#include "lanes.h"

namespace nk {

// The weight of a sample; takes it off `transmittance`. `drawn` tells whether alpha reaches NK_ALPHA_MIN. Samples
// that do not, and samples in full pixels, are not drawn: their alpha becomes 0.
template <class F, class Mask>
NK_HD F composite(Mask drawn, F *alpha, F *transmittance) {
  *alpha = select(both(drawn, *transmittance > NK_TRANSMITTANCE_MIN), *alpha, F{});
  const F weight = *alpha * *transmittance;
  *transmittance = *transmittance - weight;
  return weight;
}

// v_alpha = T (g . c) - S / (1 - alpha), where g is the gradient of `out`, g . c its product with the
// sample's values, and S = sum_{j behind} w_j (g . c_j) + T_end (g . background) what lies behind it.
// `behind` comes in as that sum with this sample included and leaves without it.
template <class F>
NK_HD F composite_vjp(F alpha, F weight, F transmittance, F g_dot_c, F *behind) {
  *behind = *behind - weight * g_dot_c;
  return transmittance * g_dot_c - *behind * reciprocal(1.0f - alpha);
}

// The gradient with respect to ln alpha, alpha v_alpha, in fewer operations.
template <class F>
NK_HD F composite_vjp_log(F alpha, F weight, F g_dot_c, F *behind) {
  const F own = weight * g_dot_c;
  *behind = *behind - own;
  return own - alpha * reciprocal(1.0f - alpha) * *behind;
}

// The median depth is the mean of the middle half of the light: what the transmittance loses between 3/4 and 1/4 of it,
// the interquartile mean. Like a median it hears of nothing that takes less than a quarter of the light, and like a
// mean it does not jump where another splat becomes the middle one. This is the share of a sample in it.
template <class F>
NK_HD F middle_weight(F before, F after) {
  return max(min(before, F{} + 0.75f) - max(after, F{} + 0.25f), F{});
}

// The depth by the sum of what it is weighted with: 0 where less than half of the light is gone.
template <class F>
NK_HD F median_of(F weighted, F transmittance) {
  return select(transmittance < 0.5f, weighted * reciprocal(0.75f - max(transmittance, F{} + 0.25f)), F{});
}

// --- along a ray of packed samples [begin, end) ------------------------------------------------------------

// Params is nk_composite_params. The values of a ray that is full are never read: a marcher may leave them out of what
// it computes. kChannels is C where the compiler shall know it, so that the sums stay in registers; else 0.
template <int kChannels, class Params>
NK_HD void composite_ray(const Params &p, int64_t ray, int64_t begin, int64_t end) {
  float own[kChannels ? kChannels : 1] = {};
  float *sums = kChannels ? own : p.sums + ray * p.C;
  const int channels = kChannels ? kChannels : p.C;
  for (int c = 0; c < channels; ++c) sums[c] = 0.0f;
  float t = 1.0f;
  int64_t i = begin;
  for (; i < end && t > NK_TRANSMITTANCE_MIN; ++i) {
    float alpha = min(p.alphas[i], NK_ALPHA_MAX);
    const float weight = composite(true, &alpha, &t);
    p.weights[i] = weight;
    for (int c = 0; c < channels; ++c) sums[c] += weight * p.values[i * channels + c];
  }
  for (; i < end; ++i) p.weights[i] = 0.0f;
  for (int c = 0; c < kChannels; ++c) p.sums[ray * channels + c] = own[c];
  p.transmittance[ray] = t;
}

// Params is nk_composite_grad_params. What lies behind a sample is the ray's total less what has been passed, as in the
// rasterizer.
template <int kChannels, class Params>
NK_HD void composite_ray_vjp(const Params &p, int64_t ray, int64_t begin, int64_t end) {
  const int channels = kChannels ? kChannels : p.C;
  const float *grad = p.grad_sums + ray * channels;
  float behind = p.grad_transmittance ? p.grad_transmittance[ray] * p.transmittance[ray] : 0.0f;
  for (int c = 0; c < channels; ++c) behind += grad[c] * p.sums[ray * channels + c];
  if (p.grad_weights)
    for (int64_t i = begin; i < end; ++i) behind += p.grad_weights[i] * p.weights[i];
  float t = 1.0f;
  int64_t i = begin;
  for (; i < end && t > NK_TRANSMITTANCE_MIN; ++i) {
    const float before = t, raw = p.alphas[i];
    float alpha = min(raw, NK_ALPHA_MAX);
    const float weight = composite(true, &alpha, &t);
    float g_dot_v = p.grad_weights ? p.grad_weights[i] : 0.0f;
    for (int c = 0; c < channels; ++c) {
      g_dot_v += grad[c] * p.values[i * channels + c];
      p.grad_values[i * channels + c] = weight * grad[c];
    }
    const float v_alpha = composite_vjp(alpha, weight, before, g_dot_v, &behind);
    p.grad_alphas[i] = raw <= NK_ALPHA_MAX ? v_alpha : 0.0f;
  }
  for (; i < end; ++i) {
    p.grad_alphas[i] = 0.0f;
    for (int c = 0; c < channels; ++c) p.grad_values[i * channels + c] = 0.0f;
  }
}

}  // namespace nk
