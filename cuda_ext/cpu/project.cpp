// Projection of Gaussians to splats and back; a lane is a Gaussian.
#include <algorithm>
#include <cstring>

#include "../math/gaussian.h"
#include "../math/spherical_harmonics.h"
#include "../nerfkit.h"
#include "error.h"

namespace nk {
namespace {

// `count` Gaussians from index i on; the lanes past them repeat nothing and hold a harmless Gaussian.
template <class Params>
Gaussian<Lanes> load_gaussians(const Params *p, int64_t i, int count) {
  Gaussian<Lanes> g;
  g.mean = {load_strided(p->means + 3 * i, 3, count), load_strided(p->means + 3 * i + 1, 3, count),
            load_strided(p->means + 3 * i + 2, 3, count)};
  g.quat = {load_strided(p->quats + 4 * i, 4, count), load_strided(p->quats + 4 * i + 1, 4, count),
            load_strided(p->quats + 4 * i + 2, 4, count), load_strided(p->quats + 4 * i + 3, 4, count)};
  g.scale = {load_strided(p->scales + 3 * i, 3, count), load_strided(p->scales + 3 * i + 1, 3, count),
             load_strided(p->scales + 3 * i + 2, 3, count)};
  return g;
}

// The unit direction from the camera to the mean, and 1 / the distance.
Vec3<Lanes> view_direction(const Camera &cam, const Vec3<Lanes> &mean, Lanes *inverse_length) {
  const Vec3<Lanes> d = {mean.x - cam.center.x, mean.y - cam.center.y, mean.z - cam.center.z};
  *inverse_length = 1.0f / sqrt(dot(d, d) + 1e-20f);
  return *inverse_length * d;
}

bool any(const Lanes &a) {
  bool out = false;
  for (int i = 0; i < kLanes; ++i) out |= a[i] != 0.0f;
  return out;
}

// Colour before the clamp at zero: 0.5 + sum_k basis_k sh_k.
Vec3<Lanes> evaluate_sh(const float *sh, int64_t stride, int count, int coefficients, const Lanes *basis) {
  Vec3<Lanes> color = {Lanes{} + 0.5f, Lanes{} + 0.5f, Lanes{} + 0.5f};
  for (int k = 0; k < coefficients; ++k) {
    color.x += basis[k] * load_strided(sh + 3 * k, stride, count);
    color.y += basis[k] * load_strided(sh + 3 * k + 1, stride, count);
    color.z += basis[k] * load_strided(sh + 3 * k + 2, stride, count);
  }
  return color;
}

void project_block(const nk_project_params *p, const Camera &cam, int64_t i, int count) {
  const Gaussian<Lanes> g = load_gaussians(p, i, count);
  const Lanes opacity = load_strided(p->opacities + i, 1, count);
  ProjectionState<Lanes> state;
  const Projected<Lanes> s = project(cam, g, &state);

  const Lanes cut = (2.0f * 0.69314718f) * log2(max(opacity, 1e-30f) / NK_ALPHA_MIN);
  const Lanes extent_x = sqrt(max(cut, 0.0f) * s.cov_xx), extent_y = sqrt(max(cut, 0.0f) * s.cov_yy);
  const Lanes zero = {};
  const IntLanes visible = (s.depth > p->near) & (opacity >= NK_ALPHA_MIN) & (s.x + extent_x > 0.0f) &
                           (s.x - extent_x < float(p->width)) & (s.y + extent_y > 0.0f) &
                           (s.y - extent_y < float(p->height));
  const Lanes depth = select(visible, s.depth, zero);
  float *out = p->splats + i * NK_SPLAT_SIZE;
  if (!any(depth)) {
    for (int lane = 0; lane < count; ++lane) out[lane * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] = 0.0f;
    return;
  }
  Lanes basis[16], inverse_length;
  sh_basis(p->degree, view_direction(cam, g.mean, &inverse_length), basis);
  const int coefficients = (p->degree + 1) * (p->degree + 1);
  const Vec3<Lanes> color = evaluate_sh(p->sh + i * p->K * 3, p->K * 3, count, coefficients, basis);

  const Lanes columns[NK_SPLAT_SIZE] = {s.x,
                                        s.y,
                                        s.a,
                                        s.b,
                                        s.c,
                                        opacity,
                                        depth,
                                        max(color.x, 0.0f),
                                        max(color.y, 0.0f),
                                        max(color.z, 0.0f),
                                        s.normal.x,
                                        s.normal.y,
                                        s.normal.z,
                                        extent_x,
                                        extent_y,
                                        cut};
  for (int k = 0; k < NK_SPLAT_SIZE; ++k) store_strided(out + k, NK_SPLAT_SIZE, count, columns[k]);
}

void zero_gradients(const nk_project_grad_params *p, int64_t i, int count) {
  std::memset(p->grad_means + 3 * i, 0, sizeof(float) * 3 * count);
  std::memset(p->grad_quats + 4 * i, 0, sizeof(float) * 4 * count);
  std::memset(p->grad_scales + 3 * i, 0, sizeof(float) * 3 * count);
  std::memset(p->grad_opacities + i, 0, sizeof(float) * count);
  std::memset(p->grad_sh + i * p->K * 3, 0, sizeof(float) * 3 * p->K * count);
}

void project_block_vjp(const nk_project_grad_params *p, const Camera &cam, int64_t i, int count) {
  const float *splats = p->splats + i * NK_SPLAT_SIZE, *grads = p->grad_splats + i * NK_SPLAT_SIZE;
  const auto column = [&](const float *rows, int k) { return load_strided(rows + k, NK_SPLAT_SIZE, count); };
  const Lanes depth = column(splats, NK_SPLAT_DEPTH);
  zero_gradients(p, i, count);
  if (!any(depth)) return;
  const IntLanes drawn = depth != 0.0f;
  const Lanes zero = {};
  const auto grad = [&](int k) { return select(drawn, column(grads, k), zero); };

  Gaussian<Lanes> g = load_gaussians(p, i, count);
  ProjectionState<Lanes> state;
  const Projected<Lanes> s = project(cam, g, &state);
  const ProjectedGrad<Lanes> v = {grad(NK_SPLAT_X),
                                  grad(NK_SPLAT_Y),
                                  grad(NK_SPLAT_A),
                                  grad(NK_SPLAT_B),
                                  grad(NK_SPLAT_C),
                                  grad(NK_SPLAT_DEPTH),
                                  {grad(NK_SPLAT_NORMAL), grad(NK_SPLAT_NORMAL + 1), grad(NK_SPLAT_NORMAL + 2)}};
  Vec3<Lanes> v_mean, v_scale;
  Quat<Lanes> v_quat;
  project_vjp(cam, g, s, state, v, &v_mean, &v_quat, &v_scale);

  // Colour: clamped channels pass nothing on; the rest goes to the coefficients, the view direction and,
  // through its normalisation, the mean.
  const int coefficients = (p->degree + 1) * (p->degree + 1);
  const int64_t stride = p->K * 3;
  Lanes basis[16], v_basis[16], inverse_length;
  const Vec3<Lanes> direction = view_direction(cam, g.mean, &inverse_length);
  sh_basis(p->degree, direction, basis);
  const Vec3<Lanes> v_color = {select(column(splats, NK_SPLAT_COLOR) > 0.0f, grad(NK_SPLAT_COLOR), zero),
                               select(column(splats, NK_SPLAT_COLOR + 1) > 0.0f, grad(NK_SPLAT_COLOR + 1), zero),
                               select(column(splats, NK_SPLAT_COLOR + 2) > 0.0f, grad(NK_SPLAT_COLOR + 2), zero)};
  for (int k = 0; k < coefficients; ++k) {
    const float *sh = p->sh + i * stride + 3 * k;
    float *grad_sh = p->grad_sh + i * stride + 3 * k;
    v_basis[k] = v_color.x * load_strided(sh, stride, count) + v_color.y * load_strided(sh + 1, stride, count) +
                 v_color.z * load_strided(sh + 2, stride, count);
    store_strided(grad_sh, stride, count, basis[k] * v_color.x);
    store_strided(grad_sh + 1, stride, count, basis[k] * v_color.y);
    store_strided(grad_sh + 2, stride, count, basis[k] * v_color.z);
  }
  const Vec3<Lanes> v_direction = sh_basis_vjp(p->degree, direction, v_basis);
  v_mean = v_mean + inverse_length * (v_direction - dot(v_direction, direction) * direction);

  // Culled lanes may hold infinities: they are set to zero here, not multiplied by it.
  const auto put = [&](float *to, int64_t width, Lanes value) {
    store_strided(to, width, count, select(drawn, value, zero));
  };
  put(p->grad_means + 3 * i, 3, v_mean.x);
  put(p->grad_means + 3 * i + 1, 3, v_mean.y);
  put(p->grad_means + 3 * i + 2, 3, v_mean.z);
  put(p->grad_quats + 4 * i, 4, v_quat.w);
  put(p->grad_quats + 4 * i + 1, 4, v_quat.x);
  put(p->grad_quats + 4 * i + 2, 4, v_quat.y);
  put(p->grad_quats + 4 * i + 3, 4, v_quat.z);
  put(p->grad_scales + 3 * i, 3, v_scale.x);
  put(p->grad_scales + 3 * i + 1, 3, v_scale.y);
  put(p->grad_scales + 3 * i + 2, 3, v_scale.z);
  put(p->grad_opacities + i, 1, grad(NK_SPLAT_OPACITY));
}

}  // namespace
}  // namespace nk

