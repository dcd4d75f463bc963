// A small network on a GPU: where its matrices and activations lie, and the products of its layers on tensor cores.
//
// Widths are padded with zeros to whole tiles. A matrix [out, in] of halfs has rows of in + kRowPadding, and so have
// the activations [rows, width] of a batch of samples, so that the rows of a tile lie in different banks of shared
// memory.
#pragma once

#include <algorithm>

#include "../checks.h"
#include "tensor_core.h"

namespace nk {

constexpr int kMlpWarps = 4;
constexpr int kMlpBlock = 32 * kMlpWarps;
constexpr int kTile = 16;
constexpr int kTileSize = kTile * kTile;
constexpr int kRowPadding = 8;       // halfs
constexpr int kMostRows = 128;       // samples of a batch
constexpr int kStagingLeading = 20;  // floats: a tile on its way from the tensor cores to halfs
constexpr int kStagingSize = kTile * kStagingLeading;
constexpr int kLargestSize = 32;  // floats, of which one is used: what follows stays aligned

NK_HD int tiles_of(int width) { return (width + kTile - 1) / kTile; }

struct MlpLayout {
  int layers;
  int widths[NK_MLP_MOST_LAYERS + 1];       // of the input and behind each layer
  int padded[NK_MLP_MOST_LAYERS + 1];       // to whole tiles
  int row_at[NK_MLP_MOST_LAYERS + 1];       // activations: those of a batch of n samples begin at n row_at
  int given_at[NK_MLP_MOST_LAYERS + 1];     // matrices as given, and the end of all
  int matrix_at[NK_MLP_MOST_LAYERS + 1];    // as padded halfs
  int gradient_at[NK_MLP_MOST_LAYERS + 1];  // gradients, tile after tile
  int row_size;                             // halfs of a sample's activations

  NK_HD int leading(int l) const { return padded[l] + kRowPadding; }
  NK_HD int matrix_size() const { return matrix_at[layers]; }
  NK_HD int gradient_size() const { return gradient_at[layers]; }
};

// With the activations of all layers at once (`all`), or with room for two that take turns.
template <class Params>
MlpLayout layout_of(const Params *p, bool all) {
  check_mlp(p);
  if (p->D - 1 > NK_MLP_MOST_LAYERS || *std::max_element(p->widths, p->widths + p->D) > NK_MLP_MOST_WIDTH)
    throw std::invalid_argument("a GPU's kernel takes at most " + std::to_string(NK_MLP_MOST_LAYERS) +
                                " layers with widths of at most " + std::to_string(NK_MLP_MOST_WIDTH));
  MlpLayout net = {};
  net.layers = p->D - 1;
  int widest = 0, sum = 0;
  for (int l = 0; l <= net.layers; ++l) {
    net.widths[l] = p->widths[l];
    net.padded[l] = kTile * tiles_of(p->widths[l]);
    net.row_at[l] = sum;
    sum += net.leading(l);
    widest = max(widest, net.leading(l));
  }
  net.row_size = all ? sum : 2 * widest;
  for (int l = 0; l <= net.layers && !all; ++l) net.row_at[l] = l % 2 * widest;
  for (int l = 0; l < net.layers; ++l) {
    net.given_at[l + 1] = net.given_at[l] + net.widths[l + 1] * net.widths[l];
    net.matrix_at[l + 1] = net.matrix_at[l] + net.padded[l + 1] * net.leading(l);
    net.gradient_at[l + 1] = net.gradient_at[l] + net.padded[l + 1] * net.padded[l];
  }
  return net;
}

// How a kernel uses shared memory.
struct MlpPlan {
  int rows;     // samples of a batch
  bool staged;  // whether the matrices are there too
  int64_t bytes;
};

constexpr int64_t kReservedShared = 1024;  // of every block, by CUDA: a processor has that much more than a block may

// As many samples at a time as still let two blocks run beside each other; fewer where one alone has no room.
inline MlpPlan plan_for(const MlpLayout &net) {
  const int64_t most = most_shared_bytes(), matrices = int64_t(sizeof(half)) * net.matrix_size();
  for (const int64_t budget : {(most - kReservedShared) / 2, most})
    for (int rows = kMostRows; rows >= kTile; rows /= 2) {
      const int64_t bytes = int64_t(sizeof(float)) * (kLargestSize + kMlpWarps * kStagingSize) +
                            int64_t(sizeof(half)) * rows * net.row_size;
      if (bytes > budget) continue;
      const bool staged = bytes + matrices <= budget;
      return {rows, staged, bytes + (staged ? matrices : 0)};
    }
  throw std::invalid_argument("the activations of 16 samples do not fit into this GPU's shared memory");
}

// What a lane has of a row. Where a loop over them is long it is told to unroll, or they'd lie in local memory.
struct alignas(16) EightHalfs {
  half h[8];
};
struct alignas(16) EightFloats {
  float f[8];
};

NK_DEVICE void store_halfs(half *to, const EightFloats &values) {
  EightHalfs out;
  for (int i = 0; i < 8; i += 2) {
    const half2 pair = to_finite_half2(values.f[i], values.f[i + 1]);
    out.h[i] = pair.x;
    out.h[i + 1] = pair.y;
  }
  *reinterpret_cast<EightHalfs *>(to) = out;
}

// Rows of floats in global memory, read and written eight columns at a time (from a multiple of eight on), as far as
// there are columns: by two instructions where rows allow it. Each would else touch as many sectors as all eight do.
template <class Float>
struct FloatRows {
  Float *at;
  int width;
  bool aligned;

