// Compositing along rays of packed samples, one ray after the other: rays differ too much in length to share lanes.
#include <cstdint>

#include "../error.h"
#include "../math/compositing.h"
#include "../nerfkit.h"
#include "offsets.h"

extern "C" int nk_composite_fwd(const nk_composite_params *p) {
  return nk::guarded("nk_composite_fwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray) nk::composite_ray<0>(*p, ray, p->offsets[ray], p->offsets[ray + 1]);
  });
}

extern "C" int nk_composite_bwd(const nk_composite_grad_params *p) {
  return nk::guarded("nk_composite_bwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray) nk::composite_ray_vjp<0>(*p, ray, p->offsets[ray], p->offsets[ray + 1]);
  });
}
