// From splats to per-tile lists, near to far: a radix sort by depth, then a stable counting sort by tile.
//
// The depth order is cut into parts, more than there are threads since near splats reach more tiles than far ones. For
// each part the tiles that its splats reach are noted and counted; a prefix sum over (tile, part) then gives each note
// its place, so that the order within a tile is the depth order whatever thread does what. Ellipses are walked once:
// notes go where the splats' boxes leave room for them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#ifdef __AVX__
#include <immintrin.h>
#endif

#include "../checks.h"
#include "../error.h"
#include "../math/lanes.h"
#include "../nerfkit.h"

namespace nk {
namespace {

constexpr float kSlack = 0.01f;  // pixels: rounding must not lose one that the rasterizer would draw
constexpr int kAhead = 8;        // splats between prefetch and use: they lie anywhere
constexpr int kNarrow = 8;       // tiles: the ends of wider boxes are tightened row by row

// One lane a row of a tile, on every instruction set.
typedef float Rows __attribute__((vector_size(4 * NK_TILE)));
typedef int RowMask __attribute__((vector_size(4 * NK_TILE)));

unsigned bits_of_rows(RowMask mask) {
#ifdef __AVX__
  return _mm256_movemask_ps(reinterpret_cast<__m256>(mask));
#else
  unsigned bits = 0;
  for (int r = 0; r < NK_TILE; ++r) bits |= (mask[r] & 1u) << r;
  return bits;
#endif
}

Rows sqrt_rows(Rows a) {
  Rows out;
  for (int r = 0; r < NK_TILE; ++r) out[r] = __builtin_sqrtf(a[r]);
  return out;
}

// The highest of the lanes, by halves.
float highest_of(Rows a) {
  const auto larger = [](Rows x, Rows y) { return x > y ? x : y; };
  a = larger(a, __builtin_shuffle(a, RowMask{4, 5, 6, 7, 0, 1, 2, 3}));
  a = larger(a, __builtin_shuffle(a, RowMask{2, 3, 0, 1, 6, 7, 4, 5}));
  a = larger(a, __builtin_shuffle(a, RowMask{1, 0, 3, 2, 5, 4, 7, 6}));
  return a[0];
}

// The tiles that a splat's bounding box touches: [x0, x1] x [y0, y1], none where x1 < x0 or y1 < y0.
struct Box {
  int x0, x1, y0, y1;

  Box(const float *splat, int width, int height) {
    span(splat[NK_SPLAT_X], splat[NK_SPLAT_EXTENT_X], width, &x0, &x1);
    span(splat[NK_SPLAT_Y], splat[NK_SPLAT_EXTENT_Y], height, &y0, &y1);
  }

  int64_t tiles() const { return int64_t(std::max(0, x1 - x0 + 1)) * std::max(0, y1 - y0 + 1); }

 private:
  static void span(float center, float extent, int size, int *first, int *last) {
    const float reach = extent + kSlack;
    *first = static_cast<int>(std::max(0.0f, center - reach)) / NK_TILE;
    *last = std::min(static_cast<int>(std::min(static_cast<float>(size), center + reach)), size - 1) / NK_TILE;
  }
};

// Calls visit(tile, rows) for each tile in which a pixel centre lies inside the splat's ellipse
// a dx^2 + 2 b dx dy + c dy^2 <= cut, and for others of its box with rows = 0: a splat reaches most of a small box, and
// looking at all of it is cheaper than a loop whose length no processor can guess. In a pixel row this is the chord
// dx = (-b dy -+ sqrt((b dy)^2 - a (c dy^2 - cut))) / a; bit r of `rows` tells that row r's chord meets the tile.
template <class Visit>
void visit_tiles(const float *splat, int width, int height, Visit visit) {
  const int tiles_x = (width + NK_TILE - 1) / NK_TILE;
  const float x = splat[NK_SPLAT_X], y = splat[NK_SPLAT_Y];
  const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c = splat[NK_SPLAT_C];
  const float cut = splat[NK_SPLAT_CUT] * 1.0001f + 1e-4f;
  const Box box(splat, width, height);
  const float inverse_a = 1.0f / a;
  for (int ty = box.y0; ty <= box.y1; ++ty) {
    const Rows py = static_cast<float>(ty * NK_TILE) + Rows{0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f};
    const Rows dy = py - y;
    const Rows discriminant = b * dy * (b * dy) - a * (c * dy * dy - cut);
    const RowMask valid = (discriminant >= 0.0f) & (py < static_cast<float>(height));
    const Rows zero = {};
    const Rows half = sqrt_rows(discriminant > 0.0f ? discriminant : zero) * inverse_a;
    const Rows middle = x - b * dy * inverse_a;
    const Rows left = valid ? middle - half - kSlack : zero + 1e30f;
    const Rows right = valid ? middle + half + kSlack : zero - 1e30f;
    int tx0 = box.x0, tx1 = box.x1;
    if (tx1 - tx0 > kNarrow) {
      const float lowest = -highest_of(-left), highest = highest_of(right);
      if (lowest > highest || highest < 0.5f || lowest > width) continue;
      tx0 = std::max(tx0, static_cast<int>(std::max(0.0f, lowest - (NK_TILE - 0.5f))) / NK_TILE);
      tx1 = std::min(tx1, static_cast<int>(std::min(highest, width + 0.0f)) / NK_TILE);
    }
    Rows first_center = zero + (tx0 * NK_TILE + 0.5f);
    for (int tx = tx0; tx <= tx1; ++tx, first_center += static_cast<float>(NK_TILE))
      visit(ty * tiles_x + tx, bits_of_rows((left <= first_center + (NK_TILE - 1.0f)) & (right >= first_center)));
  }
}

void prefetch_splat(const float *splats, int32_t index) { __builtin_prefetch(splats + int64_t(index) * NK_SPLAT_SIZE); }

struct Keyed {
  uint32_t key;
  int32_t index;
};

// Positive floats sort like their bit patterns. Three stable passes of 11 bits; the highest bit is the sign.
void radix_sort(std::vector<Keyed> *items, std::vector<Keyed> *scratch) {
  constexpr int kBits = 11, kBuckets = 1 << kBits;
  scratch->resize(items->size());
  for (int shift = 0; shift < 32; shift += kBits) {
    std::vector<uint32_t> count(kBuckets + 1, 0);
    for (const Keyed &item : *items) ++count[((item.key >> shift) & (kBuckets - 1)) + 1];
    for (int b = 0; b < kBuckets; ++b) count[b + 1] += count[b];
    for (const Keyed &item : *items) (*scratch)[count[(item.key >> shift) & (kBuckets - 1)]++] = item;
    items->swap(*scratch);
  }
}

// The depth order in even parts; fn(part, its first splat, the one behind its last), in parallel.
template <class Fn>
void for_parts(int64_t visible, int parts, int threads, Fn fn) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int part = 0; part < parts; ++part) fn(part, visible * part / parts, visible * (part + 1) / parts);
}

}  // namespace
}  // namespace nk

