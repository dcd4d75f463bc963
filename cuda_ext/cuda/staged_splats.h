// The splats of a tile as the rasterizer's kernels read them: a batch at a time in shared memory.
#pragma once

#include "../math/splat.h"
#include "fours.h"
#include "tile.h"

namespace nk {

constexpr int kBatch = kTileThreads;  // instances in shared memory

// What a pixel needs of a splat, C channels with it. In log2 units: log2 alpha = opacity + (a dx + b dy) dx + c dy^2.
template <int C>
struct TileSplat {
  float x, y, a, b, c, opacity, channels[C], slope_x, slope_y;

  // Channel c at a pixel: only the depth changes.
  NK_DEVICE float channel(int c, float dx, float dy) const {
    return c == 3 ? channels[3] + slope_x * dx + slope_y * dy : channels[c];
  }
};

constexpr int slopes_of(int channels) { return channels > 3 ? 2 : 0; }

// The splats of a batch in shared memory, as planes of four numbers each: lanes that write neighbours write without
// conflicts, and a warp reads one splat at a time.
template <int C>
struct Staged {
  static constexpr int kPlanes = (6 + C + slopes_of(C) + 3) / 4;
  float4 *planes;  // [kPlanes][kBatch]

  // `slopes` are read only where there is a depth to draw.
  NK_DEVICE void put(int slot, const float *splats, const float *slopes, int64_t index) const {
    const float *splat = splats + index * NK_SPLAT_SIZE;
    float whole[NK_SPLAT_SIZE];
    load_fours<NK_SPLAT_SIZE>(splat, whole);
    float v[4 * kPlanes] = {whole[NK_SPLAT_X],
                            whole[NK_SPLAT_Y],
                            -0.5f * kLog2E * whole[NK_SPLAT_A],
                            -kLog2E * whole[NK_SPLAT_B],
                            -0.5f * kLog2E * whole[NK_SPLAT_C],
                            log2_opacity(whole)};
    for (int c = 0; c < C; ++c) v[6 + c] = whole[channel_column(c)];
    for (int k = 0; k < slopes_of(C); ++k) v[6 + C + k] = slopes[2 * index + k];
    for (int k = 0; k < kPlanes; ++k)
      planes[k * kBatch + slot] = make_float4(v[4 * k], v[4 * k + 1], v[4 * k + 2], v[4 * k + 3]);
  }

  NK_DEVICE TileSplat<C> get(int slot) const {
    float v[4 * kPlanes];
    for (int k = 0; k < kPlanes; ++k) {
      const float4 plane = planes[k * kBatch + slot];
      v[4 * k] = plane.x;
      v[4 * k + 1] = plane.y;
      v[4 * k + 2] = plane.z;
      v[4 * k + 3] = plane.w;
    }
    TileSplat<C> out = {v[0], v[1], v[2], v[3], v[4], v[5], {}, 0.0f, 0.0f};
    for (int c = 0; c < C; ++c) out.channels[c] = v[6 + c];
    if constexpr (C > 3) {
      out.slope_x = v[6 + C];
      out.slope_y = v[7 + C];
    }
    return out;
  }
};

// Brings the instances [from, from + count) of a tile into shared memory.
template <class Params, int C>
NK_DEVICE void stage(const Params &p, int from, int count, const Staged<C> &splats, uint8_t *reach, int *indices) {
  const int slot = threadIdx.x;
  if (slot >= count) return;
  const int index = p.indices[from + slot];
  reach[slot] = p.reach[from + slot];
  if (indices) indices[slot] = index;
  splats.put(slot, p.splats, p.slopes, index);
}

// Opacity times the Gaussian of a splat at a pixel, before any clamp.
template <int C>
NK_DEVICE float raw_alpha(const TileSplat<C> &s, float dx, float dy) {
  return exp2_or_zero(s.opacity + dx * (s.a * dx + s.b * dy) + s.c * dy * dy);
}

}  // namespace nk
