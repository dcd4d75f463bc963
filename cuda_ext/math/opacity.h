// From what a network gives to the density there, and from density to a sample's opacity.
#pragma once

#include "lanes.h"

namespace nk {

// e^x to the last bit or two, for powers that floats hold: x is cut to -87..88. With n the nearest whole number to
// x / ln 2, the rest x - n ln 2 is at most 0.35 and its power a polynomial of degree 7; ln 2 comes in two parts, of
// which n times the first is exact (Cody & Waite 1980, chapter 6).
template <class F>
NK_HD F exact_exp(F x) {
  const F within = min(max(x, F{} - 87.0f), F{} + 88.0f);
  const F shifted = within * 1.44269504f + 12582912.0f;  // n in the low bits
  const F n = shifted - 12582912.0f;
  const F r = (within - n * 0.693145752f) - n * 1.42860677e-6f;
  F p = r * 1.9841270e-4f + 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 0.16666667f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  return float_of_bits(bits_of(p * r + 1.0f) + shift_left(bits_of(shifted), 23));
}

// exp(log + first) / half, where the power is at most `most`. NaN stays NaN, for training to see that it diverged.
template <class F>
NK_HD F exp_density(F log, float first, float most, float half) {
  const F power = log + first;
  return select(power != power, power, exact_exp(min(power, F{} + most)) / half);
}

template <class F>
NK_HD F exp_density_vjp(F log, float first, float most, F density, F v) {
  return select(log + first > most, F{}, v * density);
}

// 1 - exp(-x): by its series to the eighth power where that is a difference of numbers that are nearly alike.
template <class F>
NK_HD F one_minus_exp(F x) {
  F series = F{} + 1.0f;
  series = 1.0f - x * (1.0f / 8.0f) * series;
  series = 1.0f - x * (1.0f / 7.0f) * series;
  series = 1.0f - x * (1.0f / 6.0f) * series;
  series = 1.0f - x * (1.0f / 5.0f) * series;
  series = 1.0f - x * (1.0f / 4.0f) * series;
  series = 1.0f - x * (1.0f / 3.0f) * series;
  series = 1.0f - x * (1.0f / 2.0f) * series;
  return select(x < 0.5f, x * series, select(x != x, x, 1.0f - exact_exp(-x)));
}

// The opacity of a sample of even density (Max 1995, eq. 3).
template <class F>
NK_HD F opacity(F density, F length) {
  return one_minus_exp(density * length);
}

// d alpha / d density = length exp(-density length) = length (1 - alpha).
template <class F>
NK_HD F opacity_vjp(F alpha, F length, F v) {
  return v * (1.0f - alpha) * length;
}

// How much of its gradient a sample learns by: the square of the distance's share of `whole_from`, from which on it is
// all of it (Philip & Deschaintre 2023, eq. 3).
template <class F>
NK_HD F learnt_share(F t_start, F t_end, float whole_from) {
  const F share = min(0.5f * (t_start + t_end) / whole_from, F{} + 1.0f);
  return share * share;
}

}  // namespace nk
