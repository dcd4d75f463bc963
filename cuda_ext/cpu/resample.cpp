// Resampling along rays, one ray after the other: each walks its intervals at its own pace.
#include "../math/resample.h"

#include <stdexcept>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

extern "C" int nk_resample(const nk_resample_params *p) {
  return nk::guarded("nk_resample", [&] {
    nk::check_resample(p);
    bool ascends = true;  // exceptions may not leave a parallel region
#pragma omp parallel for num_threads(p->threads) schedule(static) reduction(&& : ascends)
    for (int64_t ray = 0; ray < p->R; ++ray)
      ascends = nk::resample(p->edges + ray * p->N1, p->weights + ray * p->N, p->N, p->u + ray * p->M, p->M,
                             p->t + ray * p->M) &&
                ascends;
    if (!ascends) throw std::invalid_argument("u must ascend in every row");
  });
}
