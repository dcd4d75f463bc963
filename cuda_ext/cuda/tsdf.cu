// TSDF fusion: a CUDA block is a block of voxels, which takes in all of the depth maps, one after the other.
#include "../checks.h"
#include "../math/tsdf.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kThreads = kBlockVoxels;
constexpr int kPixels = 128;  // threads over pixels, or over tiles of them

// What comes from the host: part of the launch.
struct Origin {
  Vec3<float> at;
};

NK_DEVICE Pinhole camera_of(const float *cam_from_world, const float *intrinsics, int64_t view) {
  return make_pinhole(cam_from_world + 16 * view, intrinsics + 4 * view);
}

__global__ void __launch_bounds__(kPixels) depth_ranges(nk_tsdf_integrate_params p, DepthRange *ranges) {
  const int across = depth_tiles_along(p.W), down = depth_tiles_along(p.H);
  const int64_t i = thread_number();
  if (i >= int64_t(p.V) * down * across) return;
  const int64_t row = i / across, image = row / down * p.H * p.W;
  ranges[i] = depth_range(DepthMap{p.depth + image, p.H, p.W}, p.pixels + 4 * image, static_cast<int>(i % across),
                          static_cast<int>(row % down));
}

struct Sum {
  float weight, distance, red, green, blue, color_weight;
};

NK_DEVICE void add_view(const nk_tsdf_integrate_params &p, const Pinhole &camera, int64_t image, Reach reach,
                        const Vec3<float> &place, Sum *sum) {
  const Vec3<float> at = multiply(camera.rotation, place) + camera.translation;
  if (!(at.z > 0.0f)) return;
  const float inverse = 1.0f / at.z;
  const float u = camera.fx * (at.x * inverse) + camera.cx, v = camera.fy * (at.y * inverse) + camera.cy;
  if (!(u >= 0.0f && v >= 0.0f && u < static_cast<float>(p.W) && v < static_cast<float>(p.H))) return;
  const uint8_t *pixel = p.pixels + 4 * (image + static_cast<int64_t>(v) * p.W + static_cast<int>(u));
  float w = static_cast<float>(pixel[3]) * (1.0f / 255.0f);
  if (w == 0.0f) return;
  float distance = p.truncation;
  if (reach == kNear) {
    const float depth = depth_at(DepthMap{p.depth + image, p.H, p.W}, u, v, p.truncation);
    distance = depth - at.z;
    if (!(depth > 0.0f && distance >= -p.truncation)) return;
    w *= share_behind(distance, p.voxel_size, p.truncation);
    if (distance <= p.truncation) {
      sum->red += w * static_cast<float>(pixel[0]);
      sum->green += w * static_cast<float>(pixel[1]);
      sum->blue += w * static_cast<float>(pixel[2]);
      sum->color_weight += w;
    }
  }
  sum->weight += w;
  sum->distance += w * min(distance * (1.0f / p.truncation), 1.0f);
}

