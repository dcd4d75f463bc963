// Compositing of splats into tiles and its gradient. A block is a tile, a thread a pixel, and a warp one of the tile's
// parts, of 8x4 pixels. The block brings the tile's splats into shared memory, 256 at a time; each warp then draws
// those that reach its part, and stops where all of its pixels are full.
//
// The backward pass goes front to back like the forward pass and repeats its arithmetic; what lies behind a splat is
// the pixel's total minus what has been passed, so that nothing is divided by a vanishing transmittance. A warp adds up
// what its pixels say of a splat and adds that to the splat's gradient, 9 sums in one cache line, by one atomic
// instruction. So its last bits depend on the order of the warps. With depth there are two sums more, of its slope.
#include "../checks.h"
#include "../math/compositing.h"
#include "../math/splat.h"
#include "fours.h"
#include "tile.h"
#include "warp_sums.h"

namespace nk {
namespace {

constexpr int kBatch = kTileThreads;  // instances in shared memory
constexpr unsigned kWarp = 0xffffffffu;
constexpr int kBlocksAtLeast = 4;  // on a multiprocessor: for more the compiler would spill registers

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

// Calls visit(slot) for those of a batch's instances that reach a part, in their order, and then goes on only if
// keep_on() for some lane. Returns how many instances of the batch were passed.
template <class Visit, class KeepOn>
NK_DEVICE int for_reached(const uint8_t *reach, int count, int part, Visit visit, KeepOn keep_on) {
  const int lane = threadIdx.x % 32;
  for (int first = 0; first < count; first += 32) {
    const int slot = first + lane;
    unsigned hits = __ballot_sync(kWarp, slot < count && (reach[slot] >> part & 1));
    for (; hits; hits &= hits - 1) visit(first + __ffs(static_cast<int>(hits)) - 1);
    if (!__any_sync(kWarp, keep_on())) return min(first + 32, count);
  }
  return count;
}

struct Background {
  float rgb[3];
};

template <int C, bool kMedian>
__global__ void __launch_bounds__(kTileThreads, kBlocksAtLeast)
    draw_tiles(nk_rasterize_params p, Background background) {
  NK_SHARED(float4, planes, Staged<C>::kPlanes * kBatch);
  NK_SHARED(uint8_t, reach, kBatch);
  NK_SHARED(int, most, 1);
  const Staged<C> staged = {planes};
  const int tile = blockIdx.x, tiles_x = (p.W + kTile - 1) / kTile, part = threadIdx.x / 32;
  const Pixel pixel = pixel_of_thread(tile % tiles_x, tile / tiles_x, p.W, p.H);
  const float center_x = static_cast<float>(pixel.x) + 0.5f, center_y = static_cast<float>(pixel.y) + 0.5f;
  const int begin = p.tile_offsets[tile], end = p.tile_offsets[tile + 1];
  float transmittance = pixel.inside ? 1.0f : 0.0f, channels[C] = {}, median = 0.0f;
  const auto is_open = [&] { return transmittance > NK_TRANSMITTANCE_MIN; };
  if (threadIdx.x == 0) *most = 0;
  int walked = 0;
  for (int batch = begin; batch < end; batch += kBatch) {
    if (!__syncthreads_or(is_open())) break;
    const int count = min(kBatch, end - batch);
    stage(p, batch, count, staged, reach, nullptr);
    __syncthreads();
    if (!__any_sync(kWarp, is_open())) continue;
    const auto draw = [&](int slot) {
      const TileSplat<C> s = staged.get(slot);
      const float dx = center_x - s.x, dy = center_y - s.y, raw = raw_alpha(s, dx, dy), before = transmittance;
      float alpha = min(raw, NK_ALPHA_MAX);
      const float weight = composite(raw >= NK_ALPHA_MIN, &alpha, &transmittance);
      for (int c = 0; c < C; ++c) channels[c] += weight * s.channel(c, dx, dy);
      if (kMedian) median += middle_weight(before, transmittance) * s.channel(3, dx, dy);
    };
    walked = batch - begin + for_reached(reach, count, part, draw, is_open);
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) atomicMax(most, walked);
  __syncthreads();
  if (threadIdx.x == 0) p.walked[tile] = *most;
  if (!pixel.inside) return;
  const int64_t plane = int64_t(p.H) * p.W, at = int64_t(pixel.y) * p.W + pixel.x;
  for (int c = 0; c < C; ++c)
    p.image[c * plane + at] = channels[c] + (c < 3 ? transmittance * background.rgb[c] : 0.0f);
  p.alpha[at] = 1.0f - transmittance;
  if (kMedian) p.median_depth[at] = median_of(median, transmittance);
}

// The numbers that a warp adds up for a splat: the moments of math/splat.h, those that are wanted one after the other,
// and at last the gradient of the slope.
template <int C, bool kAbsolute>
struct Sums {
  static constexpr int kMomentsWanted = kChannels + C + (kAbsolute ? 2 : 0);
  static constexpr int kCount = kMomentsWanted + slopes_of(C);

