// Compositing of splats into tiles of 8x8 pixels and its gradient; a lane is a pixel.
//
// A tile is 64 pixels, row by row, in vectors of kLanes: two rows a vector with 16 lanes, one with 8, half a
// one with 4. Only the rows that a splat's ellipse reaches are evaluated (bits from nk_fill), one after the other. The
// backward pass goes front to back like the forward pass and repeats its arithmetic; what lies behind a splat is the
// pixel's total minus what has been passed, so that nothing is divided by a vanishing transmittance. Each
// thread adds to a gradient buffer of its own, over a fixed part of the tiles: no atomics, and the same bytes
// on every run with the same number of threads.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "../math/compositing.h"
#include "../nerfkit.h"
#include "denormals.h"
#include "error.h"

namespace nk {
namespace {

constexpr int kPixels = NK_TILE * NK_TILE;
constexpr int kRowsPerVector = kLanes > NK_TILE ? kLanes / NK_TILE : 1;
constexpr int kVectorsPerRow = kLanes < NK_TILE ? NK_TILE / kLanes : 1;
constexpr int kRowGroups = NK_TILE / kRowsPerVector;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLog2AlphaMin = -7.9943534368588578f;  // log2(NK_ALPHA_MIN)

// Pixel centres relative to the tile's corner, for the vectors of a row group.
struct PixelGrid {
  Lanes x[kVectorsPerRow];
  Lanes y[kRowGroups];
};

PixelGrid make_pixel_grid() {
  PixelGrid grid;
  for (int i = 0; i < kLanes; ++i) {
    for (int j = 0; j < kVectorsPerRow; ++j) grid.x[j][i] = (j * kLanes + i) % NK_TILE + 0.5f;
    for (int g = 0; g < kRowGroups; ++g) grid.y[g][i] = g * kRowsPerVector + i / NK_TILE + 0.5f;
  }
  return grid;
}

// The row groups [first, last] of a tile that a splat reaches: its ellipse is convex, so that they lie together.
struct Span {
  int first, last;
};

inline Span span_of(unsigned rows) {
  return {__builtin_ctz(rows) / kRowsPerVector, (31 - __builtin_clz(rows)) / kRowsPerVector};
}

// Opacity times the Gaussian of a splat over a tile, before any clamp, one row group after the other.
//
// Down a column the logarithm of alpha is a quadratic, so that alpha comes from the row above by one product with a
// ratio, and the ratio by one product with a constant: no exponential per pixel. Alpha is kept times 2^64. A splat
// is never thinner than sqrt(NK_SCREEN_BLUR) pixels, so that seven rows away from a pixel that is drawn it is still
// above 2^-190, which this keeps in the range of a float; what lies below is never drawn and starts at 0.
struct TileSplat {
  Lanes dx[kVectorsPerRow], dy;
  Lanes scaled_alpha[kVectorsPerRow], ratio[kVectorsPerRow], ratio_of_ratios;

  TileSplat(const float *splat, const PixelGrid &grid, float corner_x, float corner_y, int group) {
    constexpr float kStep = kRowsPerVector;
    const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c = splat[NK_SPLAT_C];
    const float log_opacity = (0.5f * kLog2E) * splat[NK_SPLAT_CUT] + (kLog2AlphaMin + kLog2Scale);
    const float quadratic = (-0.5f * kLog2E) * c;
    dy = grid.y[group] - (splat[NK_SPLAT_Y] - corner_y);
    for (int j = 0; j < kVectorsPerRow; ++j) {
      dx[j] = grid.x[j] - (splat[NK_SPLAT_X] - corner_x);
      const Lanes linear = (-kLog2E * b) * dx[j];
      const Lanes power = log_opacity + (-0.5f * kLog2E * a) * dx[j] * dx[j] + dy * (linear + dy * quadratic);
      scaled_alpha[j] = select(power >= -126.0f, exp2(power), Lanes{});
      ratio[j] = bounded_exp2(kStep * linear + (2.0f * kStep * quadratic) * dy + kStep * kStep * quadratic);
    }
    ratio_of_ratios = bounded_exp2(Lanes{} + 2.0f * kStep * kStep * quadratic);
  }

