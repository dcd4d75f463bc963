// From splats to per-tile lists, near to far: the splats are sorted by depth, the tiles that each reaches are listed in
// that order, and the list is sorted by tile. Sorts are stable, so that the order within a tile is the depth order; of
// a sort by tile and depth at once this is the cheap half, since far fewer splats than pairs are sorted by the depth's
// 31 bits and the pairs only by the tile's (Lee et al. 2024, "GSCore", does the same in hardware).
//
// A splat's tiles are found twice, to count them and to list them, so that the list has room for exactly those.
#include "../checks.h"
#include "sort.h"
#include "tile.h"

namespace nk {
namespace {

constexpr int kBlock = 128;
constexpr unsigned kWarp = 0xffffffffu;
constexpr float kSlack = 0.01f;            // pixels: rounding must not lose one that the rasterizer would draw
constexpr int kAlone = 12;                 // tiles that a thread looks at by itself; of larger boxes its warp does
constexpr unsigned kCulled = 0x7fffffffu;  // behind every depth: positive floats sort like their bit patterns
constexpr int kDepthBits = 31, kReachBits = 8;

// Where a splat is drawn: a dx^2 + 2 b dx dy + c dy^2 <= cut, and the tiles that its bounding box touches.
struct Ellipse {
  float x, y, a, b, c, cut;
  float steep_x, steep_y;  // the x at which the form is least for a given y is steep_x y, and the other way around
  int x0, y0, across, down;

