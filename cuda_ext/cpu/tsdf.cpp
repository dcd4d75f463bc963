// TSDF fusion: threads over blocks of voxels, lanes over the voxels of a block. A block takes in all of the depth maps
// while it lies in the first-level cache. It belongs to one thread, so that the result does not depend on their number.
#include "../math/tsdf.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

// A pixel's four bytes in one number.
IntLanes gather_pixels(const uint8_t *pixels, const IntLanes &index) {
  return bits_of(gather(reinterpret_cast<const float *>(pixels), index));
}

Lanes channel(const IntLanes &pixel, int number) { return to_float((pixel >> (8 * number)) & 0xff); }

struct View {
  Pinhole camera;
  DepthMap map;
  const uint8_t *pixels;
  const DepthRange *tiles;
};

// Weighted sums over the depth maps, of the voxels of one block.
struct alignas(64) Sums {
  float weight[kBlockVoxels];
  float distance[kBlockVoxels];
  float color[3][kBlockVoxels];
  float color_weight[kBlockVoxels];
};

void add(float *sum, const Lanes &value) { store(sum, load(sum) + value); }

Lanes load_halfs(const uint16_t *p) {
  IntLanes bits;
  for (int i = 0; i < kLanes; ++i) bits[i] = p[i];
  return from_half_bits<Lanes>(bits);
}

void store_halfs(uint16_t *p, const Lanes &value) {
  const IntLanes bits = to_half_bits(value);
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<uint16_t>(bits[i]);
}

// The voxels' means come back as sums…
void load_sums(const nk_tsdf_integrate_params &p, int64_t block, Sums *sums) {
  const float *tsdf = p.tsdf + block * kBlockVoxels, *weight = p.weight + block * kBlockVoxels;
  const uint16_t *color = p.color + 4 * block * kBlockVoxels;
  for (int i = 0; i < kBlockVoxels; i += kLanes) {
    const Lanes w = load(weight + i), color_weight = load_halfs(color + 3 * kBlockVoxels + i);
    store(sums->weight + i, w);
    store(sums->distance + i, w * load(tsdf + i));
    for (int c = 0; c < 3; ++c) store(sums->color[c] + i, color_weight * load_halfs(color + c * kBlockVoxels + i));
    store(sums->color_weight + i, color_weight);
  }
}

// … and become means again. Voxels that nothing is known of stay as they are.
void store_sums(const nk_tsdf_integrate_params &p, int64_t block, const Sums &sums) {
  float *tsdf = p.tsdf + block * kBlockVoxels, *weight = p.weight + block * kBlockVoxels;
  uint16_t *color = p.color + 4 * block * kBlockVoxels;
  for (int i = 0; i < kBlockVoxels; i += kLanes) {
    const Lanes w = load(sums.weight + i), color_weight = load(sums.color_weight + i);
    store(tsdf + i, select(w > 0.0f, load(sums.distance + i) / max(w, 1e-20f), load(tsdf + i)));
    store(weight + i, w);
    const Lanes inverse = 1.0f / max(color_weight, 1e-20f);
    for (int c = 0; c < 3; ++c) store_halfs(color + c * kBlockVoxels + i, load(sums.color[c] + i) * inverse);
    store_halfs(color + 3 * kBlockVoxels + i, color_weight);
  }
}

// depth_at of every lane; `column` and `row` are those of the pixels that hold u, v.
Lanes depth_at(const DepthMap &map, const Lanes &u, const Lanes &v, const IntLanes &pixel, const IntLanes &used,
               float truncation) {
  const Lanes x = u - 0.5f, y = v - 0.5f;
  const Lanes most_x = Lanes{} + static_cast<float>(map.width - 2),
              most_y = Lanes{} + static_cast<float>(map.height - 2);
  // also where lanes are not used, indices must lie inside the image
  const IntLanes left = to_int(max(min(x, most_x), 0.0f)), top = to_int(max(min(y, most_y), 0.0f));
  const Lanes a = x - to_float(left), b = y - to_float(top);
  const IntLanes at = top * map.width + left;
  Lanes d00, d01, d10, d11;
  gather_pairs(map.depth, at, &d00, &d01);
  gather_pairs(map.depth + map.width, at, &d10, &d11);
  const Lanes low = min(min(d00, d01), min(d10, d11)), high = max(max(d00, d01), max(d10, d11));
  const IntLanes within = (a >= 0.0f) & (b >= 0.0f) & (a < 1.0f) & (b < 1.0f);
  const IntLanes smooth = within & (low > 0.0f) & (high - low <= truncation);
  const Lanes depth = interpolated_depth(d00, d01, d10, d11, a, b);
  if (!any(~smooth & used)) return depth;
  return select(smooth, depth, gather(map.depth, pixel));
}