extern "C" int nk_project_fwd(const nk_project_params *p) {
  return nk::guarded("nk_project_fwd", [&] {
    const nk::Camera cam = nk::make_camera(p->cam_from_world, p->intrinsics, p->width, p->height);
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t i = 0; i < p->N; i += nk::kLanes)
      nk::project_block(p, cam, i, std::min<int64_t>(nk::kLanes, p->N - i));
  });
}

extern "C" int nk_project_bwd(const nk_project_grad_params *p) {
  return nk::guarded("nk_project_bwd", [&] {
    const nk::Camera cam = nk::make_camera(p->cam_from_world, p->intrinsics, p->width, p->height);
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t i = 0; i < p->N; i += nk::kLanes)
      nk::project_block_vjp(p, cam, i, std::min<int64_t>(nk::kLanes, p->N - i));
  });
}

extern "C" int nk_splat_stats(const nk_splat_stats_params *p) {
  return nk::guarded("nk_splat_stats", [&] {
    const float half_width = 0.5f * p->width, half_height = 0.5f * p->height;
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t i = 0; i < p->N; ++i) {
      const float *splat = p->splats + i * NK_SPLAT_SIZE, *grad = p->grad_splats + i * NK_SPLAT_SIZE;
      if (splat[NK_SPLAT_DEPTH] == 0.0f) continue;
      const float x = grad[NK_GRAD_ABS_X] * half_width, y = grad[NK_GRAD_ABS_Y] * half_height;
      p->grad_sum[i] += nk::sqrt(x * x + y * y);
      p->count[i] += 1.0f;
    }
  });
}
