// Multiresolution hash encoding (Müller et al. 2022, section 3): which table entries a point reads on a level, and how
// they are weighted.
//
// A level of resolution N has (N + 1)^3 vertices. Where that many entries fit, each vertex has its own; else vertices
// share them by a hash: (x xor 2654435761 y xor 805459861 z) mod size (ibid., eq. 4), with a size that is a power of
// two. A point's feature is trilinearly interpolated between the entries of the eight vertices around it.
#pragma once

#include <cstdint>

#include "lanes.h"

namespace nk {

struct GridLevel {
  int resolution;  // N
  int first;       // the level's first entry in the table
  int mask;        // size - 1 where entries are hashed, 0 where every vertex has its own
};

// The level with the entries [first, end) of a table of `entries`; whether it is one that reads nothing else.
NK_HD bool grid_level(int resolution, int first, int end, int entries, GridLevel *level) {
  const int64_t n = int64_t(resolution) + 1, size = int64_t(end) - first;
  *level = {resolution, first, static_cast<int>(size - 1)};
  if (n < 2 || size < 1 || first < 0 || end > entries) return false;
  if (size >= n * n * n) level->mask = 0;
  return level->mask == 0 || (size > 1 && (size & (size - 1)) == 0);
}

// The cell of [0, 1]^3 in which a point lies, and how far along the cell, in [0, 1]. What lies outside is moved to the
// border.
template <class F, class I>
NK_HD void grid_cell(const F *point, int resolution, I *cell, F *along) {
  for (int axis = 0; axis < 3; ++axis) {
    const F p = min(max(point[axis], 0.0f), 1.0f) * static_cast<float>(resolution);
    cell[axis] = to_int(min(p, static_cast<float>(resolution) - 0.5f));
    along[axis] = p - to_float(cell[axis]);
  }
}

template <class I>
NK_HD I grid_entry(const GridLevel &level, I x, I y, I z) {
  if (level.mask)
    return level.first + ((x ^ wrapping_product(y, 2654435761u) ^ wrapping_product(z, 805459861u)) & level.mask);
  const int n = level.resolution + 1;
  return level.first + x + n * (y + n * z);
}

// The entries of a cell's eight vertices; vertex k has the offsets k & 1, k >> 1 & 1, k >> 2 along x, y, z.
template <class I>
NK_HD void grid_entries(const GridLevel &level, const I *cell, I *entries) {
  for (int k = 0; k < 8; ++k)
    entries[k] = grid_entry(level, cell[0] + (k & 1), cell[1] + (k >> 1 & 1), cell[2] + (k >> 2));
}

// The weight of vertex k: the product over the axes of `along` or 1 - `along`.
template <class F>
NK_HD F grid_weight(int k, const F *along) {
  const F x = k & 1 ? along[0] : 1.0f - along[0];
  const F y = k >> 1 & 1 ? along[1] : 1.0f - along[1];
  const F z = k >> 2 ? along[2] : 1.0f - along[2];
  return x * y * z;
}

// Adds to v_point the gradient through the weights, v_weight [8] being theirs: d weight_k / d x = -+ N (the other two
// factors), and zero outside of [0, 1], where the point does not move with x.
template <class F>
NK_HD void grid_weight_vjp(int resolution, const F *point, const F *along, const F *v_weight, F *v_point) {
  const F zero = point[0] * 0.0f;
  for (int axis = 0; axis < 3; ++axis) {
    const int second = axis == 0 ? 1 : 0, third = axis == 2 ? 1 : 2;
    F v = zero;
    for (int k = 0; k < 8; ++k) {
      const F b = k >> second & 1 ? along[second] : 1.0f - along[second];
      const F c = k >> third & 1 ? along[third] : 1.0f - along[third];
      v = v + (k >> axis & 1 ? v_weight[k] : -v_weight[k]) * b * c;
    }
    const auto inside = both(point[axis] >= 0.0f, point[axis] <= 1.0f);
    v_point[axis] = v_point[axis] + select(inside, v * static_cast<float>(resolution), zero);
  }
}

}  // namespace nk