// Adds what a view says about the voxels of a block whose first one lies at `first` in the scene frame.
void integrate(const View &view, const Sight &sight, const Vec3<float> &first, float voxel_size, float truncation,
               Sums *sums) {
  const Pinhole &camera = view.camera;
  const DepthMap &map = view.map;
  const Vec3<float> *row = camera.rotation.row;
  const Vec3<float> corner = multiply(camera.rotation, first) + camera.translation;
  const Vec3<float> along_x = voxel_size * Vec3<float>{row[0].x, row[1].x, row[2].x};
  const Vec3<float> along_y = voxel_size * Vec3<float>{row[0].y, row[1].y, row[2].y};
  const Vec3<float> along_z = voxel_size * Vec3<float>{row[0].z, row[1].z, row[2].z};
  Lanes lane_y, lane_z;
  for (int i = 0; i < kLanes; ++i) {
    lane_y[i] = static_cast<float>(i / NK_BLOCK);
    lane_z[i] = static_cast<float>(i % NK_BLOCK);
  }
  const Vec3<Lanes> in_group = {lane_y * along_y.x + lane_z * along_z.x, lane_y * along_y.y + lane_z * along_z.y,
                                lane_y * along_y.z + lane_z * along_z.z};
  float nearest = in_group.z[0], farthest = in_group.z[0];
  for (int i = 1; i < kLanes; ++i) {
    nearest = min(nearest, in_group.z[i]);
    farthest = max(farthest, in_group.z[i]);
  }
  const Lanes width = Lanes{} + static_cast<float>(map.width), height = Lanes{} + static_cast<float>(map.height);
  const float inverse_truncation = 1.0f / truncation;
  for (int i = 0; i < kBlockVoxels; i += kLanes) {
    const float x = static_cast<float>(i / (NK_BLOCK * NK_BLOCK)), y = static_cast<float>(i / NK_BLOCK % NK_BLOCK);
    const float z = static_cast<float>(i % NK_BLOCK);
    const Vec3<float> group = corner + x * along_x + y * along_y + z * along_z;
    if (group.z + nearest > sight.hidden_from) continue;
    const Lanes depth = in_group.z + group.z;
    const IntLanes in_front = depth > 0.0f;
    const Lanes inverse = reciprocal(select(in_front, depth, Lanes{} + 1.0f));
    const Lanes u = camera.fx * ((in_group.x + group.x) * inverse) + camera.cx;
    const Lanes v = camera.fy * ((in_group.y + group.y) * inverse) + camera.cy;
    const IntLanes inside = in_front & (u >= 0.0f) & (v >= 0.0f) & (u < width) & (v < height);
    if (!any(inside)) continue;
    const IntLanes pixel = to_int(select(inside, v, Lanes{})) * map.width + to_int(select(inside, u, Lanes{}));
    const IntLanes seen = gather_pixels(view.pixels, pixel);
    const Lanes confidence = select(inside, to_float((seen >> 24) & 0xff) * (1.0f / 255.0f), Lanes{});
    if (group.z + farthest < sight.free_to) {
      add(sums->weight + i, confidence);
      add(sums->distance + i, confidence);
      continue;
    }
    const IntLanes counts = confidence > 0.0f;
    if (!any(counts)) continue;
    const Lanes surface = depth_at(map, u, v, pixel, counts, truncation), distance = surface - depth;
    const IntLanes used = counts & (surface > 0.0f) & (distance >= -truncation);
    if (!any(used)) continue;
    const Lanes w = select(used, confidence * share_behind(distance, voxel_size, truncation), Lanes{});
    add(sums->weight + i, w);
    add(sums->distance + i, select(used, w * min(distance * inverse_truncation, 1.0f), Lanes{}));
    const IntLanes near = used & (distance <= truncation);
    if (!any(near)) continue;
    const Lanes color_weight = select(near, w, Lanes{});
    for (int c = 0; c < 3; ++c) add(sums->color[c] + i, color_weight * channel(seen, c));
    add(sums->color_weight + i, color_weight);
  }
}

