// Compositing along rays of packed samples, one ray after the other: rays differ too much in length to share lanes.
#include <cstdint>
#include <cstring>

#include "../math/compositing.h"
#include "../nerfkit.h"
#include "error.h"
#include "offsets.h"

namespace nk {
namespace {

// The values of a ray that is full are never read: a marcher may leave them out of what it computes.
void composite_ray(const nk_composite_params *p, int64_t ray) {
  float *sums = p->sums + ray * p->C;
  std::memset(sums, 0, sizeof(float) * p->C);
  float t = 1.0f;
  int64_t i = p->offsets[ray];
  const int64_t end = p->offsets[ray + 1];
  for (; i < end && t > NK_TRANSMITTANCE_MIN; ++i) {
    float alpha = min(p->alphas[i], NK_ALPHA_MAX);
    const float weight = composite(true, &alpha, &t);
    p->weights[i] = weight;
    for (int c = 0; c < p->C; ++c) sums[c] += weight * p->values[i * p->C + c];
  }
  if (i < end) std::memset(p->weights + i, 0, sizeof(float) * (end - i));
  p->transmittance[ray] = t;
}

// What lies behind a sample is the ray's total less what has been passed, as in the rasterizer.
void composite_ray_vjp(const nk_composite_grad_params *p, int64_t ray) {
  const int64_t begin = p->offsets[ray], end = p->offsets[ray + 1];
  const float *grad = p->grad_sums + ray * p->C;
  const auto grad_weight = [&](int64_t i) { return p->grad_weights ? p->grad_weights[i] : 0.0f; };
  float behind = p->grad_transmittance ? p->grad_transmittance[ray] * p->transmittance[ray] : 0.0f;
  for (int c = 0; c < p->C; ++c) behind += grad[c] * p->sums[ray * p->C + c];
  if (p->grad_weights)
    for (int64_t i = begin; i < end; ++i) behind += p->grad_weights[i] * p->weights[i];
  float t = 1.0f;
  int64_t i = begin;
  for (; i < end && t > NK_TRANSMITTANCE_MIN; ++i) {
    const float before = t, raw = p->alphas[i];
    float alpha = min(raw, NK_ALPHA_MAX);
    const float weight = composite(true, &alpha, &t);
    float g_dot_v = grad_weight(i);
    for (int c = 0; c < p->C; ++c) {
      g_dot_v += grad[c] * p->values[i * p->C + c];
      p->grad_values[i * p->C + c] = weight * grad[c];
    }
    const float v_alpha = composite_vjp(alpha, weight, before, g_dot_v, &behind);
    p->grad_alphas[i] = raw <= NK_ALPHA_MAX ? v_alpha : 0.0f;
  }
  if (i == end) return;
  std::memset(p->grad_alphas + i, 0, sizeof(float) * (end - i));
  std::memset(p->grad_values + i * p->C, 0, sizeof(float) * (end - i) * p->C);
}

}  // namespace
}  // namespace nk

extern "C" int nk_composite_fwd(const nk_composite_params *p) {
  return nk::guarded("nk_composite_fwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray) nk::composite_ray(p, ray);
  });
}

extern "C" int nk_composite_bwd(const nk_composite_grad_params *p) {
  return nk::guarded("nk_composite_bwd", [&] {
    nk::check_offsets(p);
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 64)
    for (int64_t ray = 0; ray < p->R; ++ray) nk::composite_ray_vjp(p, ray);
  });
}
