// Marching cubes (Lorensen & Cline 1987) over blocks of voxels, 64 voxels at a time: a word holds a bit for each voxel
// of a block's plane x, bit 8 y + z. Reference in nerfkit/core/reference_marching_cubes.py; the table of triangles
// comes from nerfkit/core/cubes.py.
//
// A vertex lies on an edge of the grid and belongs to the voxel at the edge's lower end. Its number is that of the
// first vertex of the edge's word, and how many bits of the word are set below its own: so neighbours find it, and none
// is there twice. Params are the structs of nk_cubes_count and nk_cubes_fill.
#pragma once

#include <cstdint>

#include "tsdf.h"

namespace nk {

typedef unsigned long long Word;

NK_HD int count_bits(Word word) {
#ifdef __CUDA_ARCH__
  return __popcll(word);
#else
  return __builtin_popcountll(word);
#endif
}

NK_HD int lowest_bit(Word word) {
#ifdef __CUDA_ARCH__
  return __ffsll(static_cast<long long>(word)) - 1;
#else
  return __builtin_ctzll(word);
#endif
}

constexpr int kSelf = 13;  // a block among its 27 neighbours

// The words of blocks, and where one block's neighbours are.
struct Words {
  const int64_t *words;  // [B, NK_BLOCK]
  const int32_t *neighbors;

  NK_HD Word at(int x, int block_x, int block_y, int block_z) const {
    const int32_t block = neighbors[kSelf + 9 * block_x + 3 * block_y + block_z];
    return block < 0 ? 0 : static_cast<Word>(words[int64_t(block) * NK_BLOCK + x]);
  }

  NK_HD Word shifted_z(int x, int block_x, int block_y, int dz) const {
    const Word own = at(x, block_x, block_y, 0);
    if (dz > 0) return (own >> 1 & 0x7f7f7f7f7f7f7f7full) | (at(x, block_x, block_y, 1) << 7 & 0x8080808080808080ull);
    if (dz < 0) return (own << 1 & 0xfefefefefefefefeull) | (at(x, block_x, block_y, -1) >> 7 & 0x0101010101010101ull);
    return own;
  }

  // The bits of the voxels (dx, dy, dz) from those of plane x, each offset -1, 0 or 1.
  NK_HD Word shifted(int x, int dx, int dy, int dz) const {
    const int block_x = x + dx < 0 ? -1 : x + dx >= NK_BLOCK ? 1 : 0, plane = (x + dx) & (NK_BLOCK - 1);
    const Word own = shifted_z(plane, block_x, 0, dz);
    if (dy > 0) return own >> 8 | shifted_z(plane, block_x, 1, dz) << 56;
    if (dy < 0) return own << 8 | shifted_z(plane, block_x, -1, dz) >> 56;
    return own;
  }
};

// Corner c of a cube lies at (c >> 2, c >> 1 & 1, c & 1) from its voxel.
NK_HD Words words_of(const int64_t *words, const int32_t *neighbors, int64_t block) {
  return {words, neighbors + 27 * block};
}

// Cubes with eight known corners.
NK_HD Word whole_cubes(const Words &known, int x) {
  Word all = ~Word(0);
  for (int c = 0; c < 8; ++c) all &= known.shifted(x, c >> 2, c >> 1 & 1, c & 1);
  return all;
}

// Cubes of a plane that the surface passes.
struct CrossedCubes {
  Word corners[8];  // inside
  Word crossed;

