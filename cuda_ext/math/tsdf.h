// Truncated signed distance fusion (Curless & Levoy 1996, section 3) into blocks of voxels: reference in
// nerfkit/core/reference_tsdf.py.
#pragma once

#include <cstdint>

#include "constants.h"
#include "lanes.h"
#include "linalg.h"
#include "pinhole.h"

namespace nk {

constexpr int kBlockVoxels = NK_BLOCK * NK_BLOCK * NK_BLOCK;

// --- depth maps -----------------------------------------------------------------------------

// A depth map [H, W] of z values; 0 or less where nothing is seen.
struct DepthMap {
  const float *depth;
  int height, width;
};

// Between four neighbouring pixel centres. 1/z is affine in the pixel on a plane, so that is what is interpolated; all
// over one denominator, for one division.
template <class F>
NK_HD F interpolated_depth(F d00, F d01, F d10, F d11, F a, F b) {
  const F upper = d00 * d01, lower = d10 * d11;
  const F in_upper = (1.0f - a) * d01 + a * d00, in_lower = (1.0f - a) * d11 + a * d10;
  return upper * lower * reciprocal((1.0f - b) * in_upper * lower + b * in_lower * upper);
}

// The depth at pixel coordinates u, v inside the image (centres at +0.5); across an edge (or a hole, or the border) it
// is the depth of the pixel itself.
NK_HD float depth_at(const DepthMap &map, float u, float v, float truncation) {
  const float x = u - 0.5f, y = v - 0.5f;
  const int left = static_cast<int>(x), top = static_cast<int>(y);
  const float nearest = map.depth[static_cast<int64_t>(v) * map.width + static_cast<int>(u)];
  if (x < 0 || y < 0 || left + 1 >= map.width || top + 1 >= map.height) return nearest;
  const float *p = map.depth + static_cast<int64_t>(top) * map.width + left;
  const float d00 = p[0], d01 = p[1], d10 = p[map.width], d11 = p[map.width + 1];
  const float low = min(min(d00, d01), min(d10, d11)), high = max(max(d00, d01), max(d10, d11));
  if (!(low > 0 && high - low <= truncation)) return nearest;
  return interpolated_depth(d00, d01, d10, d11, x - left, y - top);
}

// --- which blocks a pixel's surface reaches ------------------------------------------------------------------

// Blocks in a box: [0, X) x [0, Y) x [0, Z).
struct BlockGrid {
  Vec3<float> origin;  // centre of the first voxel
  float voxel_size;
  int size[3];
};

constexpr float kMarkStep = 4.0f;  // voxels of depth that one box stands for

// In how many pieces a line of sight is cut within the truncation of a surface.
NK_HD int mark_pieces(float voxel_size, float truncation) {
  const float pieces = 2.0f * truncation / (kMarkStep * voxel_size);
  return 1 + static_cast<int>(min(pieces, 1e4f) - 1e-3f);
}

// Blocks [first, last] along each axis, as whole numbers in F: none if last < first.
template <class F>
struct BlockBox {
  F first[3], last[3];
};

// The blocks along one axis that voxels [low, high] reach.
template <class F>
NK_HD void block_span(F low, F high, int size, F *first, F *last) {
  const F zero = {}, end = high * (1.0f / NK_BLOCK);
  *first = to_float(to_int(min(max(low * (1.0f / NK_BLOCK), zero), zero + (static_cast<float>(size) + 1.0f))));
  *last = to_float(to_int(select(end < 0.0f, zero - 1.0f, min(end, zero + (static_cast<float>(size) - 1.0f)))));
}

// What is alike for the pixels of a depth map when blocks are marked.
struct MarkView {
  Pinhole camera;
  Vec3<float> start;  // the camera's centre, in voxels
  float inverse;      // of the voxel size
  float truncation, step;
};

NK_HD MarkView make_mark_view(const Pinhole &camera, const BlockGrid &grid, float truncation) {
  const float inverse = 1.0f / grid.voxel_size;
  const Vec3<float> eye = multiply_transposed(camera.rotation, -1.0f * camera.translation) - grid.origin;
  return {camera, inverse * eye, inverse, truncation,
          2.0f * truncation / static_cast<float>(mark_pieces(grid.voxel_size, truncation))};
}

// The blocks that piece i of a pixel's line of sight passes, within the truncation of its depth. It is taken for the
// box around it, wider by a voxel, since a cube needs all its corners, and by half a pixel.
template <class F>
NK_HD BlockBox<F> mark_box(const MarkView &view, const BlockGrid &grid, F column, F row, F depth, int i) {
  const Pinhole &camera = view.camera;
  const F x = (column + 0.5f - camera.cx) * (1.0f / camera.fx), y = (row + 0.5f - camera.cy) * (1.0f / camera.fy);
  const F margin = 1.0f + (0.5f * view.inverse / min(camera.fx, camera.fy)) * depth;
  const F near = max(depth + (static_cast<float>(i) * view.step - view.truncation), F{});
  const F far = depth + (static_cast<float>(i + 1) * view.step - view.truncation);
  const Vec3<float> *m = camera.rotation.row;  // turned by its transpose
  const F along[3] = {view.inverse * (m[0].x * x + m[1].x * y + m[2].x),
                      view.inverse * (m[0].y * x + m[1].y * y + m[2].y),
                      view.inverse * (m[0].z * x + m[1].z * y + m[2].z)};
  const float start[3] = {view.start.x, view.start.y, view.start.z};
  BlockBox<F> box;
  for (int axis = 0; axis < 3; ++axis) {
    const F a = start[axis] + near * along[axis], b = start[axis] + far * along[axis];
    block_span(min(a, b) - margin, max(a, b) + margin, grid.size[axis], &box.first[axis], &box.last[axis]);
  }
  return box;
}

// Calls mark(x, y, z) for the blocks of a box.
template <class Mark>
NK_HD void for_blocks_of(const BlockBox<float> &box, Mark mark) {
  for (int x = to_int(box.first[0]); x <= to_int(box.last[0]); ++x)
    for (int y = to_int(box.first[1]); y <= to_int(box.last[1]); ++y)
      for (int z = to_int(box.first[2]); z <= to_int(box.last[2]); ++z) mark(x, y, z);
}

// --- what a depth map has to say about a block ---------------------------------------------------------------

// Least and largest depth in each square of kDepthTile pixels. `least` is 0 where a pixel that counts shows no depth,
// `largest` is 0 where no pixel shows any.
constexpr int kDepthTile = 8;

NK_HD int depth_tiles_along(int pixels) { return (pixels + kDepthTile - 1) / kDepthTile; }

struct DepthRange {
  float least, largest;
};

NK_HD DepthRange depth_range(const DepthMap &map, const uint8_t *pixels, int tile_x, int tile_y) {
  DepthRange range = {1e30f, 0.0f};
  const int x0 = tile_x * kDepthTile, y0 = tile_y * kDepthTile;
  for (int y = y0; y < y0 + kDepthTile && y < map.height; ++y) {
    for (int x = x0; x < x0 + kDepthTile && x < map.width; ++x) {
      const int64_t at = static_cast<int64_t>(y) * map.width + x;
      const float depth = map.depth[at];
      if (depth > 0.0f) {
        range.least = min(range.least, depth);
        range.largest = max(range.largest, depth);
      } else if (pixels[4 * at + 3] != 0) {
        range.least = 0.0f;
      }
    }
  }
  return range;
}

enum Reach {
  kHidden,  // behind all that is seen there, or out of sight
  kFree,    // before all that is seen there, by more than the truncation
  kNear,    // anything else
};

// What the map says about all voxels of a block whose first and last voxel centres in the scene frame are given by the
// first and the side's length. Where it is not sure, it is kNear. `hidden_from` and `free_to` are depths behind and
// before which that is so for single voxels of the block.
struct Sight {
  Reach reach;
  float hidden_from, free_to;
};

NK_HD Sight sight_of(const Pinhole &camera, const DepthRange *tiles, int width, int height, const Vec3<float> &first,
                     float side, float truncation) {
  const Vec3<float> corner = multiply(camera.rotation, first) + camera.translation;
  float u0 = 1e30f, u1 = -1e30f, v0 = 1e30f, v1 = -1e30f, z0 = 1e30f, z1 = -1e30f;
  for (int i = 0; i < 8; ++i) {
    const float dx = i & 4 ? side : 0.0f, dy = i & 2 ? side : 0.0f, dz = i & 1 ? side : 0.0f;
    const Vec3<float> at = corner + multiply(camera.rotation, Vec3<float>{dx, dy, dz});
    z0 = min(z0, at.z);
    z1 = max(z1, at.z);
    const float inverse = 1.0f / max(at.z, 1e-6f);
    const float u = camera.fx * at.x * inverse + camera.cx, v = camera.fy * at.y * inverse + camera.cy;
    u0 = min(u0, u);
    u1 = max(u1, u);
    v0 = min(v0, v);
    v1 = max(v1, v);
  }
  if (z1 <= 0.0f) return {kHidden, 0.0f, 0.0f};
  if (z0 <= 1e-4f) return {kNear, 1e30f, 0.0f};
  const float w = static_cast<float>(width), h = static_cast<float>(height), slack = 1e-5f * z1;
  if (u1 < -1.0f || v1 < -1.0f || u0 > w + 1.0f || v0 > h + 1.0f) return {kHidden, 0.0f, 0.0f};
  // a pixel more on each side: a depth is interpolated between its neighbours, and numbers are rounded
  const int x0 = static_cast<int>(max(u0 - 1.6f, 0.0f)) / kDepthTile;
  const int y0 = static_cast<int>(max(v0 - 1.6f, 0.0f)) / kDepthTile;
  const int x1 = static_cast<int>(max(min(u1 + 1.6f, w - 1.0f), 0.0f)) / kDepthTile;
  const int y1 = static_cast<int>(max(min(v1 + 1.6f, h - 1.0f), 0.0f)) / kDepthTile;
  const int across = depth_tiles_along(width);
  float least = 1e30f, largest = 0.0f;
  for (int y = y0; y <= y1; ++y) {
    for (int x = x0; x <= x1; ++x) {
      least = min(least, tiles[static_cast<int64_t>(y) * across + x].least);
      largest = max(largest, tiles[static_cast<int64_t>(y) * across + x].largest);
    }
  }
  const float hidden_from = largest + truncation + slack, free_to = least - truncation - slack;
  return {z0 > hidden_from ? kHidden : z1 < free_to ? kFree : kNear, hidden_from, free_to};
}

// How much a surface counts for a voxel `distance` before it, from -truncation on: fully down to a voxel behind it, and
// less and less beyond, where what is thinner than the truncation shows its other side to other views.
template <class F>
NK_HD F share_behind(F distance, float voxel_size, float truncation) {
  return min((distance + truncation) * (1.0f / max(truncation - voxel_size, 1e-20f)), 1.0f);
}

// --- voxels --------------------------------------------------------------------------------------------------

// Colours are kept as 16-bit floats. Only what is not negative is stored; what is less than the smallest normal one
// becomes 0. F is float or lanes, I its integers.
template <class F, class I>
NK_HD F from_half_bits(I bits) {
  return float_of_bits(shift_left(bits, 13)) * 5.192296858534828e33f;  // 2^112
}
template <class F>
NK_HD auto to_half_bits(F x) {
  const auto bits = bits_of(select(x >= 6.103515625e-5f, min(x, F{} + 65504.0f), F{}) * 1.925929944387236e-34f);
  return (bits + 0xfff + ((bits >> 13) & 1)) >> 13;
}

}  // namespace nk
