// From splats to per-tile lists, near to far: the splats are sorted by depth, the tiles that each reaches are listed in
// that order, and the list is sorted by tile. Sorts are stable, so that the order within a tile is the depth order; of
// a sort by tile and depth at once this is the cheap half, since far fewer splats than pairs are sorted by the depth's
// 31 bits and the pairs only by the tile's (Lee et al. 2024, "GSCore", does the same in hardware).
//
// A splat's tiles are found twice, to count them and to list them, so that the list has room for exactly those. What is
// rounded on the way is rounded alike in both kernels: hence `fused`.
#include "../checks.h"
#include "fours.h"
#include "sort.h"
#include "tile.h"

namespace nk {
namespace {

constexpr int kBlock = 128;
constexpr float kSlack = 0.01f;            // pixels: rounding must not lose one that the rasterizer would draw
constexpr int kAlone = 12;                 // tiles that a thread looks at by itself; of larger boxes its warp does
constexpr unsigned kCulled = 0x7fffffffu;  // behind every depth: positive floats sort like their bit patterns
constexpr int kDepthBits = 31, kReachBits = 8;

// Where a splat is drawn: a dx^2 + 2 b dx dy + c dy^2 <= cut, an ellipse, and the tiles that its bounding box touches.
// A little too large, so that rounding loses no pixel that the rasterizer would draw.
struct Ellipse {
  float x, y;
  float half_width;  // along the row of its centre, whose middle moves by `steep` from a row to the next
  float steep;
  float inverse_height;  // 1 / how far it reaches up and down
  float lean;            // the row, from the centre, in which it reaches farthest to the right
  int x0, y0, across, down;

