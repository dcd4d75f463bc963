// The backward pass's sums over the pixels of a warp, for eight splats at a time.
//
// In a warp that draws, a lane is a pixel. To add up nine numbers over the lanes takes longer than to find them, so
// that the lanes leave but two in shared memory, v and the weight, from which the sums follow (see Moment in
// math/splat.h). When there are those of eight splats, a lane becomes one of the part's four rows for one of them: it
// adds up over the row's eight pixels, whose places are known to the compiler, about the row's first pixel, and moves
// the moments to the splat's mean in the end. The rows' sums go through shared memory once more, so that neighbouring
// lanes add neighbouring numbers of a splat's gradient.
#pragma once

#include "staged_splats.h"

namespace nk {

template <int C, bool kAbsolute>
class SplatSums {
  static constexpr int kGroup = 32 / kPartHeight;
  // Numbers from one splat's pairs to the next one's: so half a warp reads its pairs from different banks.
  static constexpr int kPitch = 36;
  static constexpr int kPlanes = (C + 3) / 4;  // of a pixel's gradient
  // The sums: the moments, those that are wanted one after the other, and at last the gradient of the slope.
  static constexpr int kMomentsWanted = kChannels + C + (kAbsolute ? 2 : 0);
  static constexpr int kCount = kMomentsWanted + slopes_of(C);
  static constexpr int kRowPitch = kCount | 1;           // odd: lanes write to different banks
  static constexpr int kAtOnce = C < 7 ? 4 : 1;          // pixels of a row
  static constexpr int kLanes = kCount <= 16 ? 16 : 32;  // that add to a splat's gradient

 public:
  // What a warp needs of shared memory.
  static constexpr int kPairs = kGroup * kPitch;   // of float2
  static constexpr int kGradients = 32 * kPlanes;  // of float4
  static_assert(32 * kRowPitch <= 2 * kPairs, "the rows' sums take the place of the pairs");
  static_assert(32 % kPartHeight == 0 && kPartWidth * kPartHeight == 32);

  // For all lanes of a warp: each brings its pixel's centre and the gradient of its channels.
  NK_DEVICE SplatSums(float2 *pairs, float4 *gradients, float center_x, float center_y, const float (&gradient)[C])
      : next_(pairs + own_place()), gradients_(gradients), lane_(threadIdx.x % 32), x_(center_x), y_(center_y) {
    for (int plane = 0; plane < kPlanes; ++plane) {
      float v[4] = {};
      for (int i = 0; i < 4; ++i)
        if (4 * plane + i < C) v[i] = gradient[4 * plane + i];
      gradients_[32 * plane + own_place()] = make_float4(v[0], v[1], v[2], v[3]);
    }
    __syncwarp();
  }

  // Takes what this lane's pixel has of a splat. For all lanes.
  NK_DEVICE void put(int slot, float v, float weight) {
    *next_ = make_float2(v, weight);
    next_ += kPitch;
    if (lane_ / kPartHeight == filled_) slot_ = slot;
    ++filled_;
  }

  NK_DEVICE bool full() const { return filled_ == kGroup; }

  // Adds the sums to the splats' gradients, if there are any, and begins anew. For all lanes.
  template <class Params>
  NK_DEVICE void add_up(const Params &p, const Staged<C> &staged, const int *indices) {
    if (filled_ == 0) return;
    if (lane_ / kPartHeight >= filled_) slot_ = 0;  // of no use, but there
    const unsigned index = indices[slot_];
    next_ -= filled_ * kPitch;
    float2 *const pairs = next_ - own_place();  // [kGroup][kPitch]
    float sums[kCount];
    __syncwarp();
    add_up_row(staged.get(slot_), pairs, sums);
    __syncwarp();
    float *rows = reinterpret_cast<float *>(pairs);
    for (int k = 0; k < kCount; ++k) rows[lane_ * kRowPitch + k] = sums[k];
    __syncwarp();
    const int number = min(lane_ % kLanes, kCount - 1);
    unsigned stride;
    char *const to = target(p, number, &stride);
#pragma unroll
    for (int first = 0; first < kGroup; first += 32 / kLanes) {
      const int splat = first + lane_ / kLanes;
      const unsigned at = __shfl_sync(kAllLanes, index, splat * kPartHeight);
      const float *of_splat = rows + splat * kPartHeight * kRowPitch + number;
      float sum = of_splat[0];
      for (int row = 1; row < kPartHeight; ++row) sum += of_splat[row * kRowPitch];
      if (lane_ % kLanes < kCount && splat < filled_)
        atomicAdd(reinterpret_cast<float *>(to + uint64_t(at) * stride), sum);
    }
    __syncwarp();
    filled_ = 0;
  }