  // Where sum `number` of splat 0 belongs; that of the next one lies `*stride` further.
  NK_DEVICE static float *place(const nk_rasterize_grad_params &p, int number, int *stride) {
    if (slopes_of(C) > 0 && number >= kMomentsWanted) {
      *stride = 2;
      return p.grad_slopes + (number - kMomentsWanted);
    }
    *stride = NK_SPLAT_SIZE;
    return p.grad_splats + (number < kChannels + C ? number : kAbsX + number - (kChannels + C));
  }
};

template <int C, bool kAbsolute>
__global__ void __launch_bounds__(kTileThreads, kBlocksAtLeast) draw_tiles_vjp(nk_rasterize_grad_params p) {
  NK_SHARED(float4, planes, Staged<C>::kPlanes * kBatch);
  NK_SHARED(uint8_t, reach, kBatch);
  NK_SHARED(int, indices, kBatch);
  using Wanted = Sums<C, kAbsolute>;
  const Staged<C> staged = {planes};
  const int tile = blockIdx.x, tiles_x = (p.W + kTile - 1) / kTile, part = threadIdx.x / 32;
  const Pixel pixel = pixel_of_thread(tile % tiles_x, tile / tiles_x, p.W, p.H);
  const float center_x = static_cast<float>(pixel.x) + 0.5f, center_y = static_cast<float>(pixel.y) + 0.5f;
  const int begin = p.tile_offsets[tile], end = begin + p.walked[tile];
  float transmittance = pixel.inside ? 1.0f : 0.0f, behind = 0.0f, gradient[C] = {};
  if (pixel.inside) {
    const int64_t plane = int64_t(p.H) * p.W, at = int64_t(pixel.y) * p.W + pixel.x;
    for (int c = 0; c < C; ++c) {
      gradient[c] = p.grad_image[c * plane + at];
      behind += gradient[c] * p.image[c * plane + at];
    }
    if (p.grad_alpha) behind -= p.grad_alpha[at] * (1.0f - p.alpha[at]);  // like a background of -1
  }
  const auto is_open = [&] { return transmittance > NK_TRANSMITTANCE_MIN; };
  const LaneSum<Wanted::kCount> own(threadIdx.x % 32);
  int own_stride;
  float *const own_place = Wanted::place(p, own.number, &own_stride);
  for (int batch = begin; batch < end; batch += kBatch) {
    const int count = min(kBatch, end - batch);
    __syncthreads();
    stage(p, batch, count, staged, reach, indices);
    __syncthreads();
    if (!__any_sync(kWarp, is_open())) continue;
    const auto pass_back = [&](int slot) {
      const TileSplat<C> s = staged.get(slot);
      const float dx = center_x - s.x, dy = center_y - s.y, raw = raw_alpha(s, dx, dy);
      float alpha = min(raw, NK_ALPHA_MAX);
      const float weight = composite(raw >= NK_ALPHA_MIN, &alpha, &transmittance);
      if (!__any_sync(kWarp, weight > 0.0f)) return;
      float g_dot_c = 0.0f;
      for (int c = 0; c < C; ++c) g_dot_c += gradient[c] * s.channel(c, dx, dy);
      const float v_power = composite_vjp_log(alpha, weight, g_dot_c, &behind);
      const float v = raw < NK_ALPHA_MAX ? v_power : 0.0f;
      float sums[Wanted::kCount];
      sums[kX] = v * dx;
      sums[kY] = v * dy;
      sums[kXX] = sums[kX] * dx;
      sums[kXY] = sums[kX] * dy;
      sums[kYY] = sums[kY] * dy;
      sums[kOne] = v;
      for (int c = 0; c < C; ++c) sums[kChannels + c] = weight * gradient[c];
      if constexpr (kAbsolute) {
        sums[kChannels + C] = abs(v * (2.0f * s.a * dx + s.b * dy)) * (1.0f / kLog2E);
        sums[kChannels + C + 1] = abs(v * (s.b * dx + 2.0f * s.c * dy)) * (1.0f / kLog2E);
      }
      if constexpr (C > 3) {
        sums[Wanted::kMomentsWanted] = sums[kChannels + 3] * dx;
        sums[Wanted::kMomentsWanted + 1] = sums[kChannels + 3] * dy;
      }
      fold_lanes<Wanted::kCount>(sums);
      if (own.first) atomicAdd(own_place + int64_t(indices[slot]) * own_stride, sums[0]);
    };
    for_reached(reach, count, part, pass_back, is_open);
  }
}

__global__ void __launch_bounds__(kTileThreads) moments_to_grads(nk_rasterize_grad_params p) {
  const int64_t i = thread_number();
  if (i >= p.N || p.splats[i * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] == 0.0f) return;
  float *grad = p.grad_splats + i * NK_SPLAT_SIZE, moments[kMoments];
  for (int k = 0; k < kMoments; ++k) moments[k] = grad[k];
  moments_to_grad(p.splats + i * NK_SPLAT_SIZE, moments, grad);
  if (p.C > 3) add_slope_grad(p.slopes + 2 * i, moments, grad);
}

template <class Params>
void check_rasterize(const Params *p) {
  require(p->T == int64_t(tiles_along(p->W)) * tiles_along(p->H) && p->T1 == p->T + 1,
          "tile_offsets do not fit the image");
  check_slopes(p);
  require(is_aligned(p->splats), "splats must begin at a multiple of 16 bytes");
}

}  // namespace
}  // namespace nk

