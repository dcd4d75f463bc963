// The positional encoding of NeRF (Mildenhall et al. 2020, eq. 4, without its factor pi, as its code has it), and the
// integrated one of mip-NeRF (Barron et al. 2021, eq. 14).
#pragma once

#include "lanes.h"

namespace nk {

// From x of about one on, 2^24 x is a whole number in single precision: its sine says nothing of where x lies.
constexpr int kMostFrequencies = 24;

// sin(scale x) and cos(scale x).
template <class F>
NK_HD void frequency_band(F x, float scale, F *sine, F *cosine) {
  sin_cos(x * scale, sine, cosine);  // scale is a power of two: the product is exact
}

// Their means over a normal distribution about x: both shrink by exp(-scale^2 variance / 2) (Barron et al. 2021, eq. 13
// and 14). What is less than 2^-40 counts as nothing: the products that a network makes of it would be denormals.
template <class F>
NK_HD void frequency_band(F x, F variance, float scale, F *sine, F *cosine) {
  const F exponent = variance * (-0.5f * 1.44269504f * scale * scale);
  const F damping = select(exponent > -40.0f, exp2(max(exponent, -40.0f)), F{});
  frequency_band(x, scale, sine, cosine);
  *sine = *sine * damping;
  *cosine = *cosine * damping;
}

// d sin(s x) = s cos(s x) dx and d cos(s x) = -s sin(s x) dx, and the damping is a factor of both sides: what the
// encoding gave is all that its gradient needs. v_x of this band:
template <class F>
NK_HD F frequency_band_vjp(F sine, F cosine, float scale, F v_sine, F v_cosine) {
  return (cosine * v_sine - sine * v_cosine) * scale;
}

}  // namespace nk
