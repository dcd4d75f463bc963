// Marches rays through the occupancy grid: once to count their samples, and once more to write them. A thread is a ray.
#include "../checks.h"
#include "../math/ray_march.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 128;

// Calls visit(sample of the ray, start, end) for each of a ray's samples, and gives their number.
template <class Params, class Visit>
NK_DEVICE int march_ray(const Params &p, int64_t ray, int most, Visit visit) {
  const float *o = p.origins + 3 * ray, *d = p.directions + 3 * ray;
  const OccupancyGrid grid = {p.bits, p.K, p.G, p.half};
  const MarchSteps steps = {p.cone, p.least_step, p.most_step};
  return march(grid, steps, Vec3<float>{o[0], o[1], o[2]}, Vec3<float>{d[0], d[1], d[2]}, p.ranges[2 * ray],
               p.ranges[2 * ray + 1], p.jitter[ray], most, visit);
}

__global__ void __launch_bounds__(kBlock) march_count(nk_march_count_params p) {
  const int64_t ray = thread_number();
  if (ray < p.R) p.counts[ray] = march_ray(p, ray, p.most_samples, [](int, float, float) {});
}

__global__ void __launch_bounds__(kBlock) march_fill(nk_march_fill_params p, Fault *note) {
  const int64_t ray = thread_number();
  if (ray >= p.R) return;
  const SampleRange own = samples_of_ray(p.offsets, ray, p.R, p.S, note);
  const int most = min(p.most_samples, static_cast<int>(own.end - own.begin));
  march_ray(p, ray, most, [&](int i, float start, float end) {
    p.t_start[own.begin + i] = start;
    p.t_end[own.begin + i] = end;
    p.ray_index[own.begin + i] = static_cast<int32_t>(ray);
  });
}

}  // namespace
}  // namespace nk

extern "C" int nk_march_count(const nk_march_count_params *p) {
  using namespace nk;
  return on_device("nk_march_count", [&] {
    check_march(p);
    NK_LAUNCH(march_count, blocks(p->R, kBlock), kBlock, 0, *p);
  });
}

extern "C" int nk_march_fill(const nk_march_fill_params *p) {
  using namespace nk;
  return on_device("nk_march_fill", [&] {
    check_march(p);
    check_rays(p);
    NK_LAUNCH(march_fill, blocks(p->R, kBlock), kBlock, 0, *p, fault_note());
  });
}
