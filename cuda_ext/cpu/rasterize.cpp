// Compositing of splats into tiles of 8x8 pixels and its gradient; a lane is a pixel.
//
// A tile is 64 pixels, row by row, in vectors of kLanes: two rows a vector with 16 lanes, one with 8, half a
// one with 4. Only the rows that a splat's ellipse reaches are evaluated (bits from nk_fill). The backward
// pass goes front to back like the forward pass and repeats its arithmetic; what lies behind a splat is the
// pixel's total minus what has been passed, so that nothing is divided by a vanishing transmittance. Each
// thread adds to a gradient buffer of its own, over a fixed part of the tiles: no atomics, and the same bytes
// on every run with the same number of threads.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "../math/compositing.h"
#include "../nerfkit.h"
#include "error.h"

namespace nk {
namespace {

constexpr int kPixels = NK_TILE * NK_TILE;
constexpr int kRowsPerVector = kLanes > NK_TILE ? kLanes / NK_TILE : 1;
constexpr int kVectorsPerRow = kLanes < NK_TILE ? NK_TILE / kLanes : 1;
constexpr int kRowGroups = NK_TILE / kRowsPerVector;
constexpr float kLog2E = 1.4426950408889634f;

// Pixel centres relative to the tile's corner, for the vectors of a row group.
struct PixelGrid {
  Lanes x[kVectorsPerRow];
  Lanes y;  // of row group 0; row group g adds g * kRowsPerVector
};

PixelGrid make_pixel_grid() {
  PixelGrid grid;
  for (int i = 0; i < kLanes; ++i) {
    for (int j = 0; j < kVectorsPerRow; ++j) grid.x[j][i] = (j * kLanes + i) % NK_TILE + 0.5f;
    grid.y[i] = i / NK_TILE + 0.5f;
  }
  return grid;
}

// Bits of pixel rows to bits of row groups.
inline unsigned row_groups(unsigned rows) {
  if (kRowsPerVector == 1) return rows;
  unsigned groups = 0;
  for (int g = 0; g < kRowGroups; ++g)
    if (rows >> (g * kRowsPerVector) & ((1u << kRowsPerVector) - 1)) groups |= 1u << g;
  return groups;
}

// A splat over one tile: its exponent in base 2 is constant + dy (linear + dy quadratic) along a column.
struct TileSplat {
  Lanes dx[kVectorsPerRow], constant[kVectorsPerRow], linear[kVectorsPerRow];
  float quadratic, y, opacity;

  TileSplat(const float *splat, const PixelGrid &grid, float corner_x, float corner_y) {
    const float a = splat[NK_SPLAT_A], b = splat[NK_SPLAT_B], c = splat[NK_SPLAT_C];
    for (int j = 0; j < kVectorsPerRow; ++j) {
      dx[j] = grid.x[j] - (splat[NK_SPLAT_X] - corner_x);
      constant[j] = (-0.5f * kLog2E * a) * dx[j] * dx[j];
      linear[j] = (-kLog2E * b) * dx[j];
    }
    quadratic = -0.5f * kLog2E * c;
    y = splat[NK_SPLAT_Y] - corner_y;
    opacity = splat[NK_SPLAT_OPACITY];
  }

