// One step of front-to-back alpha compositing, for the rasterizer and the ray marcher alike.
//
// With transmittance T before a sample of opacity alpha: weight w = alpha T, T' = (1 - alpha) T, and
// out = sum_i w_i c_i + T_end background (Max 1995, eq. 3; Mildenhall et al. 2020, eq. 3).
#pragma once

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

}  // namespace nk
