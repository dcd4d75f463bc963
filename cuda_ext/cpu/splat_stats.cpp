// Densification statistics, splat by splat.
#include "../math/splat_stats.h"

#include <cstdint>

#include "../error.h"
#include "../nerfkit.h"

extern "C" int nk_splat_stats(const nk_splat_stats_params *p) {
  return nk::guarded("nk_splat_stats", [&] {
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t i = 0; i < p->N; ++i) {
      if (p->splats[i * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] == 0.0f) continue;
      p->grad_sum[i] += nk::splat_pull(p->grad_splats + i * NK_SPLAT_SIZE, p->width, p->height);
      p->count[i] += 1.0f;
    }
  });
}