  NK_HD int signs(int bit) const {
    int out = 0;
    for (int c = 0; c < 8; ++c) out |= static_cast<int>(corners[c] >> bit & 1) << c;
    return out;
  }
};

NK_HD CrossedCubes crossed_cubes(const Words &inside, Word cubes, int x) {
  CrossedCubes out;
  Word some = 0, all = ~Word(0);
  for (int c = 0; c < 8; ++c) {
    out.corners[c] = inside.shifted(x, c >> 2, c >> 1 & 1, c & 1);
    some |= out.corners[c];
    all &= out.corners[c];
  }
  out.crossed = cubes & some & ~all;
  return out;
}

// Edges along an axis, from the voxels of plane x on, that the surface crosses, and that a whole cube has.
NK_HD Word crossed_edges(const Words &inside, const Words &cubes, int axis, int x) {
  const Word change = inside.shifted(x, 0, 0, 0) ^ inside.shifted(x, axis == 0, axis == 1, axis == 2);
  if (!change) return 0;
  Word of_cube = 0;
  for (int i = 0; i < 4; ++i) {
    const int a = -(i >> 1), b = -(i & 1);  // along the other two axes
    of_cube |= cubes.shifted(x, axis == 0 ? 0 : a, axis == 0 ? a : axis == 1 ? 0 : b, axis == 2 ? 0 : b);
  }
  return change & of_cube;
}

template <class Params>
NK_HD void count_faces(const Params &p, int64_t block, int x) {
  const int64_t at = block * NK_BLOCK + x;
  const Word cubes = static_cast<Word>(p.cubes[at]);
  const CrossedCubes found = crossed_cubes(words_of(p.inside, p.neighbors, block), cubes, x);
  int count = 0;
  for (Word left = found.crossed; left; left &= left - 1)
    count += p.triangles[NK_CUBE_ROW * found.signs(lowest_bit(left))];
  p.face_counts[at] = count;
}

template <class Params>
NK_HD void count_vertices(const Params &p, int64_t block, int axis, int x) {
  const int64_t at = (block * 3 + axis) * NK_BLOCK + x;
  const Word edges =
      crossed_edges(words_of(p.inside, p.neighbors, block), words_of(p.cubes, p.neighbors, block), axis, x);
  p.edges[at] = static_cast<int64_t>(edges);
  p.vertex_counts[at] = count_bits(edges);
}

// A voxel by its block and its number there; block -1 where there is none.
struct VoxelPlace {
  int64_t block;
  int x, bit;
};

// The voxel (dx, dy, dz), each 0 or 1, from voxel `bit` of plane x.
NK_HD VoxelPlace neighbor_voxel(const int32_t *neighbors, int x, int bit, int dx, int dy, int dz) {
  const int nx = x + dx, y = bit / NK_BLOCK + dy, z = bit % NK_BLOCK + dz;
  const int32_t block = neighbors[kSelf + 9 * (nx / NK_BLOCK) + 3 * (y / NK_BLOCK) + z / NK_BLOCK];
  return {block, nx % NK_BLOCK, y % NK_BLOCK * NK_BLOCK + z % NK_BLOCK};
}

constexpr float kEndOfEdge = 1e-3f;  // no vertex lies nearer to a voxel, as a share of an edge: faces keep an area

template <class Params>
NK_HD void write_vertices(const Params &p, const Vec3<float> &origin, int64_t block, int axis, int x) {
  const int64_t word = (block * 3 + axis) * NK_BLOCK + x;
  int64_t vertex = p.first_vertex[word];
  for (Word left = static_cast<Word>(p.edges[word]); left; left &= left - 1, ++vertex) {
    const int bit = lowest_bit(left);
    const VoxelPlace end = neighbor_voxel(p.neighbors + 27 * block, x, bit, axis == 0, axis == 1, axis == 2);
    if (vertex < 0 || vertex >= p.P || end.block < 0) continue;
    const int from = x * NK_BLOCK * NK_BLOCK + bit, to = end.x * NK_BLOCK * NK_BLOCK + end.bit;
    const float a = p.tsdf[block * kBlockVoxels + from], b = p.tsdf[end.block * kBlockVoxels + to];
    const float t = min(max(a / (a - b), kEndOfEdge), 1.0f - kEndOfEdge);
    const int32_t *place = p.blocks + 3 * block;
    const float at[3] = {static_cast<float>(place[0] * NK_BLOCK + x),
                         static_cast<float>(place[1] * NK_BLOCK + bit / NK_BLOCK),
                         static_cast<float>(place[2] * NK_BLOCK + bit % NK_BLOCK)};
    float *out = p.vertices + 3 * vertex;
    out[0] = origin.x + p.voxel_size * (at[0] + (axis == 0 ? t : 0.0f));
    out[1] = origin.y + p.voxel_size * (at[1] + (axis == 1 ? t : 0.0f));
    out[2] = origin.z + p.voxel_size * (at[2] + (axis == 2 ? t : 0.0f));
    const uint16_t *from_color = p.color + 4 * block * kBlockVoxels + from;
    const uint16_t *to_color = p.color + 4 * end.block * kBlockVoxels + to;
    const float share_a = from_color[3 * kBlockVoxels] ? 1.0f - t : 0.0f,
                share_b = to_color[3 * kBlockVoxels] ? t : 0.0f;
    const float inverse = 1.0f / max(share_a + share_b, 1e-12f);
    for (int c = 0; c < 3; ++c) {
      const float value = share_a * from_half_bits<float>(int(from_color[c * kBlockVoxels])) +
                          share_b * from_half_bits<float>(int(to_color[c * kBlockVoxels]));
      p.colors[3 * vertex + c] = static_cast<uint8_t>(min(value * inverse + 0.5f, 255.0f));
    }
  }
}

template <class Params>
NK_HD void write_faces(const Params &p, int64_t block, int x) {
  const int64_t at = block * NK_BLOCK + x;
  const int32_t *neighbors = p.neighbors + 27 * block;
  const CrossedCubes found = crossed_cubes(words_of(p.inside, p.neighbors, block), static_cast<Word>(p.cubes[at]), x);
  int64_t face = p.first_face[at];
  for (Word left = found.crossed; left; left &= left - 1) {
    const int bit = lowest_bit(left);
    const uint8_t *row = p.triangles + NK_CUBE_ROW * found.signs(bit);
    for (int i = 0; i < row[0]; ++i, ++face) {
      if (face < 0 || face >= p.F) continue;
      for (int k = 0; k < 3; ++k) {
        const int edge = row[1 + 3 * i + k], axis = edge / 4, a = edge >> 1 & 1, b = edge & 1;
        const VoxelPlace owner = neighbor_voxel(neighbors, x, bit, axis == 0 ? 0 : a,
                                                axis == 0   ? a
                                                : axis == 1 ? 0
                                                            : b,
                                                axis == 2 ? 0 : b);
        const int64_t word = (owner.block * 3 + axis) * NK_BLOCK + owner.x;
        const Word below = static_cast<Word>(p.edges[word]) & ((Word(1) << owner.bit) - 1);
        p.faces[3 * face + k] = p.first_vertex[word] + count_bits(below);
      }
    }
  }
}

}  // namespace nk
