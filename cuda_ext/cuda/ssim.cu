// L1 + SSIM, value and gradient, in one walk down the image.
//
// A block owns a tile of 118 columns of one plane and walks down its rows; a thread has two pixels of each row. For
// every row of the images that comes in, a thread
//   1. blurs x, x^2 and x y along the row, from shared memory, and pushes them into its filters down the columns, out
//      of which come the moments five rows above;
//   2. turns those into SSIM and its three derivatives, and leaves these in shared memory;
//   3. blurs the derivatives that the row before left there along the row, pushes them into three more filters, and
//      writes the gradient of the row five further above, whose x and y are still in shared memory.
// Neither moments nor derivatives ever go through device memory: a pixel costs four floats read and one written, where
// a sweep for the derivatives and one for the gradient move thirteen and wait for them. The price are the rows and
// columns around a tile that its neighbours compute as well: 10 of 128 columns, and 20 rows a tile, half of which need
// step 1 alone. Tiles are as tall as leaves enough of them to fill a GPU.
//
// A filter holds sums of the ten rows to come, each short of what later rows will add: a new row is eleven
// multiply-adds, acc[i] = weight * v + acc[i + 1], and the sums move up by themselves. A ring of the last eleven rows
// would need moves, or eleven copies of the loop, more than an instruction cache holds. Six filters of two pixels are
// 120 registers of 168, the most with which 6 blocks of 64 threads fit an SM. Those 12 warps do, since two pixels a
// thread are multiply-adds enough that don't wait for each other. Two pixels also read their 12 numbers of a row by 6
// loads of 8 bytes, without bank conflicts: by 11 of 4 bytes each, shared memory, which answers one load in the time of
// four multiply-adds, would set the pace. 18 KiB of it a block let 6 blocks in from sm_80 on (5 on sm_86 and sm_89).
// Small blocks spread evenly over the SMs, and few warps wait for each other at the barrier, one a row: the images'
// rows lie in a ring, those of the derivatives in two buffers, and the images' next row is on its way in registers
// meanwhile.
//
// Sums are added up tile by tile in double precision, always in the same order, so that equal images give equal bits.
#include <utility>

#include "../math/ssim.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 64, kBlocksPerSm = 6;
constexpr int kTaps = 2 * kSsimRadius + 1;
constexpr int kColumns = 2 * kBlock;                 // that a block blurs
constexpr int kInputs = kColumns + 2 * kSsimRadius;  // columns of the images around them
constexpr int kOwned = kColumns - 2 * kSsimRadius;   // columns whose derivatives it can blur
constexpr int kMap = kColumns + kTaps + 1;           // a row of derivatives, and what threads past kOwned read
constexpr int kEnoughBlocks = 640;                   // an A100 holds 648 at a time, an H100 792
constexpr int kLeastRows = 32, kMostRows = 256;      // of a tile
constexpr int kSumBlock = 256;

template <int kTap>
constexpr float kWeight = kSsimWindow[kTap < kSsimRadius ? kSsimRadius - kTap : kTap - kSsimRadius];

// Calls work(std::integral_constant) with 0 … kCount - 1.
template <class Work, int... kAt>
NK_DEVICE void unrolled(Work work, std::integer_sequence<int, kAt...>) {
  (work(std::integral_constant<int, kAt>()), ...);
}
template <int kCount, class Work>
NK_DEVICE void unrolled(Work work) {
  unrolled(work, std::make_integer_sequence<int, kCount>());
}

// --- tiles ---------------------------------------------------------------------------------------------------

// How planes are cut into tiles of at most `rows` rows, strip by strip.
struct Tiling {
  int strips, chunks, rows, columns;
  int64_t count;
};

Tiling tile(int C, int H, int W, int columns) {
  Tiling out = {};
  out.columns = columns;
  out.strips = W / columns + (W % columns != 0);
  const int64_t across = int64_t(C) * out.strips;
  const int64_t wanted = max(int64_t(kEnoughBlocks) / max(across, int64_t(1)), int64_t(1));  // chunks
  out.rows = static_cast<int>(min(max((H + wanted - 1) / wanted, int64_t(kLeastRows)), int64_t(kMostRows)));
  out.chunks = H / out.rows + (H % out.rows != 0);
  out.count = across * out.chunks;
  return out;
}