  NK_DEVICE FloatRows(Float *rows, int columns)
      : at(rows), width(columns), aligned(columns % 4 == 0 && is_aligned(rows)) {}

  NK_DEVICE bool holds_eight(int column) const { return aligned && column + 8 <= width; }

  NK_DEVICE EightFloats load(int64_t row, int column) const {
    const Float *from = at + row * width + column;
    if (holds_eight(column)) return *reinterpret_cast<const EightFloats *>(from);
    EightFloats values;
#pragma unroll
    for (int i = 0; i < 8; ++i) values.f[i] = column + i < width ? from[i] : 0.0f;
    return values;
  }

  NK_DEVICE void store(int64_t row, int column, const EightFloats &values) const {
    Float *to = at + row * width + column;
    if (holds_eight(column)) {
      *reinterpret_cast<EightFloats *>(to) = values;
      return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
      if (column + i < width) to[i] = values.f[i];
  }
};

// The shared memory of a block, as plan_for planned it.
struct MlpBlock {
  int *largest;    // a batch's largest gradient: the bits of a float
  float *staging;  // of this warp
  half *activations;
  half *matrices;

  NK_DEVICE MlpBlock(unsigned char *memory, const MlpLayout &net, int rows) {
    largest = reinterpret_cast<int *>(memory);
    float *floats = reinterpret_cast<float *>(memory) + kLargestSize;
    staging = floats + threadIdx.x / 32 * kStagingSize;
    activations = reinterpret_cast<half *>(floats + kMlpWarps * kStagingSize);
    matrices = activations + rows * net.row_size;
  }
};

// The matrices, where the products read them: copied to shared memory, or where they are.
template <bool kStaged>
NK_DEVICE const half *stage_matrices(const MlpLayout &net, const half *matrices, half *shared) {
  if constexpr (kStaged) {
    for (int i = 8 * threadIdx.x; i < net.matrix_size(); i += 8 * kMlpBlock)
      *reinterpret_cast<EightHalfs *>(shared + i) = *reinterpret_cast<const EightHalfs *>(matrices + i);
    return shared;  // the barrier behind the first batch's input orders this too
  } else {
    return matrices;
  }
}

template <class Params>
NK_DEVICE float input_at(const Params &p, int64_t sample, int column, Fault *note) {
  if (column >= p.I + p.J) return 0.0f;
  if (column < p.I) return p.input[sample * p.I + column];
  const int row = p.index[sample];
  if (row >= 0 && row < p.B) return p.shared[int64_t(row) * p.J + column - p.I];
  report(note, kFaultSharedRow, row, sample, p.B);
  return 0.0f;
}

// The input of the samples from `first` on as rows of halfs, with zeros where there is nothing.
template <class Params>
NK_DEVICE void load_input(const Params &p, const MlpLayout &net, int64_t first, int rows, half *x, Fault *note) {
  constexpr int kParts = kTile / 8;  // threads of a row, for a tile's columns at a time: no division by the width
  const FloatRows<const float> own(p.input, p.I);
  for (int row = threadIdx.x / kParts; row < rows; row += kMlpBlock / kParts)
    for (int column = threadIdx.x % kParts * 8; column < net.padded[0]; column += kTile) {
      const int64_t sample = first + row;
      EightFloats values = {};
      if (sample < p.S) {
        if (own.holds_eight(column)) {
          values = own.load(sample, column);
        } else {
#pragma unroll
          for (int i = 0; i < 8; ++i) values.f[i] = input_at(p, sample, column + i, note);
        }
      }
      store_halfs(x + row * net.leading(0) + column, values);
    }
}

// Some rows of halfs in shared or global memory.
struct Rows {
  const half *at;
  int leading;
};

// x [rows, inner] times b [inner, columns], which lies as it is (kRows) or as its transpose (kColumns). Calls
// use(row, column, eight floats from there on) for all of the product, each from one lane. All warps take part; rows,
// inner and columns are whole tiles.
template <Layout kLayout, class Use>
NK_DEVICE void multiply(Rows x, Rows b, int rows, int inner, int columns, float *staging, Use use) {
  const int row_tiles = rows / kTile, column_tiles = columns / kTile;
  const int row_pairs = (row_tiles + 1) / 2, jobs = row_pairs * ((column_tiles + 1) / 2);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int lane_row = lane / 2, lane_column = lane % 2 * 8;
  for (int job = warp; job < jobs; job += kMlpWarps) {
    const int r = job % row_pairs * 2, c = job / row_pairs * 2;
    const int row_count = min(2, row_tiles - r), column_count = min(2, column_tiles - c);
    TileC sums[2][2];
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) fill(sums[i][j], 0.0f);
    for (int k = 0; k < inner; k += kTile) {
      TileA<kRows> left[2];
      TileB<kLayout> right[2];
      for (int i = 0; i < 2; ++i) {
        if (i < row_count) load(left[i], x.at + kTile * (r + i) * x.leading + k, x.leading);
      }
      for (int j = 0; j < 2; ++j) {
        const int at = kTile * (c + j);
        if (j < column_count)
          load(right[j], b.at + (kLayout == kRows ? k * b.leading + at : at * b.leading + k), b.leading);
      }
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
          if (i < row_count && j < column_count) multiply_add(sums[i][j], left[i], right[j]);
        }
    }
    // The tiles leave their registers one after the other: `use` may be long, so it's there once.
#pragma unroll 1
    for (int tile = 0; tile < 4; ++tile) {
      const int i = tile / 2, j = tile % 2;
      if (i >= row_count || j >= column_count) continue;
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (k == tile) store(staging, sums[k / 2][k % 2], kStagingLeading, kRows);
      __syncwarp();
      const float *from = staging + lane_row * kStagingLeading + lane_column;
      use(kTile * (r + i) + lane_row, kTile * (c + j) + lane_column, *reinterpret_cast<const EightFloats *>(from));
      __syncwarp();
    }
  }
}

// The products of layer l: y [rows, out] = x [rows, in] times its matrix's transpose.
template <class Use>
NK_DEVICE void multiply_layer(const MlpLayout &net, int l, int rows, const MlpBlock &block, const half *matrices,
                              Use use) {
  const int leading = net.leading(l);
  multiply<kColumns>({block.activations + rows * net.row_at[l], leading}, {matrices + net.matrix_at[l], leading}, rows,
                     net.padded[l], net.padded[l + 1], block.staging, use);
}

// The activations behind every layer but the last, those before the first being there already.
NK_DEVICE void run_hidden_layers(const MlpLayout &net, int rows, const MlpBlock &block, const half *matrices) {
  for (int l = 0; l + 1 < net.layers; ++l) {
    half *y = block.activations + rows * net.row_at[l + 1];
    multiply_layer(net, l, rows, block, matrices, [&](int row, int column, EightFloats values) {
      for (float &value : values.f) value = max(value, 0.0f);
      store_halfs(y + row * net.leading(l + 1) + column, values);
    });
    __syncthreads();
  }
}

}  // namespace nk
