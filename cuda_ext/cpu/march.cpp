// Marches rays through the occupancy grid: once to count their samples, and once more to write them.
#include <algorithm>
#include <cstdint>

#include "../checks.h"
#include "../error.h"
#include "../math/ray_march.h"
#include "../nerfkit.h"
#include "offsets.h"

namespace nk {
namespace {

// Calls visit(ray, sample of the ray, start, end) for up to most(ray) samples, and count(ray, samples) at a ray's end.
template <class Params, class Most, class Visit, class Count>
void march_all(const Params *p, Most most, Visit visit, Count count) {
  check_march(p);
  const OccupancyGrid grid = {p->bits, p->K, p->G, p->half};
  const MarchSteps steps = {p->cone, p->least_step, p->most_step};
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
  for (int64_t ray = 0; ray < p->R; ++ray) {
    const float *o = p->origins + 3 * ray, *d = p->directions + 3 * ray;
    const int found = march(grid, steps, Vec3<float>{o[0], o[1], o[2]}, Vec3<float>{d[0], d[1], d[2]},
                            p->ranges[2 * ray], p->ranges[2 * ray + 1], p->jitter[ray], most(ray),
                            [&](int i, float start, float end) { visit(ray, i, start, end); });
    count(ray, found);
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_march_count(const nk_march_count_params *p) {
  return nk::guarded("nk_march_count", [&] {
    nk::march_all(
        p, [&](int64_t) { return p->most_samples; }, [](int64_t, int, float, float) {},
        [&](int64_t ray, int found) { p->counts[ray] = found; });
  });
}

extern "C" int nk_march_fill(const nk_march_fill_params *p) {
  return nk::guarded("nk_march_fill", [&] {
    nk::check_offsets(p);
    nk::march_all(
        p, [&](int64_t ray) { return std::min(p->most_samples, p->offsets[ray + 1] - p->offsets[ray]); },
        [&](int64_t ray, int i, float start, float end) {
          const int64_t at = p->offsets[ray] + int64_t(i);
          p->t_start[at] = start;
          p->t_end[at] = end;
          p->ray_index[at] = static_cast<int32_t>(ray);
        },
        [](int64_t, int) {});
  });
}
