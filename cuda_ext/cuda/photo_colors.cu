// What a photo shows of points of a surface; a thread is a point.
#include "../checks.h"
#include "../math/photo_colors.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) colors_of_points(nk_photo_colors_params p) {
  const int64_t i = thread_number(), size = p.P;
  if (i >= size) return;
  const float *x = p.positions + i, *n = p.normals + i;
  photo_colors(
      surface_photo(p), Vec3<float>{x[0], x[size], x[2 * size]}, Vec3<float>{n[0], n[size], n[2 * size]},
      [&](float weight) { p.weight[i] = weight; }, [&](int c, float color) { p.colors[c * size + i] = color; });
}

}  // namespace
}  // namespace nk

extern "C" int nk_photo_colors(const nk_photo_colors_params *p) {
  using namespace nk;
  return on_device("nk_photo_colors", [&] {
    check_photo_colors(p);
    NK_LAUNCH(colors_of_points, blocks(p->P, kBlock), kBlock, 0, *p);
  });
}
