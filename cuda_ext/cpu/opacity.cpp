// Densities, opacities and their gradients; a lane is a sample.
#include "../math/opacity.h"

#include <algorithm>
#include <cstdint>

#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

// Calls work(first sample, how many) for all blocks of lanes.
template <class Params, class Work>
void for_blocks(const Params *p, Work work) {
#pragma omp parallel for num_threads(p->threads) schedule(static)
  for (int64_t first = 0; first < p->S; first += kLanes)
    work(first, static_cast<int>(std::min<int64_t>(kLanes, p->S - first)));
}

}  // namespace
}  // namespace nk

extern "C" int nk_exp_density_fwd(const nk_exp_density_params *p) {
  using namespace nk;
  return guarded("nk_exp_density_fwd", [&] {
    for_blocks(p, [&](int64_t at, int count) {
      const Lanes log = load_strided(p->outputs + at * p->K, p->K, count);
      store_part(p->density + at, count, exp_density(log, p->first, p->most, p->half));
    });
  });
}

extern "C" int nk_exp_density_bwd(const nk_exp_density_grad_params *p) {
  using namespace nk;
  return guarded("nk_exp_density_bwd", [&] {
    for_blocks(p, [&](int64_t at, int count) {
      const Lanes log = load_strided(p->outputs + at * p->K, p->K, count);
      const Lanes density = load_part(p->density + at, count), v = load_part(p->grad_density + at, count);
      std::fill_n(p->grad_outputs + at * p->K, int64_t(count) * p->K, 0.0f);
      store_strided(p->grad_outputs + at * p->K, p->K, count, exp_density_vjp(log, p->first, p->most, density, v));
    });
  });
}

extern "C" int nk_opacity_fwd(const nk_opacity_params *p) {
  using namespace nk;
  return guarded("nk_opacity_fwd", [&] {
    for_blocks(p, [&](int64_t at, int count) {
      const Lanes start = load_part(p->t_start + at, count), end = load_part(p->t_end + at, count);
      store_part(p->alphas + at, count, opacity(load_part(p->density + at, count), end - start));
      if (p->share) store_part(p->share + at, count, learnt_share(start, end, p->whole_from));
    });
  });
}

extern "C" int nk_opacity_bwd(const nk_opacity_grad_params *p) {
  using namespace nk;
  return guarded("nk_opacity_bwd", [&] {
    for_blocks(p, [&](int64_t at, int count) {
      const Lanes length = load_part(p->t_end + at, count) - load_part(p->t_start + at, count);
      const Lanes alpha = load_part(p->alphas + at, count), v = load_part(p->grad_alphas + at, count);
      const Lanes all = opacity_vjp(alpha, length, v);
      store_part(p->grad_density + at, count, p->share ? all * load_part(p->share + at, count) : all);
    });
  });
}