std::vector<DepthRange> ranges_of(const nk_tsdf_integrate_params &p) {
  const int across = depth_tiles_along(p.W), down = depth_tiles_along(p.H);
  std::vector<DepthRange> ranges(static_cast<size_t>(p.V) * down * across);
#pragma omp parallel for num_threads(p.threads) schedule(static)
  for (int64_t row = 0; row < int64_t(p.V) * down; ++row) {
    const int64_t image = row / down * p.H * p.W;
    for (int x = 0; x < across; ++x)
      ranges[row * across + x] =
          depth_range({p.depth + image, p.H, p.W}, p.pixels + 4 * image, x, static_cast<int>(row % down));
  }
  return ranges;
}

// The blocks in an order in which neighbours along all axes are near each other (Morton 1966: the bits of the three
// coordinates in turns), so that what they see of the depth maps is still in the cache.
std::vector<int64_t> order_of(const nk_tsdf_integrate_params &p) {
  const auto spread = [](int32_t at) {
    uint64_t bits = (static_cast<uint32_t>(at) + (1u << 20)) & 0x1fffff;
    bits = (bits | bits << 32) & 0x1f00000000ffffull;
    bits = (bits | bits << 16) & 0x1f0000ff0000ffull;
    bits = (bits | bits << 8) & 0x100f00f00f00f00full;
    bits = (bits | bits << 4) & 0x10c30c30c30c30c3ull;
    return (bits | bits << 2) & 0x1249249249249249ull;
  };
  std::vector<std::pair<uint64_t, int64_t>> keys(p.B);
  for (int64_t b = 0; b < p.B; ++b) {
    const int32_t *at = p.blocks + 3 * b;
    keys[b] = {spread(at[0]) << 2 | spread(at[1]) << 1 | spread(at[2]), b};
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int64_t> order(p.B);
  for (int64_t b = 0; b < p.B; ++b) order[b] = keys[b].second;
  return order;
}

void integrate_all(const nk_tsdf_integrate_params &p) {
  check_tsdf(&p);
  const std::vector<int64_t> order = order_of(p);
  const std::vector<DepthRange> ranges = ranges_of(p);
  const int64_t tiles = int64_t(depth_tiles_along(p.W)) * depth_tiles_along(p.H), image = int64_t(p.H) * p.W;
  std::vector<View> views(p.V);
  for (int64_t v = 0; v < p.V; ++v)
    views[v] = {make_pinhole(p.cam_from_world + 16 * v, p.intrinsics + 4 * v),
                {p.depth + v * image, p.H, p.W},
                p.pixels + 4 * v * image,
                ranges.data() + v * tiles};
#pragma omp parallel num_threads(p.threads)
  {
    const auto sums = std::make_unique<Sums>();
#pragma omp for schedule(dynamic, 8)
    for (int64_t i = 0; i < p.B; ++i) {
      const int64_t b = order[i];
      const float side = p.voxel_size * NK_BLOCK;
      const int32_t *at = p.blocks + 3 * b;
      const Vec3<float> first = {p.origin[0] + side * static_cast<float>(at[0]),
                                 p.origin[1] + side * static_cast<float>(at[1]),
                                 p.origin[2] + side * static_cast<float>(at[2])};
      bool loaded = false;
      for (const View &view : views) {
        const Sight sight =
            sight_of(view.camera, view.tiles, p.W, p.H, first, p.voxel_size * (NK_BLOCK - 1), p.truncation);
        if (sight.reach == kHidden) continue;
        if (!loaded) load_sums(p, b, sums.get());
        loaded = true;
        integrate(view, sight, first, p.voxel_size, p.truncation, sums.get());
      }
      if (loaded) store_sums(p, b, *sums);
    }
  }
}

// Marks what piece i of the lines of sight of `used` pixels passes. Most pixels reach the same blocks as the one
// before, whose boxes are in `last`. Nothing else is written to the marks, so that the order doesn't matter.
void mark_piece(const nk_tsdf_mark_params &p, const BlockBox<Lanes> &box, const IntLanes &used, BlockBox<Lanes> *last) {
  const BlockBox<Lanes> before = *last;
  IntLanes differs = {};
  for (int axis = 0; axis < 3; ++axis) {
    const Lanes none = Lanes{} - 2.0f;
    last->first[axis] = select(used, box.first[axis], none);
    last->last[axis] = select(used, box.last[axis], none);
    differs |= last->first[axis] != window<kLanes - 1>(before.first[axis], last->first[axis]);
    differs |= last->last[axis] != window<kLanes - 1>(before.last[axis], last->last[axis]);
  }
  const IntLanes wanted = differs & used;
  if (!any(wanted)) return;
  for (int i = 0; i < kLanes; ++i) {
    if (!wanted[i]) continue;
    const BlockBox<float> one = {{box.first[0][i], box.first[1][i], box.first[2][i]},
                                 {box.last[0][i], box.last[1][i], box.last[2][i]}};
    for_blocks_of(one, [&](int x, int y, int z) {
      int32_t *mark = p.marks + (int64_t(x) * p.Y + y) * p.Z + z;
      if (!__atomic_load_n(mark, __ATOMIC_RELAXED)) __atomic_store_n(mark, 1, __ATOMIC_RELAXED);
    });
  }
}

void mark_row(const nk_tsdf_mark_params &p, const MarkView &view, const BlockGrid &grid, int64_t row,
              std::vector<BlockBox<Lanes>> *last) {
  const float *depths = p.depth + row * p.W, *pixels = reinterpret_cast<const float *>(p.pixels + 4 * row * p.W);
  Lanes lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = static_cast<float>(i);
  std::fill(last->begin(), last->end(), BlockBox<Lanes>{});
  for (int column = 0; column < p.W; column += kLanes) {
    const int count = std::min(kLanes, p.W - column);
    const Lanes depth = load_part(depths + column, count);
    const IntLanes confidence = bits_of(load_part(pixels + column, count)) & static_cast<int>(0xff000000u);
    const IntLanes used = (depth > 0.0f) & (depth < 1e30f) & (confidence != 0);
    if (!any(used)) continue;
    for (size_t i = 0; i < last->size(); ++i)
      mark_piece(p,
                 mark_box(view, grid, lane + static_cast<float>(column), Lanes{} + static_cast<float>(row % p.H), depth,
                          static_cast<int>(i)),
                 used, &(*last)[i]);
  }
}

void mark_all(const nk_tsdf_mark_params &p) {
  check_tsdf(&p);
  const BlockGrid grid = {{p.origin[0], p.origin[1], p.origin[2]}, p.voxel_size, {p.X, p.Y, p.Z}};
#pragma omp parallel num_threads(p.threads)
  {
    std::vector<BlockBox<Lanes>> last(mark_pieces(p.voxel_size, p.truncation));
#pragma omp for schedule(dynamic, 16)
    for (int64_t row = 0; row < int64_t(p.V) * p.H; ++row) {
      const int64_t v = row / p.H;
      const Pinhole camera = make_pinhole(p.cam_from_world + 16 * v, p.intrinsics + 4 * v);
      mark_row(p, make_mark_view(camera, grid, p.truncation), grid, row, &last);
    }
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_tsdf_mark(const nk_tsdf_mark_params *p) {
  return nk::guarded("nk_tsdf_mark", [&] { nk::mark_all(*p); });
}

extern "C" int nk_tsdf_integrate(const nk_tsdf_integrate_params *p) {
  return nk::guarded("nk_tsdf_integrate", [&] { nk::integrate_all(*p); });
}
