// L1 + SSIM in two sweeps over the rows; a lane is a pixel of a row.
//
// The blur is separable: rows are blurred along x as they come and kept in a ring of 11, from which the blur
// along y is taken. Sweep one blurs x, x^2 and x y (the target's moments are known) and writes the derivatives
// of SSIM with respect to them; sweep two blurs those, which is the adjoint, since the window is symmetric.
#include "../math/ssim.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "../error.h"
#include "../nerfkit.h"
#include "buffer.h"

namespace nk {
namespace {

constexpr int kTaps = 2 * kSsimRadius + 1;
constexpr int kMargin = kLanes > kSsimRadius ? kLanes : 2 * kLanes;  // zeros beside a row, whole vectors

int64_t padded(int width) { return (width + kLanes - 1) / kLanes * kLanes; }

// The blurred vector at p of a row that has a vector more at either end. With 16 lanes nearly every load off a vector's
// own place crosses a cache line, so that its neighbours are cut together from three loads instead.
template <int... kBefore>
NK_HD Lanes blur_along_x(const float *p, std::integer_sequence<int, kBefore...>) {
  Lanes sum = kSsimWindow[0] * load(p);
  if constexpr (kLanes == 16) {
    const Lanes left = load(p - kLanes), center = load(p), right = load(p + kLanes);
    ((sum +=
      kSsimWindow[kBefore + 1] * (window<kLanes - 1 - kBefore>(left, center) + window<1 + kBefore>(center, right))),
     ...);
  } else {
    ((sum += kSsimWindow[kBefore + 1] * (load(p - 1 - kBefore) + load(p + 1 + kBefore))), ...);
  }
  return sum;
}

// Blurs `Maps` images at once over the rows y0 <= y < y1. `fill(y, row)` writes row y of every map to row[m];
// `emit(y, blurred)` gets the blurred rows. Beyond the image's edges the maps are zero.
template <int Maps, class Fill, class Emit>
void blur(int width, int height, int y0, int y1, Fill fill, Emit emit) {
  const int64_t stride = padded(width);
  Buffer source(Maps * (stride + 2 * kMargin)), ring(kTaps * Maps * stride), out(Maps * stride);
  float *rows[Maps], *blurred[Maps];
  for (int m = 0; m < Maps; ++m) {
    rows[m] = source.data() + m * (stride + 2 * kMargin) + kMargin;
    blurred[m] = out.data() + m * stride;
  }
  for (int y = y0 - kSsimRadius; y < y1 + kSsimRadius; ++y) {
    float *slot = ring.data() + (y + kTaps) % kTaps * Maps * stride;
    if (y < 0 || y >= height) {
      std::fill(slot, slot + Maps * stride, 0.0f);
    } else {
      fill(y, rows);
      for (int m = 0; m < Maps; ++m) {
        for (int64_t x = 0; x < stride; x += kLanes) {
          store(slot + m * stride + x, blur_along_x(rows[m] + x, std::make_integer_sequence<int, kSsimRadius>{}));
        }
      }
    }
    const int center = y - kSsimRadius;
    if (center < y0) continue;
    for (int m = 0; m < Maps; ++m) {
      const auto row = [&](int dy) { return ring.data() + ((center + dy + kTaps) % kTaps * Maps + m) * stride; };
      const float *at[kTaps];
      for (int k = 0; k < kTaps; ++k) at[k] = row(k - kSsimRadius);
      for (int64_t x = 0; x < stride; x += kLanes) {
        Lanes sum = kSsimWindow[0] * load(at[kSsimRadius] + x);
        for (int k = 1; k <= kSsimRadius; ++k)
          sum += kSsimWindow[k] * (load(at[kSsimRadius - k] + x) + load(at[kSsimRadius + k] + x));
        store(blurred[m] + x, sum);
      }
    }
    emit(center, blurred);
  }
}

int strip_begin(int height, int strip, int strips) { return static_cast<int>(int64_t(height) * strip / strips); }

// fn(channel, y0, y1) over strips of rows of every channel, in parallel.
template <class Fn>
void for_strips(int channels, int height, int threads, Fn fn) {
  const int strips = std::max(1, std::min(height / 32, 2 * threads));
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int job = 0; job < channels * strips; ++job)
    fn(job / strips, strip_begin(height, job % strips, strips), strip_begin(height, job % strips + 1, strips));
}

// The last vector of a row may reach past its end.
template <class Fn>
void for_lanes(int width, Fn fn) {
  for (int x = 0; x < width; x += kLanes) fn(x, std::min(kLanes, width - x));
}

void ssim_target(const nk_ssim_target_params *p) {
  for_strips(p->C, p->H, p->threads, [&](int c, int y0, int y1) {
    const int64_t plane = int64_t(c) * p->H * p->W;
    blur<2>(
        p->W, p->H, y0, y1,
        [&](int y, float **rows) {
          const float *target = p->target + plane + int64_t(y) * p->W;
          for (int x = 0; x < p->W; ++x) {
            rows[0][x] = target[x];
            rows[1][x] = target[x] * target[x];
          }
        },
        [&](int y, float **blurred) {
          std::copy(blurred[0], blurred[0] + p->W, p->mean + plane + int64_t(y) * p->W);
          std::copy(blurred[1], blurred[1] + p->W, p->mean_square + plane + int64_t(y) * p->W);
        });
  });
}

struct RowSums {
  double l1, ssim;
};

// Sweep one, for a strip: row sums, and unless `maps` is null the derivative maps d_mean, d_square, d_product there.
void derivatives(const nk_photometric_params *p, int c, int y0, int y1, RowSums *sums, float *maps) {
  const int64_t plane = int64_t(c) * p->H * p->W, all = int64_t(p->C) * p->H * p->W;
  const auto fill = [&](int y, float **rows) {
    const float *image = p->image + plane + int64_t(y) * p->W, *target = p->target + plane + int64_t(y) * p->W;
    for (int x = 0; x < p->W; ++x) {
      rows[0][x] = image[x];
      rows[1][x] = image[x] * image[x];
      rows[2][x] = image[x] * target[x];
    }
  };
  const auto emit = [&](int y, float **blurred) {
    const int64_t row = plane + int64_t(y) * p->W;
    Lanes l1 = {}, similarity = {};
    for_lanes(p->W, [&](int x, int count) {
      const Lanes my = load_part(p->mean + row + x, count), yy = load_part(p->mean_square + row + x, count);
      const Lanes difference = load_part(p->image + row + x, count) - load_part(p->target + row + x, count);
      Lanes d_mean, d_square, d_product;
      Lanes value = ssim(load(blurred[0] + x), load(blurred[1] + x), load(blurred[2] + x), my, yy, &d_mean, &d_square,
                         &d_product);
      if (count < kLanes)
        for (int i = count; i < kLanes; ++i) value[i] = 0.0f;
      similarity += value;
      l1 += max(difference, -difference);
      if (!maps) return;
      store_part(maps + row + x, count, d_mean);
      store_part(maps + all + row + x, count, d_square);
      store_part(maps + 2 * all + row + x, count, d_product);
    });
    sums[int64_t(c) * p->H + y] = {sum(l1), sum(similarity)};
  };
  blur<3>(p->W, p->H, y0, y1, fill, emit);
}

// Sweep two: the image's gradient from the derivative maps.
void gradient(const nk_photometric_params *p, int c, int y0, int y1, const float *maps) {
  const int64_t plane = int64_t(c) * p->H * p->W, all = int64_t(p->C) * p->H * p->W;
  const PhotometricWeights weights = photometric_weights(p->ssim_weight, all);
  const auto fill = [&](int y, float **rows) {
    for (int m = 0; m < 3; ++m) {
      const float *map = maps + m * all + plane + int64_t(y) * p->W;
      std::copy(map, map + p->W, rows[m]);
    }
  };
  const auto emit = [&](int y, float **blurred) {
    const int64_t row = plane + int64_t(y) * p->W;
    for_lanes(p->W, [&](int x, int count) {
      const Lanes image = load_part(p->image + row + x, count), target = load_part(p->target + row + x, count);
      store_part(
          p->grad_image + row + x, count,
          photometric_vjp(image, target, load(blurred[0] + x), load(blurred[1] + x), load(blurred[2] + x), weights));
    });
  };
  blur<3>(p->W, p->H, y0, y1, fill, emit);
}

void photometric(const nk_photometric_params *p) {
  const int64_t n = int64_t(p->C) * p->H * p->W;
  std::vector<RowSums> rows(int64_t(p->C) * p->H);
  const UnsetBuffer maps = p->grad_image ? unset_buffer(3 * n) : nullptr;
  for_strips(p->C, p->H, p->threads,
             [&](int c, int y0, int y1) { derivatives(p, c, y0, y1, rows.data(), maps.get()); });
  double l1 = 0, similarity = 0;  // row by row, so that the sum does not depend on the threads
  for (const RowSums &row : rows) {
    l1 += row.l1;
    similarity += row.ssim;
  }
  photometric_sums(l1, similarity, static_cast<double>(n), p->ssim_weight, p->sums);
  if (!p->grad_image) return;
  for_strips(p->C, p->H, p->threads, [&](int c, int y0, int y1) { gradient(p, c, y0, y1, maps.get()); });
}

}  // namespace
}  // namespace nk

extern "C" int nk_ssim_target(const nk_ssim_target_params *p) {
  return nk::guarded("nk_ssim_target", [&] { nk::ssim_target(p); });
}

extern "C" int nk_photometric(const nk_photometric_params *p) {
  return nk::guarded("nk_photometric", [&] { nk::photometric(p); });
}
