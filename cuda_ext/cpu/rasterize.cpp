// Compositing of splats into tiles of 8x8 pixels and its gradient; a lane is a pixel.
//
// A tile is 64 pixels, row by row, in vectors of kLanes: two rows a vector with 16 lanes, one with 8, half a
// one with 4. With 16 lanes a splat is evaluated on the whole tile, whose state stays in registers; with fewer, only on
// the rows that its ellipse reaches (bits from nk_fill). The backward pass goes front to back like the forward pass and
// repeats its arithmetic; what lies behind a splat is the pixel's total minus what has been passed, so that nothing is
// divided by a vanishing transmittance. Each thread adds to a gradient buffer of its own, over a fixed part of the
// tiles: no atomics, and the same bytes on every run with the same number of threads.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "../checks.h"
#include "../error.h"
#include "../math/compositing.h"
#include "../math/splat.h"
#include "../nerfkit.h"
#include "denormals.h"

namespace nk {
namespace {

constexpr int kPixels = NK_TILE * NK_TILE;
constexpr int kRowsPerVector = kLanes > NK_TILE ? kLanes / NK_TILE : 1;
constexpr int kVectorsPerRow = kLanes < NK_TILE ? NK_TILE / kLanes : 1;
constexpr int kRowGroups = NK_TILE / kRowsPerVector;
constexpr int kVectors = kPixels / kLanes;
// Four vectors without a branch cost less than finding out which of them a splat reaches.
constexpr bool kWholeTiles = kVectors <= 4;

// Pixel centres relative to the tile's corner, for the vectors of a row group and for the first one's rows.
struct PixelGrid {
  Lanes x[kVectorsPerRow];
  Lanes y;
};

PixelGrid make_pixel_grid() {
  PixelGrid grid;
  for (int i = 0; i < kLanes; ++i) {
    for (int j = 0; j < kVectorsPerRow; ++j) grid.x[j][i] = (j * kLanes + i) % NK_TILE + 0.5f;
    grid.y[i] = i / NK_TILE + 0.5f;
  }
  return grid;
}

// The row groups [first, last] of a tile on which a splat is evaluated: all, or those that its ellipse reaches, which
// lie together since it is convex.
struct Span {
  int first, last;

  explicit Span(unsigned rows) {
    first = kWholeTiles ? 0 : __builtin_ctz(rows) / kRowsPerVector;
    last = kWholeTiles ? kRowGroups - 1 : (31 - __builtin_clz(rows)) / kRowsPerVector;
  }
};

template <class Fn, int... kAt>
NK_HD void unrolled(Fn fn, std::integer_sequence<int, kAt...>) {
  (fn(std::integral_constant<int, kAt>{}), ...);
}

// fn(0), fn(1)… with constants: arrays of vectors stay in registers only if nothing indexes them by a variable.
template <int kCount, class Fn>
NK_HD void unrolled(Fn fn) {
  unrolled(fn, std::make_integer_sequence<int, kCount>{});
}

// fn(group) for the groups of a span.
template <class Fn>
NK_HD void for_groups(const Span &span, Fn fn) {
  if constexpr (kWholeTiles)
    unrolled<kRowGroups>(fn);
  else
    for (int group = span.first; group <= span.last; ++group) fn(group);
}

// Opacity times the Gaussian of a splat over a tile, before any clamp, one row group after the other.
//
// Down a column the logarithm of alpha is a quadratic, so that alpha comes from the row above by one product with a
// ratio, and the ratio by one product with a constant: no exponential per pixel. Alpha is kept times 2^64. A splat
// is never thinner than sqrt(NK_SCREEN_BLUR) pixels, so that seven rows away from a pixel that is drawn it is still
// above 2^-190, which this keeps in the range of a float; what lies below is never drawn and starts at 0.
struct TileSplat {
  Lanes dx[kVectorsPerRow], dy;  // of the first group: dy grows by kRowsPerVector a group
  Lanes scaled_alpha[kVectorsPerRow], ratio[kVectorsPerRow];
  float ratio_of_ratios;