  NK_DEVICE int tiles() const { return across * down; }
};

// Tiles [first, first + count) that [center - extent, center + extent] touches.
NK_DEVICE void span(float center, float extent, int size, int *first, int *count) {
  const float reach = extent + kSlack, most = static_cast<float>(size);
  const int begin = static_cast<int>(min(max(0.0f, center - reach), most));
  const int end = static_cast<int>(max(min(most, center + reach), -1.0f));
  *first = begin / kTile;
  *count = end < 0 ? 0 : max(0, min(end, size - 1) / kTile - *first + 1);
}

// The sum of a dx^2 and c dy^2 comes a millionth too small and the cut a little too large: where b dx dy nearly cancels
// them, rounding must not lose a pixel.
NK_DEVICE Ellipse ellipse_of(const float *splat, int width, int height) {
  Ellipse e;
  e.x = splat[NK_SPLAT_X];
  e.y = splat[NK_SPLAT_Y];
  const float a = splat[NK_SPLAT_A], c = splat[NK_SPLAT_C];
  e.b = splat[NK_SPLAT_B];
  e.steep_x = -e.b / a;
  e.steep_y = -e.b / c;
  e.a = a * (1.0f - 1e-6f);
  e.c = c * (1.0f - 1e-6f);
  e.cut = splat[NK_SPLAT_CUT] * 1.0001f + 1e-4f;
  span(e.x, splat[NK_SPLAT_EXTENT_X], width, &e.x0, &e.across);
  span(e.y, splat[NK_SPLAT_EXTENT_Y], height, &e.y0, &e.down);
  return e;
}

NK_DEVICE float clamped(float x, float low, float high) { return min(max(x, low), high); }

// A range of pixel centres along one axis, from the mean, and its point nearest to the mean.
struct Range {
  float low, high, near;
};

NK_DEVICE Range part_range(int first, int count, int size, float mean) {
  const float low = static_cast<float>(first) + 0.5f - mean;
  const float high = static_cast<float>(min(first + count, size)) - 0.5f - mean;
  return {low, high, clamped(0.0f, low, high)};
}

// The form is convex, so that over a rectangle that doesn't hold the mean it is least on a side that faces the mean.
NK_DEVICE bool reaches(const Ellipse &e, const Range &x, const Range &y) {
  const auto holds = [&](float dx, float dy) { return e.a * dx * dx + e.c * dy * dy + 2.0f * e.b * dx * dy <= e.cut; };
  return holds(x.near, clamped(e.steep_y * x.near, y.low, y.high)) ||
         holds(clamped(e.steep_x * y.near, x.low, x.high), y.near);
}

// Bit p tells that a splat reaches part p of a tile.
NK_DEVICE unsigned parts_reached(const Ellipse &e, int tile_x, int tile_y, int width, int height) {
  unsigned bits = 0;
  for (int part = 0; part < kParts; ++part) {
    const int left = tile_x * kTile + part % kPartsX * kPartWidth, top = tile_y * kTile + part / kPartsX * kPartHeight;
    if (left < width && top < height &&
        reaches(e, part_range(left, kPartWidth, width, e.x), part_range(top, kPartHeight, height, e.y)))
      bits |= 1u << part;
  }
  return bits;
}

struct Image {
  const float *splats;
  int width, height, tiles_x;
};

template <class Params>
Image image_of(const Params *p) {
  return {p->splats, p->width, p->height, tiles_along(p->width)};
}

// The tile number t of an ellipse's box, and which of its parts are reached.
NK_DEVICE unsigned look_at(const Image &image, const Ellipse &e, int t, int *tile) {
  const int tile_x = e.x0 + t % e.across, tile_y = e.y0 + t / e.across;
  *tile = tile_y * image.tiles_x + tile_x;
  return parts_reached(e, tile_x, tile_y, image.width, image.height);
}

// Calls put(at, splat, tile, parts) for every tile that the splat reaches, with at = first, first + 1…, and returns how
// many there are; none for splat -1. Whole warps call it together: the tiles of a large box are looked at by all of the
// lanes, 32 at a time.
template <class Put>
NK_DEVICE int list_tiles(const Image &image, int splat, int64_t first, Put put) {
  const int lane = threadIdx.x % 32;
  Ellipse own = {};
  if (splat >= 0) own = ellipse_of(image.splats + int64_t(splat) * NK_SPLAT_SIZE, image.width, image.height);
  int found = 0, tile;
  const bool alone = own.tiles() <= kAlone;
  for (int t = 0; alone && t < own.tiles(); ++t) {
    const unsigned parts = look_at(image, own, t, &tile);
    if (parts) put(first + found++, splat, tile, parts);
  }
  for (unsigned large = __ballot_sync(kWarp, !alone); large; large &= large - 1) {
    const int owner = __ffs(static_cast<int>(large)) - 1;
    const int other = __shfl_sync(kWarp, splat, owner);
    const int64_t other_first = __shfl_sync(kWarp, first, owner);
    const Ellipse e = ellipse_of(image.splats + int64_t(other) * NK_SPLAT_SIZE, image.width, image.height);
    int of_other = 0;
    for (int t = lane; t - lane < e.tiles(); t += 32) {
      const unsigned parts = t < e.tiles() ? look_at(image, e, t, &tile) : 0;
      const unsigned hits = __ballot_sync(kWarp, parts != 0);
      if (parts) put(other_first + of_other + __popc(hits & ((1u << lane) - 1)), other, tile, parts);
      of_other += __popc(hits);
    }
    if (lane == owner) found = of_other;
  }
  return found;
}

__global__ void __launch_bounds__(kBlock) depth_keys(nk_bin_params p, uint32_t *keys, int32_t *indices) {
  const int64_t i = thread_number();
  if (i >= p.N) return;
  const float depth = p.splats[i * NK_SPLAT_SIZE + NK_SPLAT_DEPTH];
  keys[i] = depth > 0.0f ? __float_as_uint(depth) : kCulled;
  indices[i] = static_cast<int32_t>(i);
}

// Of the sorted splats: the pairs of each, none behind the last, and the number of the visible ones.
__global__ void __launch_bounds__(kBlock)
    count_tiles(nk_bin_params p, Image image, const uint32_t *sorted_keys, int64_t *counts, int64_t *visible) {
  const int64_t m = thread_number();
  const bool seen = m < p.N && sorted_keys[m] != kCulled;
  const int found = list_tiles(image, seen ? p.order[m] : -1, 0, [](int64_t, int, int, unsigned) {});
  if (m <= p.N) counts[m] = found;
  if (seen && (m + 1 == p.N || sorted_keys[m + 1] == kCulled)) *visible = m + 1;
}

__global__ void __launch_bounds__(kBlock) list_pairs(nk_fill_params p, Image image, uint32_t *keys, int32_t *indices) {
  const int64_t m = thread_number();
  const bool seen = m < p.M;
  list_tiles(image, seen ? p.order[m] : -1, seen ? p.room[m] : 0, [&](int64_t at, int splat, int tile, unsigned parts) {
    keys[at] = static_cast<uint32_t>(tile) << kReachBits | parts;
    indices[at] = splat;
  });
}

// The first instance of every tile, by where the sorted keys go from one tile to another.
__global__ void __launch_bounds__(kBlock) find_tiles(nk_fill_params p, const uint32_t *sorted_keys) {
  const int64_t i = thread_number();
  if (i >= p.I) return;
  const int tile = static_cast<int>(sorted_keys[i] >> kReachBits);
  const int before = i == 0 ? -1 : static_cast<int>(sorted_keys[i - 1] >> kReachBits);
  p.reach[i] = static_cast<uint8_t>(sorted_keys[i] & 0xff);
  for (int t = before + 1; t <= tile; ++t) p.tile_offsets[t] = static_cast<int32_t>(i);
  if (i + 1 == p.I)
    for (int t = tile + 1; t <= p.T; ++t) p.tile_offsets[t] = p.I;
}

int bits_for(int count) {
  int bits = 1;
  while (bits < 31 && (1 << bits) < count) ++bits;
  return bits;
}

void bin(nk_bin_params *p) {
  require(p->parts1 == int64_t(p->N) + 1, "room must have one entry more than there are splats");
  Scratch scratch;
  uint32_t *keys = scratch.take<uint32_t>(p->N), *sorted_keys = scratch.take<uint32_t>(p->N);
  int32_t *indices = scratch.take<int32_t>(p->N);
  int64_t *counts = scratch.take<int64_t>(p->parts1), *totals = scratch.take<int64_t>(2);
  const PairSort sort(scratch, p->N, 0, kDepthBits);
  const ExclusiveSum<int64_t> sum(scratch, p->parts1);
  NK_LAUNCH(depth_keys, blocks(p->N, kBlock), kBlock, 0, *p, keys, indices);
  if (p->N > 0) sort.run(keys, indices, sorted_keys, p->order);
  fill_zero(totals, sizeof(int64_t));
  NK_LAUNCH(count_tiles, blocks(p->parts1, kBlock), kBlock, 0, *p, image_of(p), sorted_keys, counts, totals);
  sum.run(counts, p->room);
  copy_on_device(totals + 1, p->room + p->N, sizeof(int64_t));
  int64_t found[2];
  copy_to_host(found, totals, sizeof(found));
  p->M = static_cast<int32_t>(found[0]);
  p->pairs = found[1];
  check_pairs(p->pairs);
}

void fill(nk_fill_params *p) {
  require(p->parts1 == int64_t(p->N) + 1, "room must have one entry more than there are splats");
  require(p->T == tiles_along(p->width) * tiles_along(p->height), "tile_offsets do not fit the image");
  check_tiles(p);
  Scratch scratch;
  uint32_t *keys = scratch.take<uint32_t>(p->I), *sorted_keys = scratch.take<uint32_t>(p->I);
  int32_t *indices = scratch.take<int32_t>(p->I);
  const PairSort sort(scratch, p->I, kReachBits, kReachBits + bits_for(p->T));
  p->instances = p->I;
  if (p->I == 0) return fill_zero(p->tile_offsets, int64_t(sizeof(int32_t)) * p->T1);
  NK_LAUNCH(list_pairs, blocks(p->M, kBlock), kBlock, 0, *p, image_of(p), keys, indices);
  sort.run(keys, indices, sorted_keys, p->indices);
  NK_LAUNCH(find_tiles, blocks(p->I, kBlock), kBlock, 0, *p, sorted_keys);
}

}  // namespace
}  // namespace nk

extern "C" int nk_bin(nk_bin_params *p) {
  return nk::on_device("nk_bin", [&] { nk::bin(p); });
}

extern "C" int nk_fill(nk_fill_params *p) {
  return nk::on_device("nk_fill", [&] { nk::fill(p); });
}
