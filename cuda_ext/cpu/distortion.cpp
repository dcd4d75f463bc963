// The distortion loss of packed samples, one ray after the other: rays differ too much in length to share lanes.
#include "../math/distortion.h"

#include <cstdint>

#include "../error.h"
#include "../nerfkit.h"
#include "offsets.h"

extern "C" int nk_distortion_fwd(const nk_distortion_params *p) {
  return nk::guarded("nk_distortion_fwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray)
      p->loss[ray] = nk::distortion_of_ray(*p, p->offsets[ray], p->offsets[ray + 1]);
  });
}

extern "C" int nk_distortion_bwd(const nk_distortion_grad_params *p) {
  return nk::guarded("nk_distortion_bwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray)
      nk::distortion_of_ray_vjp(*p, p->grad_loss[ray], p->offsets[ray], p->offsets[ray + 1]);
  });
}
