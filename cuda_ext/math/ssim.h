// Structural similarity of two local windows (Wang et al. 2004, eq. 13) from blurred moments.
#pragma once

#include "lanes.h"

namespace nk {

constexpr int kSsimRadius = 5;
constexpr float kSsimC1 = 0.01f * 0.01f, kSsimC2 = 0.03f * 0.03f;
// The 11-tap Gaussian window of sigma 1.5: centre first.
constexpr float kSsimWindow[kSsimRadius + 1] = {0.26601171493530273f, 0.21300552785396576f, 0.10936068743467331f,
                                                0.03600076958537102f, 0.00759875774383545f, 0.00102838035672903f};

// x: image, y: target. Moments are blurred means of x, x^2, x y, y, y^2. Returns SSIM and its derivatives
// with respect to the blurred x, x^2 and x y: with a1 = 2 mx my + C1, a2 = 2 sxy + C2, b1 = mx^2 + my^2 + C1,
// b2 = sxx + syy + C2 and ssim = a1 a2 / (b1 b2), where sxx = xx - mx^2 and sxy = xy - mx my.
template <class F>
NK_HD F ssim(F mx, F xx, F xy, F my, F yy, F *d_mx, F *d_xx, F *d_xy) {
  const F sxx = xx - mx * mx, syy = yy - my * my, sxy = xy - mx * my;
  const F a1 = 2.0f * mx * my + kSsimC1, a2 = 2.0f * sxy + kSsimC2;
  const F b1 = mx * mx + my * my + kSsimC1, b2 = sxx + syy + kSsimC2;
  const F inverse = reciprocal(b1 * b2);
  const F value = a1 * a2 * inverse;
  const F d_sxx = -value * (inverse * b1);
  const F d_sxy = 2.0f * a1 * inverse;
  *d_xx = d_sxx;
  *d_xy = d_sxy;
  *d_mx = 2.0f * my * a2 * inverse - 2.0f * mx * value * (inverse * b2) - 2.0f * mx * d_sxx - my * d_sxy;
  return value;
}

// The loss's derivatives with respect to SSIM and |x - y| at a pixel, one of n numbers.
struct PhotometricWeights {
  float ssim, l1;
};
inline PhotometricWeights photometric_weights(float ssim_weight, int64_t n) {
  return {-ssim_weight / static_cast<float>(n), (1.0f - ssim_weight) / static_cast<float>(n)};
}

// The loss's derivative with respect to x, given those of SSIM with respect to the blurred x, x^2 and x y, blurred
// themselves: the window is symmetric, so that blurring is its own adjoint.
template <class F>
NK_HD F photometric_vjp(F x, F y, F d_mx, F d_xx, F d_xy, PhotometricWeights weights) {
  const F zero = {}, up = zero + weights.l1;
  const F by_l1 = select(x > y, up, select(x < y, -up, zero));
  return weights.ssim * (d_mx + 2.0f * x * d_xx + y * d_xy) + by_l1;
}

// Fills sums: mean |x - y|, mean SSIM and the loss, of the sums over n numbers.
NK_HD void photometric_sums(double l1, double similarity, double n, double ssim_weight, double *sums) {
  sums[0] = l1 / n;
  sums[1] = similarity / n;
  sums[2] = (1.0 - ssim_weight) * sums[0] + ssim_weight * (1.0 - sums[1]);
}

}  // namespace nk
