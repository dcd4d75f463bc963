// Resampling along rays, one ray after the other: each walks its intervals at its own pace.
#include "../math/resample.h"

#include <stdexcept>

#include "../nerfkit.h"
#include "error.h"

extern "C" int nk_resample(const nk_resample_params *p) {
  return nk::guarded("nk_resample", [&] {
    if (p->N < 1 || p->N1 != p->N + 1)
      throw std::invalid_argument("edges must have one more column than weights, which must have at least one");
    bool ascends = true;  // exceptions may not leave a parallel region
#pragma omp parallel for num_threads(p->threads) schedule(static) reduction(&& : ascends)
    for (int64_t ray = 0; ray < p->R; ++ray)
      ascends = nk::resample(p->edges + ray * p->N1, p->weights + ray * p->N, p->N, p->u + ray * p->M, p->M,
                             p->t + ray * p->M) &&
                ascends;
    if (!ascends) throw std::invalid_argument("u must ascend in every row");
  });
}