__global__ void __launch_bounds__(kThreads)
    integrate(nk_tsdf_integrate_params p, Origin origin, const DepthRange *ranges) {
  NK_SHARED(int, reach, kThreads);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t block = blockIdx.x, tiles = int64_t(depth_tiles_along(p.W)) * depth_tiles_along(p.H);
  const float side = p.voxel_size * NK_BLOCK;
  const Vec3<float> first = {origin.at.x + side * static_cast<float>(p.blocks[3 * block]),
                             origin.at.y + side * static_cast<float>(p.blocks[3 * block + 1]),
                             origin.at.z + side * static_cast<float>(p.blocks[3 * block + 2])};
  const int64_t voxel = block * kBlockVoxels + thread;
  uint16_t *color = p.color + 4 * block * kBlockVoxels + thread;
  const float weight = p.weight[voxel], color_weight = from_half_bits<float>(int(color[3 * kBlockVoxels]));
  Sum sum = {weight,
             weight * p.tsdf[voxel],
             color_weight * from_half_bits<float>(int(color[0])),
             color_weight * from_half_bits<float>(int(color[kBlockVoxels])),
             color_weight * from_half_bits<float>(int(color[2 * kBlockVoxels])),
             color_weight};
  const Vec3<float> place = first + p.voxel_size * Vec3<float>{static_cast<float>(thread / (NK_BLOCK * NK_BLOCK)),
                                                               static_cast<float>(thread / NK_BLOCK % NK_BLOCK),
                                                               static_cast<float>(thread % NK_BLOCK)};
  for (int start = 0; start < p.V; start += kThreads) {
    const int count = min(kThreads, p.V - start);
    if (thread < count) {  // each thread looks at one view for all
      const int64_t view = start + thread;
      reach[thread] = sight_of(camera_of(p.cam_from_world, p.intrinsics, view), ranges + view * tiles, p.W, p.H, first,
                               p.voxel_size * (NK_BLOCK - 1), p.truncation)
                          .reach;
    }
    __syncthreads();
    for (int v = 0; v < count; ++v) {
      const Reach own = static_cast<Reach>(reach[v]);
      if (own == kHidden) continue;
      const int64_t view = start + v;
      add_view(p, camera_of(p.cam_from_world, p.intrinsics, view), view * p.H * p.W, own, place, &sum);
    }
    __syncthreads();
  }
  if (!(sum.weight > 0.0f)) return;
  p.tsdf[voxel] = sum.distance / sum.weight;
  p.weight[voxel] = sum.weight;
  const float inverse = 1.0f / max(sum.color_weight, 1e-20f);
  color[0] = static_cast<uint16_t>(to_half_bits(sum.red * inverse));
  color[kBlockVoxels] = static_cast<uint16_t>(to_half_bits(sum.green * inverse));
  color[2 * kBlockVoxels] = static_cast<uint16_t>(to_half_bits(sum.blue * inverse));
  color[3 * kBlockVoxels] = static_cast<uint16_t>(to_half_bits(sum.color_weight));
}

__global__ void __launch_bounds__(kPixels) mark(nk_tsdf_mark_params p, BlockGrid grid, int pieces) {
  const int64_t at = thread_number();
  if (at >= int64_t(p.V) * p.H * p.W) return;
  const float depth = p.depth[at];
  if (!(depth > 0.0f && depth < 1e30f) || p.pixels[4 * at + 3] == 0) return;
  const int64_t row = at / p.W, view = row / p.H;
  const MarkView marked = make_mark_view(camera_of(p.cam_from_world, p.intrinsics, view), grid, p.truncation);
  for (int i = 0; i < pieces; ++i)
    for_blocks_of(mark_box(marked, grid, static_cast<float>(at % p.W), static_cast<float>(row % p.H), depth, i),
                  [&](int x, int y, int z) { atomicOr(p.marks + (int64_t(x) * p.Y + y) * p.Z + z, 1); });
}

}  // namespace
}  // namespace nk

extern "C" int nk_tsdf_mark(const nk_tsdf_mark_params *p) {
  using namespace nk;
  return on_device("nk_tsdf_mark", [&] {
    check_tsdf(p);
    const BlockGrid grid = {{p->origin[0], p->origin[1], p->origin[2]}, p->voxel_size, {p->X, p->Y, p->Z}};
    NK_LAUNCH(mark, blocks(int64_t(p->V) * p->H * p->W, kPixels), kPixels, 0, *p, grid,
              mark_pieces(p->voxel_size, p->truncation));
  });
}

extern "C" int nk_tsdf_integrate(const nk_tsdf_integrate_params *p) {
  using namespace nk;
  return on_device("nk_tsdf_integrate", [&] {
    check_tsdf(p);
    const int64_t tiles = int64_t(p->V) * depth_tiles_along(p->W) * depth_tiles_along(p->H);
    Scratch scratch;
    DepthRange *ranges = scratch.take<DepthRange>(tiles);
    NK_LAUNCH(depth_ranges, blocks(tiles, kPixels), kPixels, 0, *p, ranges);
    const Origin origin = {{p->origin[0], p->origin[1], p->origin[2]}};
    NK_LAUNCH(integrate, static_cast<unsigned>(p->B), kThreads, 0, *p, origin, ranges);
  });
}