  TileSplat() = default;
  NK_HD TileSplat(const float *splat, const PixelGrid &grid, float corner_x, float corner_y, int group) {
    constexpr float kStep = kRowsPerVector;
    const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c = splat[NK_SPLAT_C];
    const float log_opacity = log2_opacity(splat) + kLog2Scale;
    const float quadratic = (-0.5f * kLog2E) * c;
    dy = grid.y - (splat[NK_SPLAT_Y] - corner_y - kStep * group);
    for (int j = 0; j < kVectorsPerRow; ++j) {
      dx[j] = grid.x[j] - (splat[NK_SPLAT_X] - corner_x);
      const Lanes linear = (-kLog2E * b) * dx[j];
      const Lanes power = log_opacity + (-0.5f * kLog2E * a) * dx[j] * dx[j] + dy * (linear + dy * quadratic);
      scaled_alpha[j] = exp2_or_zero(power);
      // Below 2^126, so that zero times a ratio is zero.
      ratio[j] =
          exp2_or_zero(min(kStep * linear + (2.0f * kStep * quadratic) * dy + kStep * kStep * quadratic, 126.0f));
    }
    ratio_of_ratios = exp2_or_zero(2.0f * kStep * kStep * quadratic);
  }

  NK_HD Lanes raw_alpha(int j) const { return scaled_alpha[j] * kInverseScale; }

  NK_HD void next_row_group() {
    for (int j = 0; j < kVectorsPerRow; ++j) {
      scaled_alpha[j] *= ratio[j];
      ratio[j] *= ratio_of_ratios;
    }
  }

 private:
  static constexpr float kLog2Scale = 64.0f, kInverseScale = 0x1p-64f;
};

struct TileRange {
  int x, y, width, height;  // corner and the part inside the image
};

TileRange tile_range(int tile, int width, int height) {
  const int tiles_x = (width + NK_TILE - 1) / NK_TILE;
  TileRange r;
  r.x = tile % tiles_x * NK_TILE;
  r.y = tile / tiles_x * NK_TILE;
  r.width = std::min(NK_TILE, width - r.x);
  r.height = std::min(NK_TILE, height - r.y);
  return r;
}

// One number a pixel of a tile, row by row.
struct alignas(64) Plane {
  float at[kPixels];

  // From the part of an image's plane that the tile covers; zero outside.
  Plane(const TileRange &r, const float *image, int width) : at{} {
    const float *from = image + int64_t(r.y) * width + r.x;
    for (int y = 0; y < r.height; ++y, from += width) copy_row(at + y * NK_TILE, from, r.width);
  }
  // One value in the part of the tile that lies in the image; zero outside.
  Plane(const TileRange &r, float value) : at{} {
    for (int y = 0; y < r.height; ++y) std::fill_n(at + y * NK_TILE, r.width, value);
  }
  NK_HD explicit Plane(const Lanes (&vectors)[kVectors]) {
    unrolled<kVectors>([&](auto v) NK_INLINE { store(at + v * kLanes, vectors[v]); });
  }

  void write(const TileRange &r, float *image, int width) const {
    float *to = image + int64_t(r.y) * width + r.x;
    for (int y = 0; y < r.height; ++y, to += width) copy_row(to, at + y * NK_TILE, r.width);
  }

  Lanes vector(int v) const { return load(at + v * kLanes); }

 private:
  static void copy_row(float *to, const float *from, int width) {
    if (width == NK_TILE)
      std::memcpy(to, from, sizeof(float) * NK_TILE);
    else
      for (int x = 0; x < width; ++x) to[x] = from[x];
  }
};

// Transmittance 1 inside the image and 0 outside, where nothing is left to draw.
NK_HD void open_tile(const TileRange &r, Lanes (&transmittance)[kVectors]) {
  const Plane inside(r, 1.0f);
  unrolled<kVectors>([&](auto v) NK_INLINE { transmittance[v] = inside.vector(v); });
}

NK_HD bool is_full(const Lanes (&transmittance)[kVectors]) {
  Lanes most = transmittance[0];
  unrolled<kVectors>([&](auto v) NK_INLINE { most = max(most, transmittance[v]); });
  return !any(most > NK_TRANSMITTANCE_MIN);
}

// The splats of a tile are known ahead of time, but lie anywhere in memory.
template <class Params>
inline void prefetch_splat(const Params *p, int32_t at, int32_t end) {
  if (at < end) __builtin_prefetch(p->splats + int64_t(p->indices[at]) * NK_SPLAT_SIZE);
}

// The splat of an instance over its tile. Both passes set up the next one while they draw another, since its
// exponentials take long and need nothing that is being drawn.
template <class Params>
NK_HD TileSplat prepare(const Params *p, const PixelGrid &grid, const TileRange &range, int32_t at) {
  const float *splat = p->splats + int64_t(p->indices[at]) * NK_SPLAT_SIZE;
  return TileSplat(splat, grid, range.x, range.y, Span(p->reach[at]).first);
}

constexpr int kAhead = 6;           // instances between prefetch and use
constexpr int kFullTestEvery = 16;  // instances between two looks at whether anything is left to draw
constexpr int kTileCost = 8;        // of opening and closing a tile, in instances

// The depth of a splat at the pixels of a row group.
struct TileDepth {
  Lanes depth[kVectorsPerRow];
  float down;  // to the next group

