// Compositing of splats into tiles and its gradient. A block is a tile, a thread a pixel, and a warp one of the tile's
// parts, of 8x4 pixels. The block brings the tile's splats into shared memory, 256 at a time; each warp then draws
// those that reach its part, and stops where all of its pixels are full.
//
// The backward pass goes front to back like the forward pass and repeats its arithmetic; what lies behind a splat is
// the pixel's total minus what has been passed, so that nothing is divided by a vanishing transmittance. What a warp's
// pixels say of eight splats is added up at once (splat_sums.h), and then atomically to the splats' gradients, whose
// last bits so depend on the order of the warps.
#include "../checks.h"
#include "../math/compositing.h"
#include "splat_sums.h"

namespace nk {
namespace {

constexpr int kBlocksAtLeast = 4;  // on a multiprocessor: for more the compiler would spill registers

// Calls visit(slot) for those of a batch's instances that reach a part, in their order, and then goes on only if
// keep_on() for some lane. Returns how many instances of the batch were passed.
template <class Visit, class KeepOn>
NK_DEVICE int for_reached(const uint8_t *reach, int count, int part, Visit visit, KeepOn keep_on) {
  // The first instance is the last lane's, since the highest bit is found by one instruction, and the lowest by two.
  const int behind = 31 - threadIdx.x % 32;
  for (int first = 0; first < count; first += 32) {
    const int slot = first + behind;
    unsigned hits = __ballot_sync(kAllLanes, slot < count && (reach[slot] >> part & 1));
    while (hits) {
      const int next = __clz(static_cast<int>(hits));
      hits &= 0x7fffffffu >> next;
      visit(first + next);
    }
    if (!__any_sync(kAllLanes, keep_on())) return min(first + 32, count);
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
    if (!__any_sync(kAllLanes, is_open())) continue;
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

template <int C, bool kAbsolute>
__global__ void __launch_bounds__(kTileThreads, C < 7 ? kBlocksAtLeast : 3) draw_tiles_vjp(nk_rasterize_grad_params p) {
  NK_SHARED(float4, planes, Staged<C>::kPlanes * kBatch);
  NK_SHARED(uint8_t, reach, kBatch);
  NK_SHARED(int, indices, kBatch);
  using Sums = SplatSums<C, kAbsolute>;
  NK_SHARED(float2, pairs, kParts * Sums::kPairs);
  NK_SHARED(float4, gradients, kParts * Sums::kGradients);
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
  Sums sums(pairs + part * Sums::kPairs, gradients + part * Sums::kGradients, center_x, center_y, gradient);
  const auto is_open = [&] { return transmittance > NK_TRANSMITTANCE_MIN; };
  for (int batch = begin; batch < end; batch += kBatch) {
    const int count = min(kBatch, end - batch);
    __syncthreads();
    stage(p, batch, count, staged, reach, indices);
    __syncthreads();
    if (!__any_sync(kAllLanes, is_open())) continue;
    const auto pass_back = [&](int slot) {
      const TileSplat<C> s = staged.get(slot);
      const float dx = center_x - s.x, dy = center_y - s.y, raw = raw_alpha(s, dx, dy);
      float alpha = min(raw, NK_ALPHA_MAX);
      const float weight = composite(raw >= NK_ALPHA_MIN, &alpha, &transmittance);
      if (!__any_sync(kAllLanes, weight > 0.0f)) return;
      float g_dot_c = 0.0f;
      for (int c = 0; c < C; ++c) g_dot_c += gradient[c] * s.channel(c, dx, dy);
      const float v_power = composite_vjp_log(alpha, weight, g_dot_c, &behind);
      sums.put(slot, raw < NK_ALPHA_MAX ? v_power : 0.0f, weight);
      if (sums.full()) sums.add_up(p, staged, indices);
    };
    for_reached(reach, count, part, pass_back, is_open);
    sums.add_up(p, staged, indices);
  }
}

__global__ void __launch_bounds__(kTileThreads) moments_to_grads(nk_rasterize_grad_params p) {
  const int64_t i = thread_number();
  if (i >= p.N || p.splats[i * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] == 0.0f) return;
  float splat[NK_SPLAT_SIZE], moments[kMoments], grad[NK_SPLAT_SIZE];
  load_fours<NK_SPLAT_SIZE>(p.splats + i * NK_SPLAT_SIZE, splat);
  load_fours<kMoments>(p.grad_splats + i * NK_SPLAT_SIZE, moments);
  moments_to_grad(splat, moments, grad);
  if (p.C > 3) add_slope_grad(p.slopes + 2 * i, moments, grad);
  store_fours<NK_SPLAT_SIZE>(p.grad_splats + i * NK_SPLAT_SIZE, grad);
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
    require(is_aligned(p->grad_splats), "grad_splats must begin at a multiple of 16 bytes");
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