 private:
  // Where a splat's pair of a pixel lies, or a pixel's gradient.
  NK_DEVICE static int place(int row, int column) { return column * kPartHeight + row; }
  NK_DEVICE static int own_place() { return place(threadIdx.x % 32 / kPartWidth, threadIdx.x % kPartWidth); }

  NK_DEVICE void add_up_row(const TileSplat<C> &s, const float2 *pairs, float *sums) const {
    const int splat = lane_ / kPartHeight, row = lane_ % kPartHeight;
    // From the splat's mean to the row's first pixel; this lane's own pixel is another one of the part.
    const float dx = x_ - static_cast<float>(lane_ % kPartWidth) - s.x;
    const float dy = y_ + static_cast<float>(row - lane_ / kPartWidth) - s.y;
    const float slope_x = 2.0f * s.a * dx + s.b * dy, slope_y = s.b * dx + 2.0f * s.c * dy;  // of the power
    float one = 0.0f, x = 0.0f, xx = 0.0f /* of k^2 - k */, depth_x = 0.0f, channels[C] = {}, absolute_x = 0.0f,
          absolute_y = 0.0f;
#pragma unroll
    for (int column = 0; column < kPartWidth; ++column) {
      const float k = static_cast<float>(column);
      // Keeps the compiler from loading a whole row at once, which it lacks registers for.
      if (column % kAtOnce == 0 && column > 0) __syncwarp();
      const float2 pair = pairs[splat * kPitch + place(row, column)];
      const float v = pair.x, weight = pair.y;
      float gradient[4 * kPlanes];
      for (int plane = 0; plane < kPlanes; ++plane) {
        const float4 g = gradients_[32 * plane + place(row, column)];
        gradient[4 * plane] = g.x;
        gradient[4 * plane + 1] = g.y;
        gradient[4 * plane + 2] = g.z;
        gradient[4 * plane + 3] = g.w;
      }
      one += v;
      if (column > 0) x += v * k;
      if (column > 1) xx += v * (k * k - k);
      for (int c = 0; c < C; ++c) channels[c] += weight * gradient[c];
      if constexpr (C > 3) depth_x += weight * gradient[3] * k;
      if constexpr (kAbsolute) {
        absolute_x += abs(v * (slope_x + 2.0f * s.a * k));
        absolute_y += abs(v * (slope_y + s.b * k));
      }
    }
    sums[kOne] = one;
    sums[kX] = x + dx * one;
    sums[kY] = dy * one;
    sums[kXX] = xx + x + dx * (x + sums[kX]);
    sums[kXY] = dy * sums[kX];
    sums[kYY] = dy * sums[kY];
    for (int c = 0; c < C; ++c) sums[kChannels + c] = channels[c];
    if constexpr (kAbsolute) {
      sums[kChannels + C] = absolute_x * (1.0f / kLog2E);
      sums[kChannels + C + 1] = absolute_y * (1.0f / kLog2E);
    }
    if constexpr (C > 3) {
      sums[kMomentsWanted] = depth_x + dx * channels[3];
      sums[kMomentsWanted + 1] = dy * channels[3];
    }
  }

  // Where sum `number` of splat 0 belongs; that of the next one lies `*stride` bytes further.
  template <class Params>
  NK_DEVICE static char *target(const Params &p, int number, unsigned *stride) {
    *stride = sizeof(float) * NK_SPLAT_SIZE;
    float *to = p.grad_splats + (number < kChannels + C ? number : kAbsX + number - (kChannels + C));
    if (slopes_of(C) > 0 && number >= kMomentsWanted) {
      *stride = sizeof(float) * 2;
      to = p.grad_slopes + (number - kMomentsWanted);
    }
    return reinterpret_cast<char *>(to);
  }

  float2 *next_;       // this lane's pair of the next splat
  float4 *gradients_;  // [kPlanes][32]
  int lane_;
  float x_, y_;  // centre of this lane's pixel
  int filled_ = 0;
  int slot_ = 0;  // of the splat whose row this lane adds up
};

}  // namespace nk