// Columns from x on, rows y0 <= y < y1.
struct Tile {
  int channel, x, y0, y1;
};

NK_DEVICE Tile own_tile(const Tiling &tiling, int H) {
  const int block = static_cast<int>(blockIdx.x), row = block / tiling.strips;
  const int y0 = row % tiling.chunks * tiling.rows;
  return {row / tiling.chunks, block % tiling.strips * tiling.columns, y0, min(y0 + tiling.rows, H)};
}

// Of the pixels x and x + 1 those that lie in a range of columns.
struct Mask {
  bool first, second;
};
NK_DEVICE Mask between(int x, int begin, int end) { return {x >= begin && x < end, x + 1 >= begin && x + 1 < end}; }
NK_DEVICE float2 kept(Mask mask, float2 v) { return {mask.first ? v.x : 0.0f, mask.second ? v.y : 0.0f}; }
NK_DEVICE void add(float2 v, float2 *sum) {
  sum->x += v.x;
  sum->y += v.y;
}
NK_DEVICE float2 load(const float *from, Mask mask) {
  return {mask.first ? from[0] : 0.0f, mask.second ? from[1] : 0.0f};
}
NK_DEVICE void store(float *to, Mask mask, float2 v) {
  if (mask.first) to[0] = v.x;
  if (mask.second) to[1] = v.y;
}

// --- blurring ------------------------------------------------------------------------------------------------

// Rows of kImages planes on their way to shared memory, zero outside of the image.
template <int kImages>
class InputRows {
 public:
  // From (x, y) on, which may lie outside, of the planes that begin at number `plane` of the images.
  NK_DEVICE InputRows(const float *const (&images)[kImages], int64_t plane, int W, int H, int x, int y)
      : width_(W), height_(H), y_(y) {
    const int column = x + static_cast<int>(threadIdx.x);
    unrolled<kImages>([&](auto image) { images_[image] = images[image]; });
    unrolled<kLoads>([&](auto k) {
      const int at = column + k * kBlock;
      inside_[k] = at >= 0 && at < W && in_row<k>();
    });
    at_ = plane + int64_t(y) * W + column;
  }

  // Loads the next row into registers.
  NK_DEVICE void fetch() {
    const bool exists = y_ >= 0 && y_ < height_;
    unrolled<kLoads>([&](auto k) {
      const bool wanted = exists && inside_[k];
      unrolled<kImages>([&](auto image) { next_[image][k] = wanted ? images_[image][at_ + k * kBlock] : 0.0f; });
    });
    ++y_;
    at_ += width_;
  }

  // Writes it to shared memory, image after image.
  NK_DEVICE void put(float *row) const {
    unrolled<kImages>([&](auto image) {
      unrolled<kLoads>([&](auto k) {
        if (in_row<k>()) row[image * kInputs + k * kBlock + threadIdx.x] = next_[image][k];
      });
    });
  }

 private:
  static constexpr int kLoads = (kInputs + kBlock - 1) / kBlock;
  template <int k>
  NK_DEVICE static bool in_row() {
    return (k + 1) * kBlock <= kInputs || threadIdx.x < unsigned(kInputs - k * kBlock);
  }

  const float *images_[kImages];
  float next_[kImages][kLoads];
  bool inside_[kLoads];
  int width_, height_, y_;
  int64_t at_;  // may lie outside
};

// What one number of a row adds to the blurred numbers of two pixels, for the second of which it is a tap before.
template <int kTap>
NK_DEVICE void add_tap(float value, float2 *sum) {
  if constexpr (kTap < kTaps) sum->x += kWeight<kTap> * value;
  if constexpr (kTap > 0) sum->y += kWeight<kTap - 1> * value;
}

// Calls add(tap, numbers…) for the 12 numbers around two pixels, which lie from `rows` on in each of them.
template <class Add, class... Rows>
NK_DEVICE void for_taps(Add add, Rows... rows) {
  unrolled<(kTaps + 1) / 2>([&](auto k) {
    const auto add_pairs = [&](auto... pair) {
      add(std::integral_constant<int, 2 * k>(), pair.x...);
      add(std::integral_constant<int, 2 * k + 1>(), pair.y...);
    };
    add_pairs(reinterpret_cast<const float2 *>(rows)[k]...);
  });
}