  Lanes raw_alpha(int j) const { return scaled_alpha[j] * kInverseScale; }

  void next_row_group() {
    dy += static_cast<float>(kRowsPerVector);
    for (int j = 0; j < kVectorsPerRow; ++j) {
      scaled_alpha[j] *= ratio[j];
      ratio[j] *= ratio_of_ratios;
    }
  }

 private:
  static constexpr float kLog2Scale = 64.0f, kInverseScale = 0x1p-64f;
  static Lanes bounded_exp2(Lanes power) { return exp2(max(min(power, 126.0f), -126.0f)); }
};

// The pixels' state while a tile is drawn: what one row group needs lies together.
template <int Values>
struct TileState {
  alignas(64) float value[kRowGroups * kVectorsPerRow][Values][kLanes];

  // Pixel i of value v, in row-major order.
  float &at(int v, int i) { return value[i / kLanes][v][i % kLanes]; }
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

// Transmittance 1 inside the image and 0 outside, where nothing is left to draw.
template <int Values>
void open_tile(const TileRange &r, TileState<Values> *state) {
  for (int i = 0; i < kPixels; ++i) state->at(0, i) = i % NK_TILE < r.width && i / NK_TILE < r.height ? 1.0f : 0.0f;
}

template <int Values>
bool is_full(const TileState<Values> &state) {
  Lanes most = load(state.value[0][0]);
  for (int v = 1; v < kPixels / kLanes; ++v) most = max(most, load(state.value[v][0]));
  float highest = 0.0f;
  for (int i = 0; i < kLanes; ++i) highest = max(highest, most[i]);
  return highest <= NK_TRANSMITTANCE_MIN;
}

// fn(pixel in the tile, pixel in the plane) over the pixels inside the image.
template <class Fn>
void for_pixels(const TileRange &r, int width, Fn fn) {
  for (int y = 0; y < r.height; ++y)
    for (int x = 0; x < r.width; ++x) fn(y * NK_TILE + x, int64_t(r.y + y) * width + r.x + x);
}

// The splats of a tile are known ahead of time, but lie anywhere in memory.
template <class Params>
inline void prefetch_splat(const Params *p, int32_t at, int32_t end) {
  if (at < end) __builtin_prefetch(p->sorted + int64_t(p->ranks[at]) * NK_SPLAT_SIZE);
}

constexpr int kAhead = 6;           // instances between prefetch and use
constexpr int kFullTestEvery = 16;  // instances between two looks at whether anything is left to draw

// The splat column of channel c: rgb, depth, normal.
constexpr int channel_column(int c) {
  return c < 3 ? NK_SPLAT_COLOR + c : c == 3 ? NK_SPLAT_DEPTH : NK_SPLAT_NORMAL + c - 4;
}

template <int C, bool Median>
void rasterize_tile(const nk_rasterize_params *p, const PixelGrid &grid, int tile) {
  const TileRange range = tile_range(tile, p->W, p->H);
  TileState<1 + C + Median> state = {};  // transmittance, channels, median depth
  open_tile(range, &state);
  const int32_t begin = p->tile_offsets[tile], end = p->tile_offsets[tile + 1];
  for (int32_t at = begin; at < end; ++at) {
    if ((at - begin) % kFullTestEvery == kFullTestEvery - 1 && is_full(state)) break;
    prefetch_splat(p, at + kAhead, end);
    const float *splat = p->sorted + int64_t(p->ranks[at]) * NK_SPLAT_SIZE;
    const Span span = span_of(p->rows[at]);
    TileSplat s(splat, grid, range.x, range.y, span.first);
    Lanes color[C];
    for (int c = 0; c < C; ++c) color[c] = Lanes{} + splat[channel_column(c)];
    for (int group = span.first; group <= span.last; ++group, s.next_row_group()) {
      for (int j = 0; j < kVectorsPerRow; ++j) {
        auto &pixels = state.value[group * kVectorsPerRow + j];
        const Lanes raw = s.raw_alpha(j);
        Lanes alpha = min(raw, NK_ALPHA_MAX), t = load(pixels[0]);
        const Lanes before = t;
        const Lanes weight = composite(raw >= NK_ALPHA_MIN, &alpha, &t);
        store(pixels[0], t);
        for (int c = 0; c < C; ++c) store(pixels[1 + c], load(pixels[1 + c]) + weight * color[c]);
        if (Median)
          store(pixels[1 + C],
                select((before >= 0.5f) & (t < 0.5f), Lanes{} + splat[NK_SPLAT_DEPTH], load(pixels[1 + C])));
      }
    }
  }
  const int64_t plane = int64_t(p->H) * p->W;
  for_pixels(range, p->W, [&](int i, int64_t to) {
    for (int c = 0; c < C; ++c)
      p->image[c * plane + to] = state.at(1 + c, i) + (c < 3 ? state.at(0, i) * p->background[c] : 0.0f);
    p->alpha[to] = 1.0f - state.at(0, i);
    if (Median) p->median_depth[to] = state.at(1 + C, i);
  });
}

template <int C>
void rasterize(const nk_rasterize_params *p) {
  const PixelGrid grid = make_pixel_grid();
  const auto draw = p->median_depth ? rasterize_tile<C, true> : rasterize_tile<C, false>;
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 8)
  for (int tile = 0; tile < p->T1 - 1; ++tile) {
    const FlushDenormals flush;
    draw(p, grid, tile);
  }
}

// Adds the sum over the lanes of each of K vectors to out[k]. With 8 lanes or more, eight vectors at a time: pairs
// are interleaved and added until one vector holds the eight sums.
template <int K>
inline void add_lane_sums(const Lanes (&v)[K], float *out) {
#if NK_LANES >= 8
  typedef float Eight __attribute__((vector_size(32)));
  typedef int EightInt __attribute__((vector_size(32)));
  const auto fold = [&](const Lanes &lanes) {
    Eight part[kLanes / 8];
    std::memcpy(part, &lanes, sizeof(Lanes));
    for (int h = 1; h < kLanes / 8; ++h) part[0] += part[h];
    return part[0];
  };
  const auto interleave = [](Eight a, Eight b) {
    return __builtin_shuffle(a, b, EightInt{0, 8, 1, 9, 4, 12, 5, 13}) +
           __builtin_shuffle(a, b, EightInt{2, 10, 3, 11, 6, 14, 7, 15});
  };
  for (int k = 0; k + 8 <= K; k += 8) {
    Eight pairs[4], quads[2];
    for (int i = 0; i < 4; ++i) pairs[i] = interleave(fold(v[k + 2 * i]), fold(v[k + 2 * i + 1]));
    for (int i = 0; i < 2; ++i)
      quads[i] = __builtin_shuffle(pairs[2 * i], pairs[2 * i + 1], EightInt{0, 1, 8, 9, 4, 5, 12, 13}) +
                 __builtin_shuffle(pairs[2 * i], pairs[2 * i + 1], EightInt{2, 3, 10, 11, 6, 7, 14, 15});
    Eight sums;
    std::memcpy(&sums, out + k, sizeof(sums));
    sums += __builtin_shuffle(quads[0], quads[1], EightInt{0, 1, 2, 3, 8, 9, 10, 11}) +
            __builtin_shuffle(quads[0], quads[1], EightInt{4, 5, 6, 7, 12, 13, 14, 15});
    std::memcpy(out + k, &sums, sizeof(sums));
  }
  for (int k = K / 8 * 8; k < K; ++k) {
    const Eight e = fold(v[k]);
    typedef float Four __attribute__((vector_size(16)));
    typedef int FourInt __attribute__((vector_size(16)));
    Four half[2];
    std::memcpy(half, &e, sizeof(e));
    Four sums = half[0] + half[1];
    sums += __builtin_shuffle(sums, FourInt{2, 3, 0, 1});
    out[k] += sums[0] + sums[1];
  }
#else
  for (int k = 0; k < K; ++k) out[k] += sum(v[k]);
#endif
}

// The columns of a thread's gradient buffer: sums over pixels of v = v_power = v_alpha alpha and its products
// with dx, dy, which turn into gradients of mean, conic and opacity only at the end (they are linear).
enum Moment { kX, kY, kXX, kXY, kYY, kOne, kChannels, kAbsX = 13, kAbsY, kMoments = 16 };

template <int C, bool Absolute>
void rasterize_tile_vjp(const nk_rasterize_grad_params *p, const PixelGrid &grid, int tile, float *moments) {
  const TileRange range = tile_range(tile, p->W, p->H);
  const int64_t plane = int64_t(p->H) * p->W;
  TileState<2 + C> state = {};  // transmittance, what lies behind, gradient of the channels
  open_tile(range, &state);
  for_pixels(range, p->W, [&](int i, int64_t from) {
    float behind = 0.0f;
    for (int c = 0; c < C; ++c) {
      const float g = p->grad_image[c * plane + from];
      state.at(2 + c, i) = g;
      behind += g * p->image[c * plane + from];
    }
    // alpha = 1 - T_end: like a background of -1
    if (p->grad_alpha) behind -= p->grad_alpha[from] * (1.0f - p->alpha[from]);
    state.at(1, i) = behind;
  });
  const int32_t begin = p->tile_offsets[tile], end = p->tile_offsets[tile + 1];
  for (int32_t at = begin; at < end; ++at) {
    if ((at - begin) % kFullTestEvery == kFullTestEvery - 1 && is_full(state)) break;
    prefetch_splat(p, at + kAhead, end);
    if (at + kAhead < end) __builtin_prefetch(moments + int64_t(p->ranks[at + kAhead]) * kMoments, 1);
    const int32_t rank = p->ranks[at];
    const float *splat = p->sorted + int64_t(rank) * NK_SPLAT_SIZE;
    const Span span = span_of(p->rows[at]);
    TileSplat s(splat, grid, range.x, range.y, span.first);
    Lanes color[C], one[kVectorsPerRow] = {}, dy1[kVectorsPerRow] = {}, dy2[kVectorsPerRow] = {};
    Lanes sums[Absolute ? kMoments : kChannels + C] = {};
    for (int c = 0; c < C; ++c) color[c] = Lanes{} + splat[channel_column(c)];
    for (int group = span.first; group <= span.last; ++group, s.next_row_group()) {
      for (int j = 0; j < kVectorsPerRow; ++j) {
        auto &pixels = state.value[group * kVectorsPerRow + j];
        const Lanes raw = s.raw_alpha(j);
        Lanes alpha = min(raw, NK_ALPHA_MAX), t = load(pixels[0]), behind = load(pixels[1]);
        const Lanes before = t;
        const Lanes weight = composite(raw >= NK_ALPHA_MIN, &alpha, &t);
        Lanes g_dot_c = {};
        for (int c = 0; c < C; ++c) {
          const Lanes g = load(pixels[2 + c]);
          g_dot_c += g * color[c];
          sums[kChannels + c] += weight * g;
        }
        const Lanes v_alpha = composite_vjp(alpha, weight, before, g_dot_c, &behind);
        store(pixels[0], t);
        store(pixels[1], behind);
        const Lanes v = select(raw < NK_ALPHA_MAX, v_alpha * alpha, Lanes{});
        const Lanes v_dy = v * s.dy;
        one[j] += v;
        dy1[j] += v_dy;
        dy2[j] += v_dy * s.dy;
        if (Absolute) {
          const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c = splat[NK_SPLAT_C];
          sums[kAbsX] += abs(v * (a * s.dx[j] + b * s.dy));
          sums[kAbsY] += abs(v * (b * s.dx[j] + c * s.dy));
        }
      }
    }
    for (int j = 0; j < kVectorsPerRow; ++j) {
      const Lanes v_dx = one[j] * s.dx[j];
      sums[kX] += v_dx;
      sums[kY] += dy1[j];
      sums[kXX] += v_dx * s.dx[j];
      sums[kXY] += dy1[j] * s.dx[j];
      sums[kYY] += dy2[j];
      sums[kOne] += one[j];
    }
    add_lane_sums(sums, moments + int64_t(rank) * kMoments);
  }
}

// Moments to gradients, with power = -(a dx^2 + c dy^2) / 2 - b dx dy and dx = pixel - mean.
void moments_to_grad(const float *splat, const float *m, float *grad) {
  const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c = splat[NK_SPLAT_C];
  grad[NK_SPLAT_X] = a * m[kX] + b * m[kY];
  grad[NK_SPLAT_Y] = b * m[kX] + c * m[kY];
  grad[NK_SPLAT_A] = -0.5f * m[kXX];
  grad[NK_SPLAT_B] = -m[kXY];
  grad[NK_SPLAT_C] = -0.5f * m[kYY];
  grad[NK_SPLAT_OPACITY] = m[kOne] / splat[NK_SPLAT_OPACITY];
  for (int c = 0; c < 7; ++c) grad[channel_column(c)] = m[kChannels + c];
  grad[NK_GRAD_ABS_X] = m[kAbsX];
  grad[NK_GRAD_ABS_Y] = m[kAbsY];
}

template <int C>
void rasterize_vjp(const nk_rasterize_grad_params *p) {
  const PixelGrid grid = make_pixel_grid();
  const int threads = p->threads;
  const int32_t tiles = p->T1 - 1;
  const auto pass_back = p->absolute ? rasterize_tile_vjp<C, true> : rasterize_tile_vjp<C, false>;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static, 1)
    for (int t = 0; t < threads; ++t) {
      const FlushDenormals flush;
      float *moments = p->scratch + int64_t(t) * p->N * kMoments;
      std::memset(moments, 0, sizeof(float) * p->M * kMoments);
      // Tiles from where t / threads of the instances begin to where (t + 1) / threads do.
      const auto boundary = [&](int thread) {
        const int64_t target = int64_t(p->tile_offsets[tiles]) * thread / threads;
        if (thread == threads) return tiles;
        return static_cast<int32_t>(std::lower_bound(p->tile_offsets, p->tile_offsets + tiles, target) -
                                    p->tile_offsets);
      };
      for (int32_t tile = boundary(t); tile < boundary(t + 1); ++tile) pass_back(p, grid, tile, moments);
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < p->N; ++i)
      std::memset(p->grad_splats + i * NK_SPLAT_SIZE, 0, sizeof(float) * NK_SPLAT_SIZE);
#pragma omp for schedule(static)
    for (int64_t m = 0; m < p->M; ++m) {
      float total[kMoments] = {};
      for (int t = 0; t < threads; ++t)
        for (int k = 0; k < kMoments; ++k) total[k] += p->scratch[(int64_t(t) * p->N + m) * kMoments + k];
      moments_to_grad(p->sorted + m * NK_SPLAT_SIZE, total, p->grad_splats + int64_t(p->order[m]) * NK_SPLAT_SIZE);
    }
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_rasterize_fwd(const nk_rasterize_params *p) {
  return nk::guarded("nk_rasterize_fwd", [&] {
    switch (p->C) {
      case 3:
        return nk::rasterize<3>(p);
      case 4:
        return nk::rasterize<4>(p);
      case 7:
        return nk::rasterize<7>(p);
    }
    throw std::invalid_argument("channels must be 3, 4 or 7");
  });
}

extern "C" int nk_rasterize_bwd(const nk_rasterize_grad_params *p) {
  return nk::guarded("nk_rasterize_bwd", [&] {
    switch (p->C) {
      case 3:
        return nk::rasterize_vjp<3>(p);
      case 4:
        return nk::rasterize_vjp<4>(p);
      case 7:
        return nk::rasterize_vjp<7>(p);
    }
    throw std::invalid_argument("channels must be 3, 4 or 7");
  });
}
