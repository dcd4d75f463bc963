// The rasterizer's tiles on a GPU: 16x16 pixels, a block of 256 threads. A tile has 8 parts of 8x4 pixels, each the
// work of a warp, and a splat is evaluated only in the parts that it reaches: the lists say which, by a bit each.
#pragma once

#include "launch.h"

namespace nk {

constexpr int kTile = 16;
constexpr int kPartWidth = 8, kPartHeight = 4;
constexpr int kPartsX = kTile / kPartWidth, kPartsY = kTile / kPartHeight;
constexpr int kParts = kPartsX * kPartsY;
constexpr int kTileThreads = kTile * kTile;
static_assert(kPartWidth * kPartHeight == 32 && kParts <= 8, "a part is a warp, and has a bit of a byte");

inline int tiles_along(int size) { return (size + kTile - 1) / kTile; }

// The pixel of this thread in the tile that is its block's.
struct Pixel {
  int x, y;
  bool inside;  // the image
};

NK_DEVICE Pixel pixel_of_thread(int tile_x, int tile_y, int width, int height) {
  const int part = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int x = tile_x * kTile + part % kPartsX * kPartWidth + lane % kPartWidth;
  const int y = tile_y * kTile + part / kPartsX * kPartHeight + lane / kPartWidth;
  return {x, y, x < width && y < height};
}

}  // namespace nk