  // `slopes` are read only where there is a depth to draw.
  template <int C>
  NK_HD static TileDepth make(const TileSplat &s, const float *splat, const float *slopes, int64_t index) {
    TileDepth out = {};
    if constexpr (C > 3) {
      const float *slope = slopes + 2 * index;
      for (int j = 0; j < kVectorsPerRow; ++j)
        out.depth[j] = splat[NK_SPLAT_DEPTH] + slope[0] * s.dx[j] + slope[1] * s.dy;
      out.down = slope[1] * kRowsPerVector;
    }
    return out;
  }
  NK_HD void next_row_group() {
    for (int j = 0; j < kVectorsPerRow; ++j) depth[j] += down;
  }
};

template <int C, bool Median>
void rasterize_tile(const nk_rasterize_params *p, const PixelGrid &grid, int tile) {
  const TileRange range = tile_range(tile, p->W, p->H);
  Lanes transmittance[kVectors], channels[C][kVectors] = {}, median[kVectors] = {};
  open_tile(range, transmittance);
  const int32_t begin = p->tile_offsets[tile], end = p->tile_offsets[tile + 1];
  TileSplat next = begin < end ? prepare(p, grid, range, begin) : TileSplat{};
  int32_t at = begin;
  for (; at < end; ++at) {
    if ((at - begin) % kFullTestEvery == kFullTestEvery - 1 && is_full(transmittance)) break;
    prefetch_splat(p, at + kAhead, end);
    const int64_t index = p->indices[at];
    const float *splat = p->splats + index * NK_SPLAT_SIZE;
    const Span span(p->reach[at]);
    TileSplat s = next;
    next = prepare(p, grid, range, at + 1 < end ? at + 1 : at);
    TileDepth depth = TileDepth::make<C>(s, splat, p->slopes, index);
    Lanes color[C];
    for (int c = 0; c < C; ++c) color[c] = Lanes{} + splat[channel_column(c)];
    for_groups(span, [&](auto group) NK_INLINE {
      for (int j = 0; j < kVectorsPerRow; ++j) {
        const int v = group * kVectorsPerRow + j;
        const Lanes raw = s.raw_alpha(j), before = transmittance[v];
        Lanes alpha = min(raw, NK_ALPHA_MAX);
        const Lanes weight = composite(raw >= NK_ALPHA_MIN, &alpha, &transmittance[v]);
        unrolled<C>([&](auto c) NK_INLINE { channels[c][v] += weight * (c == 3 ? depth.depth[j] : color[c]); });
        if (Median) median[v] += middle_weight(before, transmittance[v]) * depth.depth[j];
      }
      s.next_row_group();
      if (C > 3) depth.next_row_group();
    });
  }
  p->walked[tile] = at - begin;
  const int64_t plane = int64_t(p->H) * p->W;
  unrolled<C>([&](auto c) NK_INLINE {
    const float background = c < 3 ? p->background[c] : 0.0f;
    unrolled<kVectors>([&](auto v) NK_INLINE { channels[c][v] += transmittance[v] * background; });
    Plane(channels[c]).write(range, p->image + c * plane, p->W);
  });
  if (Median) {
    unrolled<kVectors>([&](auto v) NK_INLINE { median[v] = median_of(median[v], transmittance[v]); });
    Plane(median).write(range, p->median_depth, p->W);
  }
  unrolled<kVectors>([&](auto v) NK_INLINE { transmittance[v] = 1.0f - transmittance[v]; });
  Plane(transmittance).write(range, p->alpha, p->W);
}

template <int C>
void rasterize(const nk_rasterize_params *p) {
  const PixelGrid grid = make_pixel_grid();
  const auto draw = p->median_depth ? rasterize_tile<C, true> : rasterize_tile<C, false>;
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 8)
  for (int tile = 0; tile < p->T; ++tile) {
    const FlushDenormals flush;
    draw(p, grid, tile);
  }
}

// `moments` [N, kMoments] and, where there is a depth, `slope_moments` [N, 2] are added to.
template <int C, bool Absolute>
void rasterize_tile_vjp(const nk_rasterize_grad_params *p, const PixelGrid &grid, int tile, float *moments,
                        float *slope_moments) {
  const int32_t begin = p->tile_offsets[tile], end = begin + p->walked[tile];
  if (begin == end) return;
  const TileRange range = tile_range(tile, p->W, p->H);
  const int64_t plane = int64_t(p->H) * p->W;
  Lanes transmittance[kVectors], behind[kVectors] = {}, gradient[C][kVectors];
  open_tile(range, transmittance);
  unrolled<C>([&](auto c) NK_INLINE {
    const Plane g(range, p->grad_image + c * plane, p->W), image(range, p->image + c * plane, p->W);
    unrolled<kVectors>([&](auto v) NK_INLINE {
      gradient[c][v] = g.vector(v);
      behind[v] += gradient[c][v] * image.vector(v);
    });
  });
  if (p->grad_alpha) {  // alpha = 1 - T_end: like a background of -1
    const Plane g(range, p->grad_alpha, p->W), alpha(range, p->alpha, p->W);
    unrolled<kVectors>([&](auto v) NK_INLINE { behind[v] -= g.vector(v) * (1.0f - alpha.vector(v)); });
  }
  TileSplat next = prepare(p, grid, range, begin);
  Lanes pending[kMoments] = {};
  float *pending_to = moments;
  const auto reduce = [&]() NK_INLINE {
    for (int k = 0; k < kMoments; k += kLanes) store(pending_to + k, load(pending_to + k) + lane_sums(pending + k));
  };
  for (int32_t at = begin; at < end; ++at) {
    prefetch_splat(p, at + kAhead, end);
    if (at + kAhead < end) __builtin_prefetch(moments + int64_t(p->indices[at + kAhead]) * kMoments, 1);
    const int64_t index = p->indices[at];
    const float *splat = p->splats + index * NK_SPLAT_SIZE;
    const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c2 = splat[NK_SPLAT_C];
    const Span span(p->reach[at]);
    TileSplat s = next;
    next = prepare(p, grid, range, at + 1 < end ? at + 1 : at);
    reduce();
    // Sums over the groups of v = v_power, and of v times the group's number (from the first one on) and its square.
    Lanes color[C], sum0[kVectorsPerRow] = {}, sum1[kVectorsPerRow] = {}, sum2[kVectorsPerRow] = {};
    Lanes slope_x[kVectorsPerRow], slope_y[kVectorsPerRow];  // -d power / d(dx, dy)
    Lanes sums[kMoments] = {};
    TileDepth depth = TileDepth::make<C>(s, splat, p->slopes, index);
    Lanes depth_sum0[kVectorsPerRow] = {}, depth_sum1[kVectorsPerRow] = {};
    for (int c = 0; c < C; ++c) color[c] = Lanes{} + splat[channel_column(c)];
    for (int j = 0; j < kVectorsPerRow; ++j) {
      slope_x[j] = a * s.dx[j] + b * s.dy;
      slope_y[j] = b * s.dx[j] + c2 * s.dy;
    }
    for_groups(span, [&](auto group) NK_INLINE {
      for (int j = 0; j < kVectorsPerRow; ++j) {
        const int vector = group * kVectorsPerRow + j;
        const Lanes raw = s.raw_alpha(j);
        Lanes alpha = min(raw, NK_ALPHA_MAX);
        const Lanes weight = composite(raw >= NK_ALPHA_MIN, &alpha, &transmittance[vector]);
        Lanes g_dot_c = gradient[0][vector] * color[0];
        for (int c = 1; c < C; ++c) g_dot_c += gradient[c][vector] * (c == 3 ? depth.depth[j] : color[c]);
        for (int c = 0; c < C; ++c) sums[kChannels + c] += weight * gradient[c][vector];
        if constexpr (C > 3) {
          const Lanes of_depth = weight * gradient[3][vector];
          depth_sum0[j] += of_depth;
          depth_sum1[j] += static_cast<float>(group - span.first) * of_depth;
        }
        const Lanes v = select(raw < NK_ALPHA_MAX, composite_vjp_log(alpha, weight, g_dot_c, &behind[vector]), Lanes{});
        const float steps = static_cast<float>(group - span.first);
        sum0[j] += v;
        if (!kWholeTiles || group > 0) {
          sum1[j] += steps * v;
          sum2[j] += steps * steps * v;
        }
        if (Absolute) {
          sums[kAbsX] += abs(v) * abs(slope_x[j]);
          sums[kAbsY] += abs(v) * abs(slope_y[j]);
          slope_x[j] += kRowsPerVector * b;
          slope_y[j] += kRowsPerVector * c2;
        }
      }
      s.next_row_group();
      if (C > 3) depth.next_row_group();
    });
    constexpr float kStep = kRowsPerVector;
    if constexpr (C > 3) {
      Lanes pair[2] = {};
      for (int j = 0; j < kVectorsPerRow; ++j) {
        pair[0] += depth_sum0[j] * s.dx[j];
        pair[1] += depth_sum0[j] * s.dy + kStep * depth_sum1[j];
      }
      add_pair_sums(folded<2>(pair), slope_moments + 2 * index);
    }
    for (int j = 0; j < kVectorsPerRow; ++j) {
      const Lanes v_dx = sum0[j] * s.dx[j], v_dy = sum0[j] * s.dy + kStep * sum1[j];
      sums[kX] += v_dx;
      sums[kY] += v_dy;
      sums[kXX] += v_dx * s.dx[j];
      sums[kXY] += v_dy * s.dx[j];
      sums[kYY] += s.dy * (v_dy + kStep * sum1[j]) + kStep * kStep * sum2[j];
      sums[kOne] += sum0[j];
    }
    pending_to = moments + index * kMoments;
    for (int k = 0; k < kMoments; ++k) pending[k] = sums[k];
  }
  reduce();
}

// Tiles from `first[t]` to `first[t + 1]` are the work of thread t: about as many instances as any other's.
std::vector<int32_t> even_shares(const int32_t *walked, int32_t tiles, int threads) {
  int64_t total = 0, passed = 0;
  for (int32_t tile = 0; tile < tiles; ++tile) total += walked[tile] + kTileCost;
  std::vector<int32_t> first(threads + 1, tiles);
  first[0] = 0;
  for (int32_t tile = 0, t = 1; tile < tiles && t < threads; passed += walked[tile++] + kTileCost)
    while (t < threads && passed >= total * t / threads) first[t++] = tile;
  return first;
}

template <int C>
void rasterize_vjp(const nk_rasterize_grad_params *p) {
  const PixelGrid grid = make_pixel_grid();
  const int threads = p->threads;
  const auto pass_back = p->absolute ? rasterize_tile_vjp<C, true> : rasterize_tile_vjp<C, false>;
  const auto is_visible = [&](int64_t i) { return p->splats[i * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] > 0.0f; };
  const auto moments_of = [&](int64_t t) { return p->scratch + t * p->N * kMoments; };
  const auto slope_moments_of = [&](int64_t t) { return moments_of(threads) + 2 * t * p->N; };
  const std::vector<int32_t> first = even_shares(p->walked, p->T, threads);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static, 1)
    for (int t = 0; t < threads; ++t) {
      const FlushDenormals flush;
      float *moments = moments_of(t), *slope_moments = slope_moments_of(t);
      for (int64_t i = 0; i < p->N; ++i)
        if (is_visible(i)) std::memset(moments + i * kMoments, 0, sizeof(float) * kMoments);
      if (C > 3) std::memset(slope_moments, 0, sizeof(float) * 2 * p->N);
      for (int32_t tile = first[t]; tile < first[t + 1]; ++tile) pass_back(p, grid, tile, moments, slope_moments);
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < p->N; ++i) {
      if (!is_visible(i)) continue;
      float total[kMoments] = {}, *grad = p->grad_splats + i * NK_SPLAT_SIZE;
      for (int t = 0; t < threads; ++t)
        for (int k = 0; k < kMoments; ++k) total[k] += moments_of(t)[i * kMoments + k];
      moments_to_grad(p->splats + i * NK_SPLAT_SIZE, total, grad);
      if (C == 3) continue;
      float slopes[2] = {};
      for (int t = 0; t < threads; ++t)
        for (int k = 0; k < 2; ++k) slopes[k] += slope_moments_of(t)[2 * i + k];
      add_slope_grad(p->slopes + 2 * i, total, grad);
      for (int k = 0; k < 2; ++k) p->grad_slopes[2 * i + k] = slopes[k];
    }
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_rasterize_fwd(const nk_rasterize_params *p) {
  return nk::guarded("nk_rasterize_fwd", [&] {
    nk::check_median(p);
    nk::check_slopes(p);
    nk::with_layers(p->C, [&](auto channels) { nk::rasterize<decltype(channels)::value>(p); });
  });
}

extern "C" int nk_rasterize_bwd(const nk_rasterize_grad_params *p) {
  return nk::guarded("nk_rasterize_bwd", [&] {
    nk::check_slopes(p);
    nk::check_slope_grad(p);
    const int64_t columns = NK_SPLAT_SIZE + (p->C > 3 ? 2 : 0);
    nk::require(p->N == 0 || (p->scratch && p->S >= columns * p->threads * p->N), "scratch is needed");
    nk::with_layers(p->C, [&](auto channels) { nk::rasterize_vjp<decltype(channels)::value>(p); });
  });
}