extern "C" int nk_bin(nk_bin_params *p) {
  return nk::guarded("nk_bin", [&] {
    static thread_local std::vector<nk::Keyed> items, scratch;
    items.clear();
    for (int32_t i = 0; i < p->N; ++i) {
      const float depth = p->splats[int64_t(i) * NK_SPLAT_SIZE + NK_SPLAT_DEPTH];
      if (depth > 0.0f) items.push_back({static_cast<uint32_t>(nk::bits_of(depth)), i});
    }
    nk::radix_sort(&items, &scratch);
    const int32_t visible = static_cast<int32_t>(items.size());
    p->M = visible;
    const nk::Keyed *sorted_items = items.data();  // thread_local: the team below must see this thread's
    const int parts = p->parts1 - 1;
    p->room[0] = 0;
    nk::for_parts(visible, parts, p->threads, [&](int part, int64_t first, int64_t last) {
      int64_t room = 0;
      for (int64_t m = first; m < last; ++m) {
        p->order[m] = sorted_items[m].index;
        if (m + nk::kAhead < last) nk::prefetch_splat(p->splats, sorted_items[m + nk::kAhead].index);
        room += nk::Box(p->splats + int64_t(p->order[m]) * NK_SPLAT_SIZE, p->width, p->height).tiles();
      }
      p->room[part + 1] = room;
    });
    for (int part = 0; part < parts; ++part) p->room[part + 1] += p->room[part];
    p->pairs = p->room[parts];
    nk::check_pairs(p->pairs);
  });
}

extern "C" int nk_fill(nk_fill_params *p) {
  return nk::guarded("nk_fill", [&] {
    nk::check_tiles(p);
    nk::require(p->part_counts && (p->I == 0 || (p->notes && p->tiles_of_splat)),
                "notes, tiles_of_splat and part_counts are needed");
    const int parts = p->parts1 - 1;
    const auto counts_of = [&](int part) { return p->part_counts + int64_t(part) * p->T; };
    nk::for_parts(p->M, parts, p->threads, [&](int part, int64_t first, int64_t last) {
      int32_t *counts = counts_of(part);
      std::memset(counts, 0, sizeof(int32_t) * p->T);
      int32_t *note = p->notes + p->room[part];
      for (int64_t m = first; m < last; ++m) {
        const int32_t *before = note;
        if (m + nk::kAhead < last) nk::prefetch_splat(p->splats, p->order[m + nk::kAhead]);
        nk::visit_tiles(p->splats + int64_t(p->order[m]) * NK_SPLAT_SIZE, p->width, p->height,
                        [&](int tile, unsigned rows) {
                          *note = tile << 8 | static_cast<int>(rows);
                          note += rows != 0;
                          counts[tile] += rows != 0;
                        });
        p->tiles_of_splat[m] = static_cast<int32_t>(note - before);
      }
    });
    // Counts become first positions, by tile and then by part.
    int32_t total = 0;
    for (int32_t tile = 0; tile < p->T; ++tile) {
      p->tile_offsets[tile] = total;
      for (int part = 0; part < parts; ++part) {
        const int32_t here = counts_of(part)[tile];
        counts_of(part)[tile] = total;
        total += here;
      }
    }
    p->tile_offsets[p->T] = total;
    p->instances = total;
    nk::for_parts(p->M, parts, p->threads, [&](int part, int64_t first, int64_t last) {
      int32_t *next = counts_of(part);
      const int32_t *note = p->notes + p->room[part];
      for (int64_t m = first; m < last; ++m) {
        for (int32_t k = 0; k < p->tiles_of_splat[m]; ++k, ++note) {
          const int32_t at = next[*note >> 8]++;
          p->indices[at] = p->order[m];
          p->reach[at] = static_cast<uint8_t>(*note & 0xff);
        }
      }
    });
  });
}
