// Products of 16x16 tiles on tensor cores, half precision in and single out: wmma on a GPU, plain loops in the
// emulation.
//
// A warp holds a tile together, and all of its lanes call every function here. Pointers are aligned to 32 bytes; the
// leading dimension (numbers from one row, or column, to the next) is a multiple of 8 for halfs and of 4 for floats.
//
//   TileA<kRows> a; TileB<kColumns> b; TileC c;
//   fill(c, 0.0f);
//   load(a, x + 16 * k, width);           // c = a b, with a and b 16 by 16
//   load(b, weights + 16 * k, width);     // by columns: b is the transpose of what lies there by rows
//   multiply_add(c, a, b);
//   store(out, c, 16, kRows);
//
// c.x[0 .. TileC::num_elements) are a lane's numbers of c, to be changed one by one; which ones they are isn't known.
#pragma once

#include "half.h"
#include "launch.h"

#ifdef __CUDACC__
#include <mma.h>
#endif

namespace nk {

enum Layout { kRows, kColumns };

#ifdef __CUDACC__

namespace wmma = nvcuda::wmma;
template <Layout kLayout>
using WmmaLayout = std::conditional_t<kLayout == kRows, wmma::row_major, wmma::col_major>;
template <Layout kLayout>
using TileA = wmma::fragment<wmma::matrix_a, 16, 16, 16, ::__half, WmmaLayout<kLayout>>;
template <Layout kLayout>
using TileB = wmma::fragment<wmma::matrix_b, 16, 16, 16, ::__half, WmmaLayout<kLayout>>;
using TileC = wmma::fragment<wmma::accumulator, 16, 16, 16, float>;

template <class Tile>
NK_DEVICE void load(Tile &tile, const half *from, unsigned leading) {
  wmma::load_matrix_sync(tile, from, leading);
}
NK_DEVICE void load(TileC &tile, const float *from, unsigned leading, Layout layout) {
  wmma::load_matrix_sync(tile, from, leading, layout == kRows ? wmma::mem_row_major : wmma::mem_col_major);
}
NK_DEVICE void store(float *to, const TileC &tile, unsigned leading, Layout layout) {
  wmma::store_matrix_sync(to, tile, leading, layout == kRows ? wmma::mem_row_major : wmma::mem_col_major);
}
NK_DEVICE void fill(TileC &tile, float value) { wmma::fill_fragment(tile, value); }

template <class A, class B>
NK_DEVICE void multiply_add(TileC &c, const A &a, const B &b) {
  wmma::mma_sync(c, a, b, c);
}

#else

// A lane has eight numbers of a tile: row by row, from 8 * lane on.
template <class T>
struct EmulatedTile {
  static constexpr int num_elements = 8;
  T x[num_elements];
};
template <Layout kLayout>
struct TileA : EmulatedTile<half> {
  static constexpr Layout layout = kLayout;
};
template <Layout kLayout>
struct TileB : EmulatedTile<half> {
  static constexpr Layout layout = kLayout;
};
struct TileC : EmulatedTile<float> {};

namespace emulation {

constexpr unsigned kWholeWarp = 0xffffffffu;

// Where a lane's number i lies in memory.
inline int64_t place_in_tile(int i, unsigned leading, Layout layout) {
  const int number = 8 * (thread_in_block() % 32) + i, row = number / 16, column = number % 16;
  return layout == kRows ? int64_t(row) * leading + column : int64_t(column) * leading + row;
}

inline void check_tile(const void *memory, unsigned leading, unsigned multiple) {
  if (reinterpret_cast<uintptr_t>(memory) % 32 != 0) fail("a tile's memory must be aligned to 32 bytes");
  if (leading % multiple != 0) fail("a tile's leading dimension must be a multiple of " + std::to_string(multiple));
}

struct TileProduct {
  const half *a, *b;
  float *c;
};

inline void multiply_tiles(void *const *lanes, unsigned) {
  const auto lane = [&](int number) { return static_cast<const TileProduct *>(lanes[number / 8]); };
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 16; ++column) {
      const int number = 16 * row + column;
      float sum = lane(number)->c[number % 8];
      for (int k = 0; k < 16; ++k) {
        const int left = 16 * row + k, right = 16 * k + column;
        sum += from_half(lane(left)->a[left % 8]) * from_half(lane(right)->b[right % 8]);
      }
      lane(number)->c[number % 8] = sum;
    }
}

}  // namespace emulation

template <class Tile>
void load(Tile &tile, const half *from, unsigned leading, emulation::Site at = emulation::Site::here()) {
  emulation::check_tile(from, leading, 8);
  emulation::meet_lanes("load of a tile", at, emulation::kWholeWarp, nullptr, emulation::complete_nothing);
  for (int i = 0; i < 8; ++i) tile.x[i] = from[emulation::place_in_tile(i, leading, Tile::layout)];
}
inline void load(TileC &tile, const float *from, unsigned leading, Layout layout,
                 emulation::Site at = emulation::Site::here()) {
  emulation::check_tile(from, leading, 4);
  emulation::meet_lanes("load of a tile", at, emulation::kWholeWarp, nullptr, emulation::complete_nothing);
  for (int i = 0; i < 8; ++i) tile.x[i] = from[emulation::place_in_tile(i, leading, layout)];
}
inline void store(float *to, const TileC &tile, unsigned leading, Layout layout,
                  emulation::Site at = emulation::Site::here()) {
  emulation::check_tile(to, leading, 4);
  emulation::meet_lanes("store of a tile", at, emulation::kWholeWarp, nullptr, emulation::complete_nothing);
  for (int i = 0; i < 8; ++i) to[emulation::place_in_tile(i, leading, layout)] = tile.x[i];
}
inline void fill(TileC &tile, float value) {
  for (float &x : tile.x) x = value;
}

template <class A, class B>
void multiply_add(TileC &c, const A &a, const B &b, emulation::Site at = emulation::Site::here()) {
  emulation::TileProduct mine = {a.x, b.x, c.x};
  emulation::meet_lanes("product of tiles", at, emulation::kWholeWarp, &mine, emulation::multiply_tiles);
}

#endif

}  // namespace nk
