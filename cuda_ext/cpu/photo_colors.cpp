// What a photo shows of points of a surface; a lane is a point.
#include "../math/photo_colors.h"

#include <algorithm>
#include <cstdint>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

Vec3<Lanes> load_planes(const float *planes, int64_t size, int count) {
  return {load_strided(planes, 1, count), load_strided(planes + size, 1, count),
          load_strided(planes + 2 * size, 1, count)};
}

}  // namespace
}  // namespace nk

extern "C" int nk_photo_colors(const nk_photo_colors_params *p) {
  using namespace nk;
  return guarded("nk_photo_colors", [&] {
    check_photo_colors(p);
    const SurfacePhoto photo = surface_photo(*p);
    const int64_t size = p->P;
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t first = 0; first < size; first += kLanes) {
      const int count = static_cast<int>(std::min<int64_t>(kLanes, size - first));
      photo_colors(
          photo, load_planes(p->positions + first, size, count), load_planes(p->normals + first, size, count),
          [&](Lanes weight) NK_INLINE { store_strided(p->weight + first, 1, count, weight); },
          [&](int c, Lanes color) NK_INLINE { store_strided(p->colors + c * size + first, 1, count, color); });
    }
  });
}
