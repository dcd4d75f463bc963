// Marching along a ray through an occupancy grid (Müller et al. 2022, appendix E.1): empty cells are skipped, and steps
// grow with the distance.
//
// The grid has cascades: level k divides the cube [-half 2^k, half 2^k]^3 into cells^3 cells. A point is looked up on
// the finest level that holds it and whose cells are not smaller than the step.
#pragma once

#include <cstdint>

#include "lanes.h"
#include "linalg.h"

namespace nk {

struct OccupancyGrid {
  const uint8_t *bits;  // bit x of cell (z, y, x) of level k: bits[(((k * cells) + z) * cells + y) * cells + x]
  int levels, cells;    // cells is a multiple of 8
  float half;           // of the innermost cube's side
};

struct MarchSteps {
  float cone;         // step over distance
  float least, most;  // bounds of a step
  NK_HD float at(float t) const { return min(max(t * cone, least), most); }
};

// The level that a point at the given largest absolute coordinate is looked up on; `levels` where it lies outside of
// all.
NK_HD int march_level(const OccupancyGrid &grid, float largest, float step) {
  int level = 0;
  float half = grid.half;
  while (level < grid.levels && largest >= half) {
    half *= 2.0f;
    ++level;
  }
  while (level < grid.levels - 1 && step * static_cast<float>(grid.cells) > 2.0f * half) {
    half *= 2.0f;
    ++level;
  }
  return level;
}

// The distance along the ray from p to where the coordinate leaves its cell; far away where the ray runs parallel.
NK_HD float cell_exit(float p, float direction, float corner, float cell) {
  if (direction == 0.0f) return 1e30f;
  const float border = direction > 0.0f ? corner + cell : corner;
  return (border - p) / direction;
}

// Whether the point at distance t + step / 2 is occupied. *skip is by how many steps the ray may go on from t: by one,
// or if it isn't occupied out of the cell.
NK_HD bool march_is_occupied(const OccupancyGrid &grid, const Vec3<float> &origin, const Vec3<float> &direction,
                             float t, float step, float *skip) {
  const float middle = fused(0.5f, step, t);
  const float p[3] = {fused(middle, direction.x, origin.x), fused(middle, direction.y, origin.y),
                      fused(middle, direction.z, origin.z)};
  const float d[3] = {direction.x, direction.y, direction.z};
  const int level = march_level(grid, max(max(abs(p[0]), abs(p[1])), abs(p[2])), step);
  *skip = 1.0f;
  if (level >= grid.levels) return false;
  const float half = grid.half * static_cast<float>(1 << level);
  const float cell = 2.0f * half / static_cast<float>(grid.cells);
  int index[3];
  float exit = 1e30f;
  for (int axis = 0; axis < 3; ++axis) {
    const int i = to_int((p[axis] + half) / cell);
    index[axis] = i < 0 ? 0 : i >= grid.cells ? grid.cells - 1 : i;
    exit = min(exit, cell_exit(p[axis], d[axis], fused(static_cast<float>(index[axis]), cell, -half), cell));
  }
  const int64_t bit = ((int64_t(level) * grid.cells + index[2]) * grid.cells + index[1]) * grid.cells + index[0];
  if (grid.bits[bit >> 3] >> (bit & 7) & 1) return true;
  // From the middle of this step to the middle of the first one beyond the cell.
  *skip = max(1.0f, static_cast<float>(to_int(min(exit / step, 1e6f))) + 1.0f);
  return false;
}

// Calls visit(number, t, t + step) for every sample, near to far: at most `most` of them between `near` and `far`. The
// first step begins after `jitter` of a step. One kernel counts the samples that another writes, and both must find the
// same ones: hence `fused`.
template <class Visit>
NK_HD int march(const OccupancyGrid &grid, const MarchSteps &steps, const Vec3<float> &origin,
                const Vec3<float> &direction, float near, float far, float jitter, int most, Visit visit) {
  int found = 0;
  float t = fused(jitter, steps.at(near), near);
  while (t < far && found < most) {
    const float step = steps.at(t);
    float skip;
    if (march_is_occupied(grid, origin, direction, t, step, &skip)) {
      visit(found++, t, t + step);
      skip = 1.0f;
    }
    const float next = fused(skip, step, t);
    if (!(next > t)) break;  // NaN, or a step below the float's resolution
    t = next;
  }
  return found;
}

}  // namespace nk
