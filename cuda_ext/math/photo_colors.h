// What a photo shows of points of a surface: reference in nerfkit/core/reference_photo_colors.py.
#pragma once

#include <cstdint>

#include "pinhole.h"

namespace nk {

// A photo with the surface drawn into it.
struct SurfacePhoto {
  Pinhole camera;
  int height, width, colors;
  float min_cosine, slack;
  const float *depth, *trust, *planes;
};

template <class Params>
NK_HD SurfacePhoto surface_photo(const Params &p) {
  return {
      make_pinhole(p.cam_from_world, p.intrinsics), p.H, p.W, p.C, p.min_cosine, p.slack, p.depth, p.trust, p.planes};
}

// Between the four pixel centres around a place that lies a pixel or more within.
template <class F, class Int>
struct Bilinear {
  Int corner;  // the upper left one's number
  F a, b;      // how far to the right and down

  NK_HD F operator()(const float *plane, int width) const {
    const F upper = (1.0f - a) * gather(plane, corner) + a * gather(plane + 1, corner);
    const F lower = (1.0f - a) * gather(plane + width, corner) + a * gather(plane + width + 1, corner);
    return (1.0f - b) * upper + b * lower;
  }
};

template <class F>
NK_HD auto bilinear_at(F u, F v, int width) -> Bilinear<F, decltype(to_int(u))> {
  const F x = u - 0.5f, y = v - 0.5f;
  const auto left = to_int(x), top = to_int(y);
  return {top * width + left, x - to_float(left), y - to_float(top)};
}

// Calls put_weight(w), and put_color(c, value) for all colours, for a point x with the unit normal n.
template <class F, class PutWeight, class PutColor>
NK_HD void photo_colors(const SurfacePhoto &photo, const Vec3<F> &x, const Vec3<F> &n, PutWeight put_weight,
                        PutColor put_color) {
  const Pinhole &camera = photo.camera;
  const Vec3<F> turned = multiply(camera.rotation, x), facing = multiply(camera.rotation, n);
  const Vec3<F> at = {turned.x + camera.translation.x, turned.y + camera.translation.y,
                      turned.z + camera.translation.z};
  const F cosine = -dot(at, facing) / sqrt(dot(at, at)), inverse = 1.0f / at.z;
  const F u = at.x * inverse * camera.fx + camera.cx, v = at.y * inverse * camera.fy + camera.cy;
  const auto across = both(u > 1.0f, u < photo.width - 1.0f), down = both(v > 1.0f, v < photo.height - 1.0f);
  const auto inside = both(both(across, down), both(at.z > 0.0f, cosine > photo.min_cosine));
  const F none = F{};
  if (!any(inside)) {
    put_weight(none);
    for (int c = 0; c < photo.colors; ++c) put_color(c, none);
    return;
  }
  const F column = select(inside, u, none + 1.0f), row = select(inside, v, none + 1.0f);
  const F front = gather(photo.depth, to_int(row) * photo.width + to_int(column));
  const float focal = 0.5f * (camera.fx + camera.fy);
  const auto seen = both(inside, both(front > 0.0f, at.z <= front + at.z * (photo.slack / focal) / cosine));
  const auto look = bilinear_at(column, row, photo.width);
  const F density = cosine * focal * inverse;
  const F weight = select(seen, look(photo.trust, photo.width) * density * density, none);
  put_weight(weight);
  const int64_t size = int64_t(photo.height) * photo.width;
  for (int c = 0; c < photo.colors; ++c)
    put_color(c, select(weight > 0.0f, look(photo.planes + c * size, photo.width), none));
}

}  // namespace nk
