// How far a splat is pulled across the screen: what densification goes by.
#pragma once

#include "constants.h"
#include "lanes.h"

namespace nk {

// The length of the absolute gradient of a drawn splat's mean, in units of half the image (Kerbl et al. 2023, section
// 5.2; Ye et al. 2024, AbsGS, eq. 6).
NK_HD float splat_pull(const float *grad, int width, int height) {
  const float x = grad[NK_GRAD_ABS_X] * (0.5f * width), y = grad[NK_GRAD_ABS_Y] * (0.5f * height);
  return sqrt(x * x + y * y);
}

}  // namespace nk