NK_DEVICE float2 blur_row(const float *p) {
  float2 sum = {};
  for_taps([&](auto tap, float value) { add_tap<tap>(value, &sum); }, p);
  return sum;
}

// The blur down two columns. Pushed a row, it gives the blurred row kSsimRadius above.
class ColumnBlur {
 public:
  NK_DEVICE float2 push(float2 v) {
    const float2 out = {kWeight<0> * v.x + sums_[0].x, kWeight<0> * v.y + sums_[0].y};
    unrolled<kTaps - 2>(
        [&](auto i) { sums_[i] = {kWeight<i + 1> * v.x + sums_[i + 1].x, kWeight<i + 1> * v.y + sums_[i + 1].y}; });
    sums_[kTaps - 2] = {kWeight<kTaps - 1> * v.x, kWeight<kTaps - 1> * v.y};
    return out;
  }

 private:
  float2 sums_[kTaps - 1] = {};  // of the rows to come
};

// --- the target ----------------------------------------------------------------------------------------------

__global__ void __launch_bounds__(kBlock) ssim_target(nk_ssim_target_params p, Tiling tiling) {
  NK_SHARED(float, rows, 2 * kInputs);
  const Tile tile = own_tile(tiling, p.H);
  const int64_t plane = int64_t(tile.channel) * p.H * p.W;
  const int mine = 2 * static_cast<int>(threadIdx.x), x = tile.x + mine;
  const float *const images[] = {p.target};
  InputRows<1> input(images, plane, p.W, p.H, tile.x - kSsimRadius, tile.y0 - kSsimRadius);
  const Mask inside = between(x, 0, p.W);
  ColumnBlur means, squares;
  int slot = 0;
  input.fetch();
  for (int y = tile.y0 - 2 * kSsimRadius; y < tile.y1; ++y) {  // the row whose blur comes out
    input.put(rows + slot * kInputs);
    input.fetch();
    __syncthreads();
    float2 mean = {}, square = {};
    for_taps(
        [&](auto tap, float value) {
          add_tap<tap>(value, &mean);
          add_tap<tap>(value * value, &square);
        },
        rows + slot * kInputs + mine);
    mean = means.push(mean);
    square = squares.push(square);
    if (y >= tile.y0) {
      const int64_t at = plane + int64_t(y) * p.W + x;
      store(p.mean + at, inside, mean);
      store(p.mean_square + at, inside, square);
    }
    slot = 1 - slot;
  }
}

// --- the loss ------------------------------------------------------------------------------------------------

struct Sums {
  double l1, ssim;
};

// The block's sums, in an order that is always the same; in thread 0.
template <int kThreads>
NK_DEVICE Sums block_sums(Sums own) {
  NK_SHARED(Sums, of_warps, kThreads / 32);
  for (int step = 16; step > 0; step /= 2) {
    own.l1 += __shfl_down_sync(kAllLanes, own.l1, step);
    own.ssim += __shfl_down_sync(kAllLanes, own.ssim, step);
  }
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = own;
  __syncthreads();
  Sums out = {};
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < kThreads / 32; ++warp) {
      out.l1 += of_warps[warp].l1;
      out.ssim += of_warps[warp].ssim;
    }
  }
  return out;
}

// The blurred target and its blurred square at a thread's two pixels, row after row from y on; zero outside.
class KnownMoments {
 public:
  NK_DEVICE KnownMoments(const nk_photometric_params &p, int64_t plane, int x)
      : mean_(p.mean), square_(p.mean_square), at_(plane + x), width_(p.W), height_(p.H), inside_(between(x, 0, p.W)) {}