  NK_DEVICE int tiles() const { return across * down; }
};

// What NaN is clamped to lies between the bounds too.
NK_DEVICE float clamped(float x, float low, float high) { return min(max(low, x), high); }

// Tiles [first, first + count) that [center - extent, center + extent] touches.
NK_DEVICE void span(float center, float extent, int size, int *first, int *count) {
  const float reach = extent + kSlack, most = static_cast<float>(size);
  const int begin = static_cast<int>(clamped(center - reach, 0.0f, most));
  const int end = static_cast<int>(clamped(center + reach, -1.0f, most));
  *first = begin / kTile;
  *count = end < 0 ? 0 : max(0, min(end, size - 1) / kTile - *first + 1);
}

// `slack`: of the ellipse's size. By a dx^2 + c dy^2, of which 2 b dx dy leaves little in a splat that is long and
// thin, the rasterizer's rounding is up to a millionth.
NK_DEVICE Ellipse ellipse_of(const float *from, int width, int height) {
  float splat[NK_SPLAT_SIZE];
  load_fours<NK_SPLAT_SIZE>(from, splat);
  const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], cut = splat[NK_SPLAT_CUT], inverse_a = reciprocal(a);
  const float extent_x = splat[NK_SPLAT_EXTENT_X], extent_y = splat[NK_SPLAT_EXTENT_Y];
  const float slack = fused(1e-6f, a * extent_x * extent_x * reciprocal(max(cut, 1e-6f)), 1e-4f);
  Ellipse e;
  e.x = splat[NK_SPLAT_X];
  e.y = splat[NK_SPLAT_Y];
  e.half_width = quick_sqrt(fused(cut, fused(2.0f, slack, 1.0f), 1e-4f) * inverse_a);
  e.steep = -b * inverse_a;
  e.inverse_height = reciprocal(fused(extent_y, slack, extent_y) + kSlack);
  e.lean = -b * reciprocal(splat[NK_SPLAT_C]) * extent_x;
  span(e.x, extent_x, width, &e.x0, &e.across);
  span(e.y, extent_y, height, &e.y0, &e.down);
  return e;
}

// Columns of pixels, none if last < first.
struct Columns {
  int first, last;
};

// Those that an ellipse reaches in rows of pixels [top, bottom]. A row's part of it is half_width sqrt(1 - (dy / its
// height)^2) wide to both sides of a middle steep * dy, and the right end moves to the right down to the row `lean`,
// and then back; the left end does so by the other way around.
NK_DEVICE Columns columns_of(const Ellipse &e, int top, int bottom, int width) {
  const float low = static_cast<float>(top) + 0.5f - e.y, high = static_cast<float>(bottom) + 0.5f - e.y;
  const float for_right = clamped(e.lean, low, high), for_left = clamped(-e.lean, low, high);
  const float right = for_right * e.inverse_height, left = for_left * e.inverse_height;
  const float share_right = fused(-right, right, 1.0f), share_left = fused(-left, left, 1.0f);
  if (share_right < 0.0f || share_left < 0.0f) return {0, -1};
  const float begin = fused(e.steep, for_left, -e.half_width * quick_sqrt(share_left)) + (e.x - 0.5f - kSlack);
  const float end = fused(e.steep, for_right, e.half_width * quick_sqrt(share_right)) + (e.x - 0.5f + kSlack);
  const float most = static_cast<float>(width);
  return {static_cast<int>(ceilf(clamped(begin, 0.0f, most))),
          static_cast<int>(floorf(clamped(end, -1.0f, most - 1.0f)))};
}

// Tiles of one row of tiles that an ellipse reaches: [first, last], as far as they are in its box.
NK_DEVICE Columns tiles_of_row(const Ellipse &e, int tile_y, int width, int height) {
  const int top = tile_y * kTile;
  const Columns pixels = columns_of(e, top, min(top + kTile, height) - 1, width);
  if (pixels.last < pixels.first) return {0, -1};
  return {max(pixels.first / kTile, e.x0), min(pixels.last / kTile, e.x0 + e.across - 1)};
}

// Bit p tells that a splat reaches part p of a tile.
NK_DEVICE unsigned parts_reached(const Ellipse &e, int tile_x, int tile_y, int width, int height) {
  unsigned bits = 0;
  for (int row = 0; row < kPartsY; ++row) {
    const int top = tile_y * kTile + row * kPartHeight;
    if (top >= height) break;
    const Columns pixels = columns_of(e, top, min(top + kPartHeight, height) - 1, width);
    for (int column = 0; column < kPartsX; ++column) {
      const int left = tile_x * kTile + column * kPartWidth;
      if (pixels.first < left + kPartWidth && pixels.last >= left && pixels.first <= pixels.last)
        bits |= 1u << (row * kPartsX + column);
    }
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

// Calls put(at, splat, its ellipse, tile_x, tile_y) for every tile that the splat reaches, with at = first, first + 1…,
// and returns how many there are; none for splat -1. Whole warps call it together: the tiles of a large box are looked
// at by all of the lanes, 32 at a time.
template <class Put>
NK_DEVICE int list_tiles(const Image &image, int splat, int64_t first, Put put) {
  const int lane = threadIdx.x % 32;
  Ellipse own = {};
  if (splat >= 0) own = ellipse_of(image.splats + int64_t(splat) * NK_SPLAT_SIZE, image.width, image.height);
  int found = 0;
  const bool alone = own.tiles() <= kAlone;
  for (int tile_y = own.y0; alone && own.across > 0 && tile_y < own.y0 + own.down; ++tile_y) {
    const Columns tiles = tiles_of_row(own, tile_y, image.width, image.height);
    for (int tile_x = tiles.first; tile_x <= tiles.last; ++tile_x) put(first + found++, splat, own, tile_x, tile_y);
  }
  for (unsigned large = __ballot_sync(kAllLanes, !alone); large; large &= large - 1) {
    const int owner = __ffs(static_cast<int>(large)) - 1;
    const int other = __shfl_sync(kAllLanes, splat, owner);
    const int64_t other_first = __shfl_sync(kAllLanes, first, owner);
    const Ellipse e = ellipse_of(image.splats + int64_t(other) * NK_SPLAT_SIZE, image.width, image.height);
    int of_other = 0;
    for (int t = lane; t - lane < e.tiles(); t += 32) {
      const int tile_x = e.x0 + t % e.across, tile_y = e.y0 + t / e.across;
      const Columns tiles = tiles_of_row(e, tile_y, image.width, image.height);
      const bool hit = t < e.tiles() && tile_x >= tiles.first && tile_x <= tiles.last;
      const unsigned hits = __ballot_sync(kAllLanes, hit);
      if (hit) put(other_first + of_other + __popc(hits & ((1u << lane) - 1)), other, e, tile_x, tile_y);
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
  const int found = list_tiles(image, seen ? p.order[m] : -1, 0, [](int64_t, int, const Ellipse &, int, int) {});
  if (m <= p.N) counts[m] = found;
  if (seen && (m + 1 == p.N || sorted_keys[m + 1] == kCulled)) *visible = m + 1;
}

__global__ void __launch_bounds__(kBlock) list_pairs(nk_fill_params p, Image image, uint32_t *keys, int32_t *indices) {
  const int64_t m = thread_number();
  const bool seen = m < p.M;
  list_tiles(image, seen ? p.order[m] : -1, seen ? p.room[m] : 0,
             [&](int64_t at, int splat, const Ellipse &e, int tile_x, int tile_y) {
               const unsigned parts = parts_reached(e, tile_x, tile_y, image.width, image.height);
               keys[at] = static_cast<uint32_t>(tile_y * image.tiles_x + tile_x) << kReachBits | parts;
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

template <class Params>
void check_bin(const Params *p) {
  require(p->parts1 == int64_t(p->N) + 1, "room must have one entry more than there are splats");
  require(is_aligned(p->splats), "splats must begin at a multiple of 16 bytes");
}

void bin(nk_bin_params *p) {
  check_bin(p);
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
  check_bin(p);
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
