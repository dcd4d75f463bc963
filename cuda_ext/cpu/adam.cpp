// The fused Adam update; a lane is a number of the parameter.
#include "../math/adam.h"

#include <algorithm>
#include <vector>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

extern "C" int nk_adam(const nk_adam_params *p) {
  return nk::guarded("nk_adam", [&] {
    nk::check_adam(p);
    const nk::AdamStep s = nk::adam_step(p->beta1, p->beta2, p->epsilon, p->step);
    // The learning rates, wrapped around so that a vector can be read from any position in the period.
    std::vector<float> lr(p->L + nk::kLanes);
    for (size_t i = 0; i < lr.size(); ++i) lr[i] = p->lr[i % p->L];
    const int64_t vectors = p->P / nk::kLanes;
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t block = 0; block < vectors; ++block) {
      const int64_t i = block * nk::kLanes;
      nk::Lanes param = nk::load(p->param + i), m = nk::load(p->m + i), v = nk::load(p->v + i);
      const nk::Lanes rate = nk::load(lr.data() + (p->L == 1 ? 0 : i % p->L));
      nk::adam(s, rate, nk::load(p->grad + i), &param, &m, &v);
      nk::store(p->param + i, param);
      nk::store(p->m + i, m);
      nk::store(p->v + i, v);
    }
    for (int64_t i = vectors * nk::kLanes; i < p->P; ++i)
      nk::adam(s, p->lr[i % p->L], p->grad[i], p->param + i, p->m + i, p->v + i);
  });
}
