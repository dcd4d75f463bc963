// Marching cubes over blocks of voxels: threads over blocks, a word of 64 voxels at a time.
#include "../math/marching_cubes.h"

#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

// Calls work(block) for all blocks.
template <class Params, class Work>
void for_blocks(const Params &p, Work work) {
#pragma omp parallel for num_threads(p.threads) schedule(static, 64)
  for (int64_t block = 0; block < p.B; ++block) work(block);
}

// Which voxels of a plane are inside, and which are known.
void look_at_voxels(const nk_cubes_count_params &p, int64_t block, int x) {
  constexpr int kPlane = NK_BLOCK * NK_BLOCK;
  const float *tsdf = p.tsdf + block * kBlockVoxels + x * kPlane,
              *weight = p.weight + block * kBlockVoxels + x * kPlane;
  Word inside = 0, known = 0;
  for (int i = 0; i < kPlane; ++i) {
    inside |= Word(tsdf[i] < 0.0f) << i;
    known |= Word(weight[i] >= p.min_weight) << i;
  }
  p.inside[block * NK_BLOCK + x] = static_cast<int64_t>(inside);
  p.known[block * NK_BLOCK + x] = static_cast<int64_t>(known);
}

void count(const nk_cubes_count_params &p) {
  for_blocks(p, [&](int64_t block) {
    for (int x = 0; x < NK_BLOCK; ++x) look_at_voxels(p, block, x);
  });
  for_blocks(p, [&](int64_t block) {
    for (int x = 0; x < NK_BLOCK; ++x) {
      p.cubes[block * NK_BLOCK + x] = static_cast<int64_t>(whole_cubes(words_of(p.known, p.neighbors, block), x));
      count_faces(p, block, x);
    }
  });
  for_blocks(p, [&](int64_t block) {
    for (int axis = 0; axis < 3; ++axis)
      for (int x = 0; x < NK_BLOCK; ++x) count_vertices(p, block, axis, x);
  });
}

void fill(const nk_cubes_fill_params &p) {
  const Vec3<float> origin = {p.origin[0], p.origin[1], p.origin[2]};
  for_blocks(p, [&](int64_t block) {
    for (int axis = 0; axis < 3; ++axis)
      for (int x = 0; x < NK_BLOCK; ++x) write_vertices(p, origin, block, axis, x);
    for (int x = 0; x < NK_BLOCK; ++x) write_faces(p, block, x);
  });
}

}  // namespace
}  // namespace nk

extern "C" int nk_cubes_count(const nk_cubes_count_params *p) {
  return nk::guarded("nk_cubes_count", [&] { nk::count(*p); });
}

extern "C" int nk_cubes_fill(const nk_cubes_fill_params *p) {
  return nk::guarded("nk_cubes_fill", [&] { nk::fill(*p); });
}
