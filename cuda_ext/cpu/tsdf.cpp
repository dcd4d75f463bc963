// TSDF integration: threads over slabs of x, lanes along z. Every voxel belongs to one thread, so the result does not
// depend on their number.
#include "../math/tsdf.h"

#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

// What the camera sees at kLanes voxels: 0 depth where nothing.
struct Observation {
  alignas(64) float depth[kLanes];
  alignas(64) float weight[kLanes];
  int64_t pixel[kLanes];
  bool any;
};

void observe(const nk_tsdf_params &p, const Lanes &u, const Lanes &v, const IntLanes &inside, int count,
             Observation *o) {
  const DepthMap map = {p.depth, p.H, p.W};
  o->any = false;
  for (int i = 0; i < kLanes; ++i) {
    o->depth[i] = o->weight[i] = 0;
    if (i >= count || !inside[i]) continue;
    o->pixel[i] = static_cast<int64_t>(v[i]) * p.W + static_cast<int>(u[i]);
    o->depth[i] = depth_at(map, u[i], v[i], p.truncation);
    o->weight[i] = p.confidence ? p.confidence[o->pixel[i]] : 1.0f;
    o->any |= o->depth[i] > 0 && o->weight[i] > 0;
  }
}

// The voxels z .. z + count of a row, whose camera coordinates are x_cam.
void integrate(const nk_tsdf_params &p, const DepthCamera &camera, const Vec3<Lanes> &x_cam, int64_t voxel, int count) {
  const IntLanes in_front = x_cam.z > 0.0f;
  const Lanes inverse_z = 1.0f / select(in_front, x_cam.z, Lanes{} + 1.0f);
  const Lanes u = camera.fx * x_cam.x * inverse_z + camera.cx, v = camera.fy * x_cam.y * inverse_z + camera.cy;
  const float width = static_cast<float>(p.W), height = static_cast<float>(p.H);
  const IntLanes inside = in_front & (u >= 0.0f) & (v >= 0.0f) & (u < width) & (v < height);
  Observation seen;
  observe(p, u, v, inside, count, &seen);
  if (!seen.any) return;
  const Lanes depth = load(seen.depth), sdf = depth - x_cam.z;
  const IntLanes used = (depth > 0.0f) & (load(seen.weight) > 0.0f) & (sdf >= -p.truncation);
  const Lanes w = select(used, load(seen.weight), Lanes{});
  const Lanes value = select(used, min(sdf / p.truncation, 1.0f), Lanes{});
  Lanes tsdf = load_strided(p.tsdf + voxel, 1, count), weight = load_strided(p.weight + voxel, 1, count);
  average(&tsdf, &weight, value, w);
  store_strided(p.tsdf + voxel, 1, count, tsdf);
  store_strided(p.weight + voxel, 1, count, weight);
  const IntLanes near = used & (sdf <= p.truncation);
  for (int i = 0; i < count; ++i)
    if (near[i]) average_color(p.color + 4 * (voxel + i), p.rgb + 3 * seen.pixel[i], w[i]);
}

}  // namespace
}  // namespace nk

extern "C" int nk_tsdf_fwd(const nk_tsdf_params *params) {
  using namespace nk;
  return guarded("nk_tsdf_fwd", [&] {
    const nk_tsdf_params &p = *params;
    const DepthCamera camera = make_depth_camera(p.cam_from_world, p.intrinsics);
    Lanes ramp;
    for (int i = 0; i < kLanes; ++i) ramp[i] = static_cast<float>(i);
#pragma omp parallel for num_threads(p.threads) schedule(dynamic, 1)
    for (int x = 0; x < p.X; ++x) {
      const Lanes x_scene = Lanes{} + (p.origin[0] + p.voxel_size * x);
      for (int y = 0; y < p.Y; ++y) {
        const Lanes y_scene = Lanes{} + (p.origin[1] + p.voxel_size * y);
        for (int z = 0; z < p.Z; z += kLanes) {
          const Lanes z_scene = p.origin[2] + p.voxel_size * (ramp + static_cast<float>(z));
          const Vec3<Lanes> turned = multiply(camera.rotation, Vec3<Lanes>{x_scene, y_scene, z_scene});
          const Vec3<float> &t = camera.translation;
          const int64_t voxel = (static_cast<int64_t>(x) * p.Y + y) * p.Z + z;
          const int count = p.Z - z < kLanes ? p.Z - z : kLanes;
          integrate(p, camera, {turned.x + t.x, turned.y + t.y, turned.z + t.z}, voxel, count);
        }
      }
    }
  });
}
