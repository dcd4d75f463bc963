// Where rays have samples; a thread is a ray, or a sample.
#include "../checks.h"
#include "../math/ray_samples.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) ray_ranges(nk_ray_ranges_params p) {
  const int64_t ray = thread_number();
  if (ray < p.R) ray_range(p.origins + 3 * ray, p.directions + 3 * ray, p.outer, p.near, p.ranges + 2 * ray);
}

// A thread is a sample: neighbours write neighbouring places. The offset of a ray is written by its first sample.
__global__ void __launch_bounds__(kBlock) intervals(nk_intervals_params p) {
  const int64_t i = thread_number();
  if (i >= p.S) return;
  const int n = p.N1 - 1;
  const int64_t ray = quotient(p.S, i, n);
  const int place = static_cast<int>(i - ray * n);
  const float *edges = p.edges + ray * p.N1 + place;
  p.t_start[i] = distance_on_scale(edges[0], p.half, p.disparity != 0);
  p.t_end[i] = distance_on_scale(edges[1], p.half, p.disparity != 0);
  p.ray_index[i] = static_cast<int32_t>(ray);
  if (place == 0) p.offsets[ray] = static_cast<int32_t>(i);
  if (i + 1 == p.S) p.offsets[p.R] = p.S;
}

__global__ void __launch_bounds__(kBlock) sample_points(nk_sample_points_params p, Fault *note) {
  const int64_t i = thread_number();
  if (i >= p.S) return;
  const int64_t ray = p.ray_index[i];
  if (ray < 0 || ray >= p.R) {
    report(note, kFaultSharedRow, ray, i, p.R);
    return;
  }
  sample_point(p.origins + 3 * ray, p.directions + 3 * ray, p.t_start[i], p.t_end[i], p.points + 3 * i);
}

}  // namespace
}  // namespace nk

extern "C" int nk_ray_ranges(const nk_ray_ranges_params *p) {
  using namespace nk;
  return on_device("nk_ray_ranges", [&] { NK_LAUNCH(ray_ranges, blocks(p->R, kBlock), kBlock, 0, *p); });
}

extern "C" int nk_intervals(const nk_intervals_params *p) {
  using namespace nk;
  return on_device("nk_intervals", [&] {
    check_intervals(p);
    if (p->S == 0) {  // no sample that would write the offsets
      fill_zero(p->offsets, sizeof(int32_t) * p->R1);
      return;
    }
    NK_LAUNCH(intervals, blocks(p->S, kBlock), kBlock, 0, *p);
  });
}

extern "C" int nk_sample_points(const nk_sample_points_params *p) {
  using namespace nk;
  return on_device("nk_sample_points",
                   [&] { NK_LAUNCH(sample_points, blocks(p->S, kBlock), kBlock, 0, *p, fault_note()); });
}