  // Opacity times the Gaussian, before the clamp.
  Lanes raw_alpha(int j, Lanes dy) const {
    const Lanes power = constant[j] + dy * (linear[j] + dy * quadratic);
    return opacity * exp2(max(power, -100.0f));
  }
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

void load_tile(const float *plane, int width, const TileRange &r, float *tile) {
  for (int y = 0; y < r.height; ++y)
    std::memcpy(tile + y * NK_TILE, plane + int64_t(r.y + y) * width + r.x, sizeof(float) * r.width);
}

void store_tile(const float *tile, int width, const TileRange &r, float *plane) {
  for (int y = 0; y < r.height; ++y)
    std::memcpy(plane + int64_t(r.y + y) * width + r.x, tile + y * NK_TILE, sizeof(float) * r.width);
}

// Transmittance 1 inside the image and 0 outside, where nothing is left to draw.
void open_tile(const TileRange &r, float *transmittance) {
  std::memset(transmittance, 0, sizeof(float) * kPixels);
  for (int y = 0; y < r.height; ++y)
    for (int x = 0; x < r.width; ++x) transmittance[y * NK_TILE + x] = 1.0f;
}

bool is_full(const float *transmittance) {
  float most = 0.0f;
  for (int i = 0; i < kPixels; ++i) most = std::max(most, transmittance[i]);
  return most <= NK_TRANSMITTANCE_MIN;
}

// The splat column of channel c: rgb, depth, normal.
constexpr int channel_column(int c) {
  return c < 3 ? NK_SPLAT_COLOR + c : c == 3 ? NK_SPLAT_DEPTH : NK_SPLAT_NORMAL + c - 4;
}

template <int C>
void rasterize_tile(const nk_rasterize_params *p, const PixelGrid &grid, int tile) {
  const TileRange range = tile_range(tile, p->W, p->H);
  alignas(64) float transmittance[kPixels], image[C][kPixels] = {}, median[kPixels] = {};
  open_tile(range, transmittance);
  const int32_t begin = p->tile_offsets[tile], end = p->tile_offsets[tile + 1];
  for (int32_t at = begin; at < end; ++at) {
    if ((at - begin) % 16 == 15 && is_full(transmittance)) break;
    const float *splat = p->sorted + int64_t(p->ranks[at]) * NK_SPLAT_SIZE;
    const TileSplat s(splat, grid, range.x, range.y);
    for (unsigned groups = row_groups(p->rows[at]); groups; groups &= groups - 1) {
      const int group = __builtin_ctz(groups);
      const Lanes dy = grid.y + (group * kRowsPerVector - s.y);
      for (int j = 0; j < kVectorsPerRow; ++j) {
        const int pixel = (group * kVectorsPerRow + j) * kLanes;
        Lanes alpha = min(s.raw_alpha(j, dy), NK_ALPHA_MAX), t = load(transmittance + pixel);
        const Lanes before = t;
        const Lanes weight = composite(&alpha, &t);
        store(transmittance + pixel, t);
        for (int c = 0; c < C; ++c)
          store(image[c] + pixel, load(image[c] + pixel) + weight * splat[channel_column(c)]);
        if (p->median_depth)
          store(median + pixel,
                select((before >= 0.5f) & (t < 0.5f), Lanes{} + splat[NK_SPLAT_DEPTH], load(median + pixel)));
      }
    }
  }
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < kPixels; ++i) image[c][i] += transmittance[i] * p->background[c];
  for (int i = 0; i < kPixels; ++i) transmittance[i] = 1.0f - transmittance[i];
  const int64_t plane = int64_t(p->H) * p->W;
  for (int c = 0; c < C; ++c) store_tile(image[c], p->W, range, p->image + c * plane);
  store_tile(transmittance, p->W, range, p->alpha);
  if (p->median_depth) store_tile(median, p->W, range, p->median_depth);
}

template <int C>
void rasterize(const nk_rasterize_params *p) {
  const PixelGrid grid = make_pixel_grid();
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 8)
  for (int tile = 0; tile < p->T1 - 1; ++tile) rasterize_tile<C>(p, grid, tile);
}

// Sums over the lanes of K vectors. With 8 lanes or more: pairs of vectors are folded into one, three times.
template <int K>
void add_lane_sums(const Lanes (&v)[K], float *out) {
#if NK_LANES >= 8
  typedef float Eight __attribute__((vector_size(32)));
  typedef int EightInt __attribute__((vector_size(32)));
  static_assert(K % 8 == 0);
  for (int k = 0; k < K; k += 8) {
    Eight e[8];
    for (int i = 0; i < 8; ++i) {
      Eight part[kLanes / 8];
      std::memcpy(part, &v[k + i], sizeof(Lanes));
      e[i] = part[0];
      for (int h = 1; h < kLanes / 8; ++h) e[i] += part[h];
    }
    Eight pairs[4], quads[2];
    for (int i = 0; i < 4; ++i)
      pairs[i] = __builtin_shuffle(e[2 * i], e[2 * i + 1], EightInt{0, 8, 1, 9, 4, 12, 5, 13}) +
                 __builtin_shuffle(e[2 * i], e[2 * i + 1], EightInt{2, 10, 3, 11, 6, 14, 7, 15});
    for (int i = 0; i < 2; ++i)
      quads[i] = __builtin_shuffle(pairs[2 * i], pairs[2 * i + 1], EightInt{0, 1, 8, 9, 4, 5, 12, 13}) +
                 __builtin_shuffle(pairs[2 * i], pairs[2 * i + 1], EightInt{2, 3, 10, 11, 6, 7, 14, 15});
    Eight sums = __builtin_shuffle(quads[0], quads[1], EightInt{0, 1, 2, 3, 8, 9, 10, 11}) +
                 __builtin_shuffle(quads[0], quads[1], EightInt{4, 5, 6, 7, 12, 13, 14, 15});
    Eight old;
    std::memcpy(&old, out + k, sizeof(old));
    sums += old;
    std::memcpy(out + k, &sums, sizeof(sums));
  }
#else
  for (int k = 0; k < K; ++k) out[k] += sum(v[k]);
#endif
}

// The columns of a thread's gradient buffer: sums over pixels of v = v_power = v_alpha alpha and its products
// with dx, dy, which turn into gradients of mean, conic and opacity only at the end (they are linear).
enum Moment { kX, kY, kXX, kXY, kYY, kOne, kRed, kGreen, kBlue, kDepth, kNormalX, kNormalY, kNormalZ, kMoments = 16 };

template <int C>
void rasterize_tile_vjp(const nk_rasterize_grad_params *p, const PixelGrid &grid, int tile, float *moments) {
  const TileRange range = tile_range(tile, p->W, p->H);
  const int64_t plane = int64_t(p->H) * p->W;
  alignas(64) float transmittance[kPixels], behind[kPixels] = {}, g[C][kPixels] = {}, values[kPixels] = {};
  open_tile(range, transmittance);
  for (int c = 0; c < C; ++c) {
    load_tile(p->grad_image + c * plane, p->W, range, g[c]);
    load_tile(p->image + c * plane, p->W, range, values);
    for (int i = 0; i < kPixels; ++i) behind[i] += g[c][i] * values[i];
  }
  if (p->grad_alpha) {  // alpha = 1 - T_end: like a background of -1
    alignas(64) float grad_alpha[kPixels] = {};
    load_tile(p->grad_alpha, p->W, range, grad_alpha);
    load_tile(p->alpha, p->W, range, values);
    for (int i = 0; i < kPixels; ++i) behind[i] -= grad_alpha[i] * (1.0f - values[i]);
  }
  const int32_t begin = p->tile_offsets[tile], end = p->tile_offsets[tile + 1];
  for (int32_t at = begin; at < end; ++at) {
    if ((at - begin) % 16 == 15 && is_full(transmittance)) break;
    const int32_t rank = p->ranks[at];
    const float *splat = p->sorted + int64_t(rank) * NK_SPLAT_SIZE;
    const TileSplat s(splat, grid, range.x, range.y);
    Lanes one[kVectorsPerRow] = {}, dy1[kVectorsPerRow] = {}, dy2[kVectorsPerRow] = {}, channel[C] = {};
    for (unsigned groups = row_groups(p->rows[at]); groups; groups &= groups - 1) {
      const int group = __builtin_ctz(groups);
      const Lanes dy = grid.y + (group * kRowsPerVector - s.y);
      for (int j = 0; j < kVectorsPerRow; ++j) {
        const int pixel = (group * kVectorsPerRow + j) * kLanes;
        const Lanes raw = s.raw_alpha(j, dy);
        Lanes alpha = min(raw, NK_ALPHA_MAX), t = load(transmittance + pixel), rest = load(behind + pixel);
        const Lanes before = t;
        const Lanes weight = composite(&alpha, &t);
        Lanes g_dot_c = {};
        for (int c = 0; c < C; ++c) {
          const Lanes gc = load(g[c] + pixel);
          g_dot_c += gc * splat[channel_column(c)];
          channel[c] += weight * gc;
        }
        const Lanes v_alpha = composite_vjp(alpha, weight, before, g_dot_c, &rest);
        store(transmittance + pixel, t);
        store(behind + pixel, rest);
        const Lanes v = select(raw < NK_ALPHA_MAX, v_alpha * alpha, Lanes{});
        one[j] += v;
        dy1[j] += v * dy;
        dy2[j] += v * dy * dy;
      }
    }
    Lanes sums[kMoments] = {};
    for (int j = 0; j < kVectorsPerRow; ++j) {
      sums[kX] += one[j] * s.dx[j];
      sums[kY] += dy1[j];
      sums[kXX] += one[j] * s.dx[j] * s.dx[j];
      sums[kXY] += dy1[j] * s.dx[j];
      sums[kYY] += dy2[j];
      sums[kOne] += one[j];
    }
    for (int c = 0; c < C; ++c) sums[kRed + c] = channel[c];
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
  grad[NK_SPLAT_DEPTH] = m[kDepth];
  for (int k = 0; k < 3; ++k) {
    grad[NK_SPLAT_COLOR + k] = m[kRed + k];
    grad[NK_SPLAT_NORMAL + k] = m[kNormalX + k];
  }
}

template <int C>
void rasterize_vjp(const nk_rasterize_grad_params *p) {
  const PixelGrid grid = make_pixel_grid();
  const int threads = p->threads;
  const int32_t tiles = p->T1 - 1;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static, 1)
    for (int t = 0; t < threads; ++t) {
      float *moments = p->scratch + int64_t(t) * p->N * kMoments;
      std::memset(moments, 0, sizeof(float) * p->M * kMoments);
      // Tiles from where t / threads of the instances begin to where (t + 1) / threads do.
      const auto boundary = [&](int thread) {
        const int64_t target = int64_t(p->I) * thread / threads;
        if (thread == threads) return tiles;
        return static_cast<int32_t>(std::lower_bound(p->tile_offsets, p->tile_offsets + tiles, target) -
                                    p->tile_offsets);
      };
      for (int32_t tile = boundary(t); tile < boundary(t + 1); ++tile) rasterize_tile_vjp<C>(p, grid, tile, moments);
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
      case 3: return nk::rasterize<3>(p);
      case 4: return nk::rasterize<4>(p);
      case 7: return nk::rasterize<7>(p);
    }
    throw std::invalid_argument("channels must be 3, 4 or 7");
  });
}

extern "C" int nk_rasterize_bwd(const nk_rasterize_grad_params *p) {
  return nk::guarded("nk_rasterize_bwd", [&] {
    switch (p->C) {
      case 3: return nk::rasterize_vjp<3>(p);
      case 4: return nk::rasterize_vjp<4>(p);
      case 7: return nk::rasterize_vjp<7>(p);
    }
    throw std::invalid_argument("channels must be 3, 4 or 7");
  });
}
