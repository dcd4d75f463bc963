// What makes a splat of a projected Gaussian: how far it reaches, its colour as seen from the camera, and from which
// sums over pixels its gradient comes. Kerbl et al. 2023, sections 4 and 6.
#pragma once

#include "gaussian.h"
#include "spherical_harmonics.h"

namespace nk {

constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLog2AlphaMin = -7.9943534368588578f;  // log2(NK_ALPHA_MIN)

// The ellipse inside which a splat is drawn, by its cut and its bounding box: see NK_SPLAT_CUT.
template <class F>
struct Footprint {
  F cut, extent_x, extent_y;
  decltype(F{} < F{}) visible;  // in front of the camera, and its box meets the image
};

template <class F>
NK_HD Footprint<F> footprint(const Projected<F> &s, F opacity, float near, int width, int height) {
  Footprint<F> out;
  out.cut = (2.0f / kLog2E) * log2(max(opacity, 1e-30f) / NK_ALPHA_MIN);
  out.extent_x = sqrt(max(out.cut, 0.0f) * s.cov_xx);
  out.extent_y = sqrt(max(out.cut, 0.0f) * s.cov_yy);
  const auto inside_x = both(s.x + out.extent_x > 0.0f, s.x - out.extent_x < static_cast<float>(width));
  const auto inside_y = both(s.y + out.extent_y > 0.0f, s.y - out.extent_y < static_cast<float>(height));
  out.visible = both(both(s.depth > near, opacity >= NK_ALPHA_MIN), both(inside_x, inside_y));
  return out;
}

// log2 of the opacity: as the cut has it, so that both agree on where a splat ends.
NK_HD float log2_opacity(const float *splat) { return (0.5f * kLog2E) * splat[NK_SPLAT_CUT] + kLog2AlphaMin; }

// The unit direction from the camera to the mean, and 1 / the distance.
template <class F>
NK_HD Vec3<F> view_direction(const Camera &cam, const Vec3<F> &mean, F *inverse_length) {
  const Vec3<F> d = {mean.x - cam.center.x, mean.y - cam.center.y, mean.z - cam.center.z};
  *inverse_length = 1.0f / sqrt(dot(d, d) + 1e-20f);
  return *inverse_length * d;
}

// Colour before the clamp at zero: 0.5 + sum_k basis_k sh_k; sh(3 k + c) is channel c of coefficient k.
template <class F, class Coefficients>
NK_HD Vec3<F> sh_color(int coefficients, const F *basis, const Coefficients &sh) {
  Vec3<F> color = {F{} + 0.5f, F{} + 0.5f, F{} + 0.5f};
  for (int k = 0; k < coefficients; ++k) {
    color.x += basis[k] * sh(3 * k);
    color.y += basis[k] * sh(3 * k + 1);
    color.z += basis[k] * sh(3 * k + 2);
  }
  return color;
}

// The gradient v of the colour before the clamp goes to the coefficients, put(3 k + c, gradient), and through the view
// direction and its normalisation to the mean, which is returned.
template <class F, class Coefficients, class Put>
NK_HD Vec3<F> sh_color_vjp(const Camera &cam, const Vec3<F> &mean, int degree, const Vec3<F> &v, const Coefficients &sh,
                           const Put &put) {
  F basis[16], v_basis[16], inverse_length;
  const Vec3<F> direction = view_direction(cam, mean, &inverse_length);
  sh_basis(degree, direction, basis);
  for (int k = 0; k < (degree + 1) * (degree + 1); ++k) {
    v_basis[k] = v.x * sh(3 * k) + v.y * sh(3 * k + 1) + v.z * sh(3 * k + 2);
    put(3 * k, basis[k] * v.x);
    put(3 * k + 1, basis[k] * v.y);
    put(3 * k + 2, basis[k] * v.z);
  }
  const Vec3<F> v_direction = sh_basis_vjp(degree, direction, v_basis);
  return inverse_length * (v_direction - dot(v_direction, direction) * direction);
}

// The columns of a splat, by constants.h. `depth` is 0 for one that is culled.
template <class F>
NK_HD void splat_values(const Projected<F> &s, F opacity, F depth, const Vec3<F> &color, const Footprint<F> &reach,
                        F *out) {
  out[NK_SPLAT_X] = s.x;
  out[NK_SPLAT_Y] = s.y;
  out[NK_SPLAT_A] = s.a;
  out[NK_SPLAT_B] = s.b;
  out[NK_SPLAT_C] = s.c;
  out[NK_SPLAT_OPACITY] = opacity;
  out[NK_SPLAT_DEPTH] = depth;
  out[NK_SPLAT_COLOR] = max(color.x, 0.0f);
  out[NK_SPLAT_COLOR + 1] = max(color.y, 0.0f);
  out[NK_SPLAT_COLOR + 2] = max(color.z, 0.0f);
  out[NK_SPLAT_NORMAL] = s.normal.x;
  out[NK_SPLAT_NORMAL + 1] = s.normal.y;
  out[NK_SPLAT_NORMAL + 2] = s.normal.z;
  out[NK_SPLAT_EXTENT_X] = reach.extent_x;
  out[NK_SPLAT_EXTENT_Y] = reach.extent_y;
  out[NK_SPLAT_CUT] = reach.cut;
}

// The splat column of channel c: rgb, depth, normal.
NK_HD constexpr int channel_column(int c) {
  return c < 3 ? NK_SPLAT_COLOR + c : c == 3 ? NK_SPLAT_DEPTH : NK_SPLAT_NORMAL + c - 4;
}

// The backward pass sums over pixels, for each splat, v = v_power = v_alpha alpha and its products with dx and dy, the
// weighted gradients of the channels, and if asked for the absolute gradient of the mean. They turn into the gradients
// of mean, conic and opacity only at the end, since they are linear: power = -(a dx^2 + c dy^2) / 2 - b dx dy with
// dx = pixel - mean. So do those of a splat's depth, which changes with dx and dy: its sums are kept apart, in
// `slopes`.
enum Moment { kX, kY, kXX, kXY, kYY, kOne, kChannels, kAbsX = 13, kAbsY, kMoments = NK_SPLAT_SIZE };

NK_HD void moments_to_grad(const float *splat, const float *m, float *grad) {
  const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c = splat[NK_SPLAT_C];
  grad[NK_SPLAT_CUT] = 0.0f;
  grad[NK_SPLAT_X] = a * m[kX] + b * m[kY];
  grad[NK_SPLAT_Y] = b * m[kX] + c * m[kY];
  grad[NK_SPLAT_A] = -0.5f * m[kXX];
  grad[NK_SPLAT_B] = -m[kXY];
  grad[NK_SPLAT_C] = -0.5f * m[kYY];
  grad[NK_SPLAT_OPACITY] = m[kOne] / splat[NK_SPLAT_OPACITY];
  for (int c = 0; c < 7; ++c) grad[channel_column(c)] = m[kChannels + c];
  grad[NK_GRAD_ABS_X] = m[kAbsX];
  grad[NK_GRAD_ABS_Y] = m[kAbsY];
}

// The part of the mean's gradient that comes from depth + slope . (pixel - mean), by the depth's weighted gradient. The
// slope's own gradient is the sum of that times dx and dy as it is.
NK_HD void add_slope_grad(const float *slope, const float *m, float *grad) {
  grad[NK_SPLAT_X] -= slope[0] * m[kChannels + 3];
  grad[NK_SPLAT_Y] -= slope[1] * m[kChannels + 3];
}

}  // namespace nk
