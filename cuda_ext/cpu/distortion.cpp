// The distortion loss of packed samples, one ray after the other: rays differ too much in length to share lanes.
#include "../math/distortion.h"

#include <cstdint>

#include "../nerfkit.h"
#include "error.h"
#include "offsets.h"

namespace nk {
namespace {

template <class Params>
float middle(const Params *p, int64_t i) {
  return 0.5f * (p->t_start[i] + p->t_end[i]);
}

float distortion_of_ray(const nk_distortion_params *p, int64_t ray) {
  const int64_t begin = p->offsets[ray], end = p->offsets[ray + 1];
  Spread<float> before = {};
  float loss = 0.0f;
  for (int64_t i = begin; i < end; ++i) {
    if (i > begin) before.move(middle(p, i) - middle(p, i - 1));
    loss += distortion(p->weights[i], p->t_end[i] - p->t_start[i], before);
    before.add(p->weights[i]);
  }
  return loss;
}

// Once along the ray for what lies in front of each sample, which the gradient's place keeps, and once back.
void distortion_of_ray_vjp(const nk_distortion_grad_params *p, int64_t ray) {
  const int64_t begin = p->offsets[ray], end = p->offsets[ray + 1];
  Spread<float> before = {}, behind = {};
  for (int64_t i = begin; i < end; ++i) {
    if (i > begin) before.move(middle(p, i) - middle(p, i - 1));
    p->grad_weights[i] = before.distance;
    before.add(p->weights[i]);
  }
  for (int64_t i = end - 1; i >= begin; --i) {
    if (i + 1 < end) behind.move(middle(p, i + 1) - middle(p, i));
    before.distance = p->grad_weights[i];
    p->grad_weights[i] = distortion_vjp(p->weights[i], p->t_end[i] - p->t_start[i], before, behind, p->grad_loss[ray]);
    behind.add(p->weights[i]);
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_distortion_fwd(const nk_distortion_params *p) {
  return nk::guarded("nk_distortion_fwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray) p->loss[ray] = nk::distortion_of_ray(p, ray);
  });
}

extern "C" int nk_distortion_bwd(const nk_distortion_grad_params *p) {
  return nk::guarded("nk_distortion_bwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray) nk::distortion_of_ray_vjp(p, ray);
  });
}