  // Loads row y, where it is in the image, into registers.
  NK_DEVICE void fetch(int y) {
    const int64_t at = at_ + int64_t(y) * width_;
    mean = load(mean_ + at, of_row(y));
    square = load(square_ + at, of_row(y));
  }
  // The pixels that are in the image.
  NK_DEVICE Mask of_row(int y) const {
    const bool exists = y >= 0 && y < height_;
    return {exists && inside_.first, exists && inside_.second};
  }
  // Their SSIM, and its derivatives with respect to the image's moments.
  NK_DEVICE float2 similarity(const float2 (&moments)[3], float2 (&d)[3]) const {
    return {ssim(moments[0].x, moments[1].x, moments[2].x, mean.x, square.x, &d[0].x, &d[1].x, &d[2].x),
            ssim(moments[0].y, moments[1].y, moments[2].y, mean.y, square.y, &d[0].y, &d[1].y, &d[2].y)};
  }

  float2 mean, square;

 private:
  const float *mean_, *square_;
  int64_t at_;
  int width_, height_;
  Mask inside_;
};

// The blurred derivatives of SSIM, and with them the gradient.
class GradientRows {
 public:
  // For the pixels x and x + 1, as far as they lie before x_end.
  NK_DEVICE GradientRows(const nk_photometric_params &p, PhotometricWeights weights, int64_t plane, int x, int x_end)
      : weights_(weights), out_(p.grad_image), at_(plane + x), width_(p.W), owned_(between(x, 0, x_end)) {}

  // Takes the three derivatives of the next row, from p on, where each of them lies kMap after the one before.
  NK_DEVICE void push(const float *p) {
    unrolled<3>([&](auto m) { blurred_[m] = down_[m].push(blur_row(p + m * kMap)); });
  }

  // Writes row y, which is the one kSsimRadius before that pushed last, given both images' numbers there.
  NK_DEVICE void write(int y, float2 image, float2 target) const {
    const float first = photometric_vjp(image.x, target.x, blurred_[0].x, blurred_[1].x, blurred_[2].x, weights_);
    const float second = photometric_vjp(image.y, target.y, blurred_[0].y, blurred_[1].y, blurred_[2].y, weights_);
    store(out_ + at_ + int64_t(y) * width_, owned_, {first, second});
  }

 private:
  ColumnBlur down_[3];
  float2 blurred_[3];
  PhotometricWeights weights_;
  float *out_;
  int64_t at_;
  int width_;
  Mask owned_;
};

// Blurs x, x^2 and x y along the row, and gives x - y.
NK_DEVICE void blur_moments(const float *image, const float *target, float2 (&moments)[3], float2 *difference) {
  for_taps(
      [&](auto tap, float x, float y) {
        add_tap<tap>(x, &moments[0]);
        add_tap<tap>(x * x, &moments[1]);
        add_tap<tap>(x * y, &moments[2]);
        if constexpr (tap == kSsimRadius) difference->x = x - y;
        if constexpr (tap == kSsimRadius + 1) difference->y = x - y;
      },
      image, target);
}

