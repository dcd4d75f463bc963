// Triangles on a grid of pixels, without cracks: reference in nerfkit/core/reference_draw.py.
//
// Corners are snapped to 1/256 of a pixel, and which pixel centres (at +0.5) lie inside is decided in whole numbers:
// a centre on an edge that two triangles share belongs to the one for which it is a top or a left edge (the fill rule
// of Direct3D and of every GPU). Edge functions after Pineda 1988, "A Parallel Algorithm for Polygon Rasterization".
#pragma once

#include <cstdint>

#include "lanes.h"

namespace nk {

constexpr int kSubpixelBits = 8;
constexpr int64_t kSubpixels = 1 << kSubpixelBits;
constexpr float kFarthestPixel = 1 << 21;  // so that edge functions stay below 2^62

// Edge i lies opposite of corner i: e_i(x, y) = row[i] + step_x[i] x + step_y[i] y at the centre of pixel (x, y), at
// least 0 inside.
struct Triangle {
  int64_t row[3], step_x[3], step_y[3];
  int64_t bias[3];               // -1 for an edge whose pixels belong to the neighbour
  double weight[3];              // 1 / (depth of corner i * twice the area)
  int left, right, top, bottom;  // the pixels whose centres the triangle's box holds, inclusive
};

NK_HD int64_t snapped(float x) {
  const double scaled = static_cast<double>(x) * static_cast<double>(kSubpixels) + 0.5;
  const int64_t towards_zero = static_cast<int64_t>(scaled);
  return towards_zero - (scaled < static_cast<double>(towards_zero));
}

NK_HD int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
NK_HD int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// A number of this size, and none that is not a number.
NK_HD bool within(float x, float limit) { return x > -limit && x < limit; }

// The first and the last of `size` pixels whose centres lie within [low, high].
NK_HD void box_of(int64_t low, int64_t high, int size, int *first, int *last) {
  const int64_t half = kSubpixels / 2;
  *first = static_cast<int>(most(0, (low - half + kSubpixels - 1) >> kSubpixelBits));
  *last = static_cast<int>(least(size - 1, (high - half) >> kSubpixelBits));
}

// The triangle of three corners x, y, depth, either way around, in an image. False: there is nothing to draw, since it
// has no area, misses all pixel centres, or reaches behind the camera (depth 0 or less) or too far out.
NK_HD bool make_triangle(const float *const *corners, int width, int height, Triangle *t) {
  int64_t x[3], y[3];
  for (int i = 0; i < 3; ++i) {
    const float *corner = corners[i];
    if (!within(corner[0], kFarthestPixel) || !within(corner[1], kFarthestPixel)) return false;
    if (!(corner[2] > 0.0f && corner[2] < 3e38f)) return false;
    x[i] = snapped(corner[0]);
    y[i] = snapped(corner[1]);
  }
  box_of(least(least(x[0], x[1]), x[2]), most(most(x[0], x[1]), x[2]), width, &t->left, &t->right);
  box_of(least(least(y[0], y[1]), y[2]), most(most(y[0], y[1]), y[2]), height, &t->top, &t->bottom);
  if (t->left > t->right || t->top > t->bottom) return false;
  const int64_t area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
  if (area == 0) return false;
  const int64_t turn = area < 0 ? -1 : 1;
  const double inverse_area = 1.0 / static_cast<double>(area * turn);
  for (int i = 0; i < 3; ++i) {
    const int a = (i + 1) % 3, b = (i + 2) % 3;
    const int64_t dx = turn * (x[b] - x[a]), dy = turn * (y[b] - y[a]);
    t->step_x[i] = -dy * kSubpixels;
    t->step_y[i] = dx * kSubpixels;
    t->row[i] = dx * (kSubpixels / 2 - y[a]) - dy * (kSubpixels / 2 - x[a]);
    t->bias[i] = dy < 0 || (dy == 0 && dx > 0) ? 0 : -1;
    t->weight[i] = inverse_area / static_cast<double>(corners[i][2]);
  }
  return true;
}

// The pixels of row y that belong to a triangle, first .. last; none if first > last.
NK_HD void span_of(const Triangle &t, int y, int *first, int *last) {
  int64_t low = t.left, high = t.right;
  for (int i = 0; i < 3; ++i) {
    const int64_t edge = t.row[i] + t.step_y[i] * y + t.bias[i], step = t.step_x[i];
    if (step > 0) {
      if (edge < 0) low = most(low, (step - 1 - edge) / step);
    } else if (edge < 0) {
      high = -1;
    } else if (step < 0) {
      high = least(high, edge / -step);
    }
  }
  *first = static_cast<int>(low);
  *last = static_cast<int>(high);
}

// The corners' shares of 1 / depth at a pixel's centre, which are affine in the image, and their sum.
struct Shares {
  double share[3], sum;
};

NK_HD Shares shares_at(const Triangle &t, int x, int y) {
  Shares s;
  for (int i = 0; i < 3; ++i)
    s.share[i] = static_cast<double>(t.row[i] + t.step_y[i] * y + t.step_x[i] * x) * t.weight[i];
  s.sum = s.share[0] + s.share[1] + s.share[2];
  return s;
}

NK_HD float depth_of(const Shares &s) { return static_cast<float>(1.0 / s.sum); }

}  // namespace nk