extern "C" int nk_rasterize_fwd(const nk_rasterize_params *p) {
  using namespace nk;
  return on_device("nk_rasterize_fwd", [&] {
    check_median(p);
    check_rasterize(p);
    with_layers(p->C, [&](auto channels) {
      constexpr int C = decltype(channels)::value;
      const Background background = {{p->background[0], p->background[1], p->background[2]}};
      if constexpr (C > 3) {
        if (p->median_depth) {
          NK_LAUNCH((draw_tiles<C, true>), p->T, kTileThreads, 0, *p, background);
          return;
        }
      }
      NK_LAUNCH((draw_tiles<C, false>), p->T, kTileThreads, 0, *p, background);
    });
  });
}

extern "C" int nk_rasterize_bwd(const nk_rasterize_grad_params *p) {
  using namespace nk;
  return on_device("nk_rasterize_bwd", [&] {
    check_rasterize(p);
    check_slope_grad(p);
    with_layers(p->C, [&](auto channels) {
      constexpr int C = decltype(channels)::value;
      fill_zero(p->grad_splats, int64_t(sizeof(float)) * p->N * NK_SPLAT_SIZE);
      if (C > 3) fill_zero(p->grad_slopes, int64_t(sizeof(float)) * p->N * 2);
      if (p->absolute)
        NK_LAUNCH((draw_tiles_vjp<C, true>), p->T, kTileThreads, 0, *p);
      else
        NK_LAUNCH((draw_tiles_vjp<C, false>), p->T, kTileThreads, 0, *p);
      NK_LAUNCH(moments_to_grads, blocks(p->N, kTileThreads), kTileThreads, 0, *p);
    });
  });
}
