// Truncated signed distance fusion (Curless & Levoy 1996, section 3): reference in nerfkit/core/reference_tsdf.py.
#pragma once

#include <cstdint>

#include "lanes.h"
#include "linalg.h"

namespace nk {

// A depth map [H, W] of z values; 0 or less where nothing is seen.
struct DepthMap {
  const float *depth;
  int height, width;
};

// The depth at pixel coordinates u, v inside the image (centres at +0.5). 1/z is affine in the pixel on a plane, so
// that is what is interpolated; across an edge (or a hole, or the border) it is the depth of the pixel itself.
NK_HD float depth_at(const DepthMap &map, float u, float v, float truncation) {
  const float x = u - 0.5f, y = v - 0.5f;
  const int left = static_cast<int>(x), top = static_cast<int>(y);
  const float nearest = map.depth[static_cast<int64_t>(v) * map.width + static_cast<int>(u)];
  if (x < 0 || y < 0 || left + 1 >= map.width || top + 1 >= map.height) return nearest;
  const float *p = map.depth + static_cast<int64_t>(top) * map.width + left;
  const float d00 = p[0], d01 = p[1], d10 = p[map.width], d11 = p[map.width + 1];
  const float low = min(min(d00, d01), min(d10, d11)), high = max(max(d00, d01), max(d10, d11));
  if (!(low > 0 && high - low <= truncation)) return nearest;
  const float a = x - left, b = y - top;
  const float upper = 1 / d00 + a * (1 / d01 - 1 / d00);
  const float lower = 1 / d10 + a * (1 / d11 - 1 / d10);
  return 1 / (upper + b * (lower - upper));
}

// mean <- (total mean + w value) / (total + w), total <- total + w. Where w = 0 nothing changes.
template <class F>
NK_HD void average(F *mean, F *total, F value, F w) {
  const F sum = *total + w;
  *mean = *mean + w / max(sum, F{} + 1e-20f) * (value - *mean);
  *total = sum;
}

// The pinhole camera of a depth map.
struct DepthCamera {
  Mat3<float> rotation;  // cam_from_world
  Vec3<float> translation;
  float fx, fy, cx, cy;
};

NK_HD DepthCamera make_depth_camera(const float *cam_from_world, const float *intrinsics) {
  const float *m = cam_from_world, *k = intrinsics;
  return {{{{m[0], m[1], m[2]}, {m[4], m[5], m[6]}, {m[8], m[9], m[10]}}}, {m[3], m[7], m[11]}, k[0], k[1], k[2], k[3]};
}

// Of a voxel's colour [4], r g b and their weight, with a pixel [3].
NK_HD void average_color(float *color, const uint8_t *pixel, float weight) {
  const float share = weight / max(color[3] + weight, 1e-20f);
  for (int c = 0; c < 3; ++c) color[c] += share * (pixel[c] - color[c]);
  color[3] += weight;
}

}  // namespace nk
