// The contraction of points to a cube and its gradient; a lane is a point.
#include <algorithm>
#include <cstdint>

#include "../error.h"
#include "../math/contract.h"
#include "../nerfkit.h"

namespace nk {
namespace {

struct Points {
  Lanes x[3];
};

Points load_points(const float *rows, int count) {
  return {{load_strided(rows, 3, count), load_strided(rows + 1, 3, count), load_strided(rows + 2, 3, count)}};
}

void store_points(float *rows, int count, const Points &points) {
  for (int axis = 0; axis < 3; ++axis) store_strided(rows + axis, 3, count, points.x[axis]);
}

// Calls work(map, first number of the points, how many) for all blocks of lanes.
template <class Params, class Work>
void for_blocks(const Params *p, Work work) {
  const ToCube map = {p->half, p->scale, p->shift, p->contracted != 0};
#pragma omp parallel for num_threads(p->threads) schedule(static)
  for (int64_t first = 0; first < p->S; first += kLanes)
    work(map, 3 * first, static_cast<int>(std::min<int64_t>(kLanes, p->S - first)));
}

}  // namespace
}  // namespace nk

extern "C" int nk_to_cube_fwd(const nk_to_cube_params *p) {
  using namespace nk;
  return guarded("nk_to_cube_fwd", [&] {
    for_blocks(p, [&](const ToCube &map, int64_t at, int count) {
      Points out;
      to_cube(map, load_points(p->points + at, count).x, out.x);
      store_points(p->cube + at, count, out);
    });
  });
}

extern "C" int nk_to_cube_bwd(const nk_to_cube_grad_params *p) {
  using namespace nk;
  return guarded("nk_to_cube_bwd", [&] {
    for_blocks(p, [&](const ToCube &map, int64_t at, int count) {
      Points out;
      to_cube_vjp(map, load_points(p->points + at, count).x, load_points(p->grad_cube + at, count).x, out.x);
      store_points(p->grad_points + at, count, out);
    });
  });
}
