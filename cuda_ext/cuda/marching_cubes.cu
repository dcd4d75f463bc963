// Marching cubes over blocks of voxels; a thread is a plane of 64 voxels, or of as many edges.
#include "../math/marching_cubes.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kThreads = 128;

// Half a plane a warp, as its lanes tell. A word is written as its two halves, the lower one first.
__global__ void __launch_bounds__(kThreads) look_at_voxels(nk_cubes_count_params p) {
  const int64_t voxel = thread_number();
  const bool real = voxel < int64_t(p.B) * kBlockVoxels;
  const unsigned inside = __ballot_sync(kAllLanes, real && p.tsdf[voxel] < 0.0f);
  const unsigned known = __ballot_sync(kAllLanes, real && p.weight[voxel] >= p.min_weight);
  if (!real || voxel % 32 != 0) return;
  reinterpret_cast<uint32_t *>(p.inside)[voxel / 32] = inside;
  reinterpret_cast<uint32_t *>(p.known)[voxel / 32] = known;
}

__global__ void __launch_bounds__(kThreads) find_cubes(nk_cubes_count_params p) {
  const int64_t plane = thread_number();
  if (plane >= int64_t(p.B) * NK_BLOCK) return;
  const int64_t block = plane / NK_BLOCK;
  const int x = static_cast<int>(plane % NK_BLOCK);
  p.cubes[plane] = static_cast<int64_t>(whole_cubes(words_of(p.known, p.neighbors, block), x));
  count_faces(p, block, x);
}

__global__ void __launch_bounds__(kThreads) find_edges(nk_cubes_count_params p) {
  const int64_t plane = thread_number();
  if (plane >= int64_t(p.B) * 3 * NK_BLOCK) return;
  const int64_t row = plane / NK_BLOCK;
  count_vertices(p, row / 3, static_cast<int>(row % 3), static_cast<int>(plane % NK_BLOCK));
}

// What comes from the host: part of the launch.
struct Origin {
  Vec3<float> at;
};

__global__ void __launch_bounds__(kThreads) make_vertices(nk_cubes_fill_params p, Origin origin) {
  const int64_t plane = thread_number();
  if (plane >= int64_t(p.B) * 3 * NK_BLOCK) return;
  const int64_t row = plane / NK_BLOCK;
  write_vertices(p, origin.at, row / 3, static_cast<int>(row % 3), static_cast<int>(plane % NK_BLOCK));
}

__global__ void __launch_bounds__(kThreads) make_faces(nk_cubes_fill_params p) {
  const int64_t plane = thread_number();
  if (plane < int64_t(p.B) * NK_BLOCK) write_faces(p, plane / NK_BLOCK, static_cast<int>(plane % NK_BLOCK));
}

}  // namespace
}  // namespace nk

extern "C" int nk_cubes_count(const nk_cubes_count_params *p) {
  using namespace nk;
  return on_device("nk_cubes_count", [&] {
    const int64_t planes = int64_t(p->B) * NK_BLOCK;
    NK_LAUNCH(look_at_voxels, blocks(int64_t(p->B) * kBlockVoxels, kThreads), kThreads, 0, *p);
    NK_LAUNCH(find_cubes, blocks(planes, kThreads), kThreads, 0, *p);
    NK_LAUNCH(find_edges, blocks(3 * planes, kThreads), kThreads, 0, *p);
  });
}

extern "C" int nk_cubes_fill(const nk_cubes_fill_params *p) {
  using namespace nk;
  return on_device("nk_cubes_fill", [&] {
    const int64_t planes = int64_t(p->B) * NK_BLOCK;
    const Origin origin = {{p->origin[0], p->origin[1], p->origin[2]}};
    NK_LAUNCH(make_vertices, blocks(3 * planes, kThreads), kThreads, 0, *p, origin);
    NK_LAUNCH(make_faces, blocks(planes, kThreads), kThreads, 0, *p);
  });
}
