// Where rays have samples, one ray or sample after the other.
#include "../math/ray_samples.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

extern "C" int nk_ray_ranges(const nk_ray_ranges_params *p) {
  return nk::guarded("nk_ray_ranges", [&] {
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t ray = 0; ray < p->R; ++ray)
      nk::ray_range(p->origins + 3 * ray, p->directions + 3 * ray, p->outer, p->near, p->ranges + 2 * ray);
  });
}

extern "C" int nk_intervals(const nk_intervals_params *p) {
  return nk::guarded("nk_intervals", [&] {
    nk::check_intervals(p);
    const int n = p->N1 - 1;
    p->offsets[p->R] = p->S;
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t ray = 0; ray < p->R; ++ray) {
      const int64_t first = ray * n;
      nk::intervals_of_ray(p->edges + ray * p->N1, n, p->half, p->disparity != 0, p->t_start + first, p->t_end + first);
      std::fill_n(p->ray_index + first, n, static_cast<int32_t>(ray));
      p->offsets[ray] = static_cast<int32_t>(first);
    }
  });
}

extern "C" int nk_sample_points(const nk_sample_points_params *p) {
  return nk::guarded("nk_sample_points", [&] {
    bool good = true;  // exceptions may not leave a parallel region
#pragma omp parallel for num_threads(p->threads) schedule(static) reduction(&& : good)
    for (int64_t i = 0; i < p->S; ++i) {
      const int64_t ray = p->ray_index[i];
      if (ray < 0 || ray >= p->R) {
        good = false;
        continue;
      }
      nk::sample_point(p->origins + 3 * ray, p->directions + 3 * ray, p->t_start[i], p->t_end[i], p->points + 3 * i);
    }
    if (!good) throw std::invalid_argument("ray_index must name rays");
  });
}
