// What proposed weights don't allow, one ray after the other: each walks its intervals at its own pace.
#include "../math/missed.h"

#include <cstdint>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

extern "C" int nk_missed_fwd(const nk_missed_params *p) {
  return nk::guarded("nk_missed_fwd", [&] {
    nk::check_missed(p);
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t ray = 0; ray < p->R; ++ray)
      p->loss[ray] = nk::missed(p->edges + ray * p->N1, p->proposed + ray * p->N, p->N, p->finer + ray * p->M1,
                                p->weights + ray * p->M, p->M);
  });
}

extern "C" int nk_missed_bwd(const nk_missed_grad_params *p) {
  return nk::guarded("nk_missed_bwd", [&] {
    nk::check_missed(p);
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t ray = 0; ray < p->R; ++ray)
      nk::missed_vjp(p->edges + ray * p->N1, p->proposed + ray * p->N, p->N, p->finer + ray * p->M1,
                     p->weights + ray * p->M, p->M, p->grad_loss[ray], p->grad_proposed + ray * p->N);
  });
}