// Writes the sums over each tile, and with kGradient the gradient.
template <bool kGradient>
__global__ void __launch_bounds__(kBlock, kBlocksPerSm)
    photometric_tile(nk_photometric_params p, PhotometricWeights weights, Tiling tiling, Sums *sums) {
  constexpr int kMargin = kGradient ? kSsimRadius : 0;  // the rows and columns around a tile whose SSIM matters
  constexpr int kReach = kMargin + kSsimRadius;
  // Rows of the images that are kept: the newest, the one whose gradient is written, what is between, and one that
  // slower threads may still read while the newest is written.
  constexpr int kSlots = kGradient ? 2 * kSsimRadius + 3 : 2;
  NK_SHARED(float, rows, kSlots * 2 * kInputs);
  NK_SHARED(float, maps, kGradient ? 2 * 3 * kMap : 1);
  const Tile tile = own_tile(tiling, p.H);
  const int64_t plane = int64_t(tile.channel) * p.H * p.W;
  const int mine = 2 * static_cast<int>(threadIdx.x), x = tile.x - kMargin + mine;
  const int x_end = min(tile.x + tiling.columns, p.W);
  const float *const images[] = {p.image, p.target};
  InputRows<2> input(images, plane, p.W, p.H, tile.x - kReach, tile.y0 - kReach);
  KnownMoments known(p, plane, x);
  const Mask owned = between(x, tile.x, x_end);
  ColumnBlur down[3];
  GradientRows gradient(p, weights, plane, tile.x + mine, x_end);
  float2 l1 = {}, similarity = {};
  int slot = 0, newest_maps = 0;
  input.fetch();
  for (int y = tile.y0 - kReach; y < tile.y1 + kReach + kGradient; ++y) {  // the row that comes in
    float *const row = rows + slot * 2 * kInputs;
    const int middle = y - kSsimRadius;  // the row whose moments come out
    known.fetch(middle);
    input.put(row);
    input.fetch();
    __syncthreads();
    float2 moments[3] = {}, difference;
    blur_moments(row + mine, row + kInputs + mine, moments, &difference);
    if (y >= tile.y0 && y < tile.y1) add(kept(owned, {abs(difference.x), abs(difference.y)}), &l1);
    unrolled<3>([&](auto m) { moments[m] = down[m].push(moments[m]); });

    if (middle >= tile.y0 - kMargin) {
      float2 d[3];
      const float2 values = known.similarity(moments, d);
      if (middle >= tile.y0 && middle < tile.y1) add(kept(owned, values), &similarity);
      if constexpr (kGradient) {
        float *const to = maps + 3 * newest_maps * kMap + mine;
        const Mask there = known.of_row(middle);
        unrolled<3>([&](auto m) { *reinterpret_cast<float2 *>(to + m * kMap) = kept(there, d[m]); });
      }
    }

    if constexpr (kGradient) {
      newest_maps = 1 - newest_maps;  // which are now those of the row before
      if (middle > tile.y0 - kMargin) {
        gradient.push(maps + 3 * newest_maps * kMap + mine);
        const int out = middle - 1 - kSsimRadius;
        if (out >= tile.y0) {
          const int oldest = slot + 2 < kSlots ? slot + 2 : slot + 2 - kSlots;
          const float *const at = rows + oldest * 2 * kInputs + kReach + mine;
          gradient.write(out, *reinterpret_cast<const float2 *>(at), *reinterpret_cast<const float2 *>(at + kInputs));
        }
      }
    }
    slot = slot + 1 < kSlots ? slot + 1 : 0;
  }
  const Sums all = block_sums<kBlock>({double(l1.x) + l1.y, double(similarity.x) + similarity.y});
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

// Adds up what the tiles found.
__global__ void __launch_bounds__(kSumBlock) add_tiles(nk_photometric_params p, const Sums *sums, int64_t count) {
  Sums own = {};
  for (int64_t i = threadIdx.x; i < count; i += kSumBlock) {
    own.l1 += sums[i].l1;
    own.ssim += sums[i].ssim;
  }
  const Sums all = block_sums<kSumBlock>(own);
  if (threadIdx.x == 0)
    photometric_sums(all.l1, all.ssim, static_cast<double>(int64_t(p.C) * p.H * p.W), p.ssim_weight, p.sums);
}

}  // namespace
}  // namespace nk

extern "C" int nk_ssim_target(const nk_ssim_target_params *p) {
  using namespace nk;
  return on_device("nk_ssim_target", [&] {
    const Tiling tiling = tile(p->C, p->H, p->W, kColumns);
    NK_LAUNCH(ssim_target, blocks(tiling.count, 1), kBlock, 0, *p, tiling);
  });
}

extern "C" int nk_photometric(const nk_photometric_params *p) {
  using namespace nk;
  return on_device("nk_photometric", [&] {
    const Tiling tiling = tile(p->C, p->H, p->W, p->grad_image ? kOwned : kColumns);
    Scratch scratch;
    Sums *sums = scratch.take<Sums>(tiling.count);
    const unsigned grid = blocks(tiling.count, 1);
    const PhotometricWeights weights = photometric_weights(p->ssim_weight, int64_t(p->C) * p->H * p->W);
    if (p->grad_image)
      NK_LAUNCH(photometric_tile<true>, grid, kBlock, 0, *p, weights, tiling, sums);
    else
      NK_LAUNCH(photometric_tile<false>, grid, kBlock, 0, *p, weights, tiling, sums);
    NK_LAUNCH(add_tiles, 1, kSumBlock, 0, *p, sums, tiling.count);
  });
}
