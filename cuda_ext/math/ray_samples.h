// Where rays have samples: what of a ray lies in a cube, the intervals between edges, and the places of their middles.
#pragma once

#include <cstdint>

#include "lanes.h"

namespace nk {

// Writes the distances at which a ray enters and leaves the cube [-outer, outer]^3, no nearer than `near`; both are
// alike where it misses it. By slabs (Kay & Kajiya 1986, section 3). A ray that runs in a face's plane has 0 * inf
// there: it is inside or outside whatever its distance.
NK_HD void ray_range(const float *origin, const float *direction, float outer, float near, float *range) {
  constexpr float kFarthest = 3.402823466e38f;
  float enter = -kFarthest, leave = kFarthest;
  for (int axis = 0; axis < 3; ++axis) {
    const float inverse = 1.0f / direction[axis];
    const float a = (-outer - origin[axis]) * inverse, b = (outer - origin[axis]) * inverse;
    if (a != a || b != b) continue;
    enter = max(enter, min(a, b));
    leave = min(leave, max(a, b));
  }
  enter = min(max(enter, near), kFarthest);
  range[0] = enter;
  range[1] = max(enter, leave);
}

// The distance at a place on a scale that is even up to `half`, which is 1, and beyond, with `disparity`, even in the
// inverse distance: 2 is infinity.
NK_HD float distance_on_scale(float s, float half, bool disparity) {
  return (disparity && !(s < 1.0f) ? 1.0f / max(2.0f - s, 1e-6f) : s) * half;
}

// Writes the n intervals between n + 1 edges of a ray on that scale: where each begins and ends.
NK_HD void intervals_of_ray(const float *edges, int n, float half, bool disparity, float *t_start, float *t_end) {
  float before = distance_on_scale(edges[0], half, disparity);
  for (int i = 0; i < n; ++i) {
    const float next = distance_on_scale(edges[i + 1], half, disparity);
    t_start[i] = before;
    t_end[i] = next;
    before = next;
  }
}

// Writes the middle of a sample.
NK_HD void sample_point(const float *origin, const float *direction, float t_start, float t_end, float *point) {
  const float middle = 0.5f * (t_start + t_end);
  for (int axis = 0; axis < 3; ++axis) point[axis] = origin[axis] + middle * direction[axis];
}

}  // namespace nk
