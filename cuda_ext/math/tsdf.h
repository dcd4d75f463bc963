// Truncated signed distance fusion (Curless & Levoy 1996, section 3) into blocks of voxels: reference in
// nerfkit/core/reference_tsdf.py.
#pragma once

#include <cstdint>

#include "constants.h"
#include "lanes.h"
#include "linalg.h"

namespace nk {

constexpr int kBlockVoxels = NK_BLOCK * NK_BLOCK * NK_BLOCK;

// --- the camera of a depth map -----------------------------------------------------------------------------

struct DepthCamera {
  Mat3<float> rotation;  // cam_from_world
  Vec3<float> translation;
  float fx, fy, cx, cy;
};

NK_HD DepthCamera make_depth_camera(const float *cam_from_world, const float *intrinsics) {
  const float *m = cam_from_world, *k = intrinsics;
  return {{{{m[0], m[1], m[2]}, {m[4], m[5], m[6]}, {m[8], m[9], m[10]}}}, {m[3], m[7], m[11]}, k[0], k[1], k[2], k[3]};
}

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

// First and last of the blocks along one axis that voxels [low, high] reach: none if last < first.
NK_HD void block_span(float low, float high, int size, int *first, int *last) {
  const float most = static_cast<float>(size) + 1.0f;
  *first = static_cast<int>(min(max(low * (1.0f / NK_BLOCK), 0.0f), most));
  const float end = min(high * (1.0f / NK_BLOCK), most);
  *last = end < 0.0f ? -1 : static_cast<int>(end);
  if (*last > size - 1) *last = size - 1;
}

// Calls mark(x, y, z) for the blocks that the pixel's line of sight passes within the truncation of its depth. Each
// piece of the line is taken for the box around it, wider by a voxel, since a cube needs all its corners, and by half
// a pixel.
template <class Mark>
NK_HD void mark_pixel(const DepthCamera &camera, const BlockGrid &grid, int column, int row, float depth,
                      float truncation, int pieces, Mark mark) {
  const float inverse = 1.0f / grid.voxel_size;
  const Vec3<float> pixel = {(static_cast<float>(column) + 0.5f - camera.cx) / camera.fx,
                             (static_cast<float>(row) + 0.5f - camera.cy) / camera.fy, 1.0f};
  const Vec3<float> eye = multiply_transposed(camera.rotation, -1.0f * camera.translation) - grid.origin;
  const Vec3<float> start = inverse * eye, along = inverse * multiply_transposed(camera.rotation, pixel);
  const float margin = 1.0f + 0.5f * inverse * depth / min(camera.fx, camera.fy);
  const float step = 2.0f * truncation / static_cast<float>(pieces);
  for (int i = 0; i < pieces; ++i) {
    const float near = max(depth - truncation + static_cast<float>(i) * step, 0.0f);
    const float far = depth - truncation + static_cast<float>(i + 1) * step;
    const Vec3<float> a = start + near * along, b = start + far * along;
    int first[3], last[3];
    block_span(min(a.x, b.x) - margin, max(a.x, b.x) + margin, grid.size[0], &first[0], &last[0]);
    block_span(min(a.y, b.y) - margin, max(a.y, b.y) + margin, grid.size[1], &first[1], &last[1]);
    block_span(min(a.z, b.z) - margin, max(a.z, b.z) + margin, grid.size[2], &first[2], &last[2]);
    for (int x = first[0]; x <= last[0]; ++x)
      for (int y = first[1]; y <= last[1]; ++y)
        for (int z = first[2]; z <= last[2]; ++z) mark(x, y, z);
  }
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
// first and the side's length. Where it is not sure, it is kNear.
NK_HD Reach reach_of(const DepthCamera &camera, const DepthRange *tiles, int width, int height,
                     const Vec3<float> &first, float side, float truncation) {
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
  if (z1 <= 0.0f) return kHidden;
  if (z0 <= 1e-4f) return kNear;
  const float w = static_cast<float>(width), h = static_cast<float>(height), slack = 1e-5f * z1;
  if (u1 < -1.0f || v1 < -1.0f || u0 > w + 1.0f || v0 > h + 1.0f) return kHidden;
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
  if (z0 > largest + truncation + slack) return kHidden;
  return z1 < least - truncation - slack ? kFree : kNear;
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
