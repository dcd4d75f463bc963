// TSDF integration; a thread is a voxel, neighbours along z.
#include "../math/tsdf.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

// What comes from the host: part of the launch.
struct View {
  DepthCamera camera;
  Vec3<float> origin;  // of the volume
};

__global__ void __launch_bounds__(kBlock) integrate(nk_tsdf_params p, View view) {
  const int64_t voxel = thread_number();
  if (voxel >= int64_t(p.X) * p.Y * p.Z) return;
  const int64_t row = voxel / p.Z;
  const int z = static_cast<int>(voxel - row * p.Z), y = static_cast<int>(row % p.Y), x = static_cast<int>(row / p.Y);
  const DepthCamera &camera = view.camera;
  const Vec3<float> x_scene = {view.origin.x + p.voxel_size * x, view.origin.y + p.voxel_size * y,
                               view.origin.z + p.voxel_size * z};
  const Vec3<float> x_cam = multiply(camera.rotation, x_scene) + camera.translation;
  if (!(x_cam.z > 0.0f)) return;
  const float inverse_z = 1.0f / x_cam.z;
  const float u = camera.fx * x_cam.x * inverse_z + camera.cx, v = camera.fy * x_cam.y * inverse_z + camera.cy;
  if (!(u >= 0.0f && v >= 0.0f && u < static_cast<float>(p.W) && v < static_cast<float>(p.H))) return;
  const int64_t pixel = static_cast<int64_t>(v) * p.W + static_cast<int>(u);
  const float w = p.confidence ? p.confidence[pixel] : 1.0f;
  const float depth = depth_at(DepthMap{p.depth, p.H, p.W}, u, v, p.truncation), sdf = depth - x_cam.z;
  if (!(depth > 0.0f && w > 0.0f && sdf >= -p.truncation)) return;
  average(p.tsdf + voxel, p.weight + voxel, min(sdf / p.truncation, 1.0f), w);
  if (sdf <= p.truncation) average_color(p.color + 4 * voxel, p.rgb + 3 * pixel, w);
}

}  // namespace
}  // namespace nk

extern "C" int nk_tsdf_fwd(const nk_tsdf_params *p) {
  using namespace nk;
  return on_device("nk_tsdf_fwd", [&] {
    const View view = {make_depth_camera(p->cam_from_world, p->intrinsics), {p->origin[0], p->origin[1], p->origin[2]}};
    NK_LAUNCH(integrate, blocks(int64_t(p->X) * p->Y * p->Z, kBlock), kBlock, 0, *p, view);
  });
}
