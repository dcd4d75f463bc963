// Projection of a 3D Gaussian to a splat: Zwicker et al. 2001 (EWA splatting), Kerbl et al. 2023, section 4.
#pragma once

#include "constants.h"
#include "linalg.h"

namespace nk {

// A pinhole camera, the same for all lanes.
struct Camera {
  Mat3<float> rotation;     // camera from world
  Vec3<float> translation;  // camera from world
  Vec3<float> center;       // in the world
  float fx, fy, cx, cy;
  float limit_x0, limit_x1;  // bounds of x / z in the linearisation
  float limit_y0, limit_y1;
};

// cam_from_world: 4x4, row by row; intrinsics: fx fy cx cy.
NK_HD Camera make_camera(const float *cam_from_world, const float *intrinsics, int width, int height) {
  const float *m = cam_from_world;
  Camera c;
  c.rotation = {{{m[0], m[1], m[2]}, {m[4], m[5], m[6]}, {m[8], m[9], m[10]}}};
  c.translation = {m[3], m[7], m[11]};
  c.center = -1.0f * multiply_transposed(c.rotation, c.translation);
  c.fx = intrinsics[0];
  c.fy = intrinsics[1];
  c.cx = intrinsics[2];
  c.cy = intrinsics[3];
  const float margin_x = (NK_FRUSTUM_MARGIN - 1.0f) * 0.5f * width / c.fx;
  const float margin_y = (NK_FRUSTUM_MARGIN - 1.0f) * 0.5f * height / c.fy;
  c.limit_x0 = -c.cx / c.fx - margin_x;
  c.limit_x1 = (width - c.cx) / c.fx + margin_x;
  c.limit_y0 = -c.cy / c.fy - margin_y;
  c.limit_y1 = (height - c.cy) / c.fy + margin_y;
  return c;
}

template <class F>
struct Gaussian {
  Vec3<F> mean;
  Quat<F> quat;
  Vec3<F> scale;
};

template <class F>
struct Projected {
  F x, y;     // mean, pixels
  F a, b, c;  // conic
  F depth;
  F cov_xx, cov_yy;
  F slope_x, slope_y;  // change of depth from a pixel to the next
  F coverage;          // share of the opacity that is left
  Vec3<F> normal;
};

// What the backward pass needs again.
template <class F>
struct ProjectionState {
  Vec3<F> t;            // mean in the camera frame
  F inverse_z, tx, ty;  // x / z and y / z, clamped
  F inverse_length;     // of the quaternion
  Mat3<F> axes;         // G = R_cam R(q): columns are the Gaussian's axes in the camera
  Vec3<F> u0, u1;       // rows of J G
  F cov_b, inverse_det;
  F cov_xz, cov_yz;  // of pixel and depth
  Vec3<F> pick;      // 1 at the shortest axis, with the sign that turns it to the camera
};

// det(J G diag(s^2) G^T J^T), by Cauchy and Binet: a sum of squares, of which a thin splat's keeps its digits.
template <class F>
NK_HD F determinant(const Vec3<F> &s2, const Vec3<F> &u, const Vec3<F> &w) {
  const F xy = u.x * w.y - u.y * w.x, yz = u.y * w.z - u.z * w.y, zx = u.z * w.x - u.x * w.z;
  return s2.x * s2.y * xy * xy + s2.y * s2.z * yz * yz + s2.z * s2.x * zx * zx;
}

// cov2d = J G diag(s^2) G^T J^T + blur I, with J the Jacobian of the perspective division (EWA, eq. 29);
// conic = cov2d^-1. The normal is the shortest axis, turned towards the camera.
//
// Of the points that a pixel sees of a Gaussian, the densest one lies at depth + slope . (pixel - mean): pixel and
// depth are jointly Gaussian, with the covariance J G diag(s^2) G_2^T between them, and this is depth's conditional
// mean, and mode, slope = conic cov_z (Zhang et al. 2024, RaDe-GS, eq. 9-11, has it without the blur; here the blur
// keeps splats that are thinner than a pixel from being drawn out along the ray).
//
// The blur makes splats larger. Antialiased ones get more transparent for it, so that they stop as much light as
// before: opacity times coverage = sqrt(det(cov2d - blur I) / det(cov2d)) (Yu et al. 2024, Mip-Splatting, eq. 10).
template <class F>
NK_HD Projected<F> project(const Camera &cam, const Gaussian<F> &g, bool antialiased, ProjectionState<F> *s) {
  s->t = multiply(cam.rotation, g.mean) +
         Vec3<F>{F{} + cam.translation.x, F{} + cam.translation.y, F{} + cam.translation.z};
  s->inverse_z = 1.0f / s->t.z;
  const F x = s->t.x * s->inverse_z, y = s->t.y * s->inverse_z;
  s->tx = min(max(x, F{} + cam.limit_x0), F{} + cam.limit_x1);
  s->ty = min(max(y, F{} + cam.limit_y0), F{} + cam.limit_y1);
  const Mat3<F> rotation = rotation_of(g.quat, &s->inverse_length);
  s->axes = multiply(cam.rotation, rotation);
  const F jx = cam.fx * s->inverse_z, jy = cam.fy * s->inverse_z;
  s->u0 = jx * (s->axes.row[0] - s->tx * s->axes.row[2]);
  s->u1 = jy * (s->axes.row[1] - s->ty * s->axes.row[2]);
  const Vec3<F> &u = s->u0, &w = s->u1;
  const Vec3<F> s2 = {g.scale.x * g.scale.x, g.scale.y * g.scale.y, g.scale.z * g.scale.z};

  Projected<F> p;
  p.cov_xx = s2.x * u.x * u.x + s2.y * u.y * u.y + s2.z * u.z * u.z + NK_SCREEN_BLUR;
  s->cov_b = s2.x * u.x * w.x + s2.y * u.y * w.y + s2.z * u.z * w.z;
  p.cov_yy = s2.x * w.x * w.x + s2.y * w.y * w.y + s2.z * w.z * w.z + NK_SCREEN_BLUR;
  const F det = p.cov_xx * p.cov_yy - s->cov_b * s->cov_b;
  s->inverse_det = 1.0f / max(det, F{} + 1e-12f);
  p.coverage = F{} + 1.0f;
  if (antialiased)
    p.coverage = sqrt(max(determinant(s2, u, w) * s->inverse_det, F{} + NK_COVERAGE_MIN * NK_COVERAGE_MIN));
  p.a = p.cov_yy * s->inverse_det;
  p.b = -s->cov_b * s->inverse_det;
  p.c = p.cov_xx * s->inverse_det;
  p.x = cam.fx * x + cam.cx;
  p.y = cam.fy * y + cam.cy;
  p.depth = s->t.z;
  const Vec3<F> &g2 = s->axes.row[2];
  s->cov_xz = s2.x * u.x * g2.x + s2.y * u.y * g2.y + s2.z * u.z * g2.z;
  s->cov_yz = s2.x * w.x * g2.x + s2.y * w.y * g2.y + s2.z * w.z * g2.z;
  p.slope_x = p.a * s->cov_xz + p.b * s->cov_yz;
  p.slope_y = p.b * s->cov_xz + p.c * s->cov_yz;

  const F one = F{} + 1.0f, zero = F{};
  const auto x_shortest = both(g.scale.x <= g.scale.y, g.scale.x <= g.scale.z);
  const F is_x = select(x_shortest, one, zero);
  const F is_y = (one - is_x) * select(g.scale.y <= g.scale.z, one, zero);
  s->pick = {is_x, is_y, one - is_x - is_y};
  Vec3<F> normal = {dot(rotation.row[0], s->pick), dot(rotation.row[1], s->pick), dot(rotation.row[2], s->pick)};
  const Vec3<F> to_camera = {cam.center.x - g.mean.x, cam.center.y - g.mean.y, cam.center.z - g.mean.z};
  const F sign = select(dot(normal, to_camera) < zero, -one, one);
  s->pick = sign * s->pick;
  p.normal = sign * normal;
  return p;
}

template <class F>
struct ProjectedGrad {
  F x, y, a, b, c, depth, slope_x, slope_y, coverage;
  Vec3<F> normal;
};

// In reverse: slope -> conic, cov_z; conic -> covariance by v_cov = -Q V Q for the symmetric V = [[v_a, v_b/2], [v_b/2,
// v_c]]; covariances -> u0, u1, G_2, s; u = j (G_i - t G_2) -> G, j, t; and p = f t + c. Clamped t pass no gradient on.
template <class F>
NK_HD void project_vjp(const Camera &cam, const Gaussian<F> &g, bool antialiased, const Projected<F> &p,
                       const ProjectionState<F> &s, const ProjectedGrad<F> &v, Vec3<F> *v_mean, Quat<F> *v_quat,
                       Vec3<F> *v_scale) {
  const F v_a = v.a + s.cov_xz * v.slope_x, v_c = v.c + s.cov_yz * v.slope_y;
  const F h = 0.5f * (v.b + s.cov_yz * v.slope_x + s.cov_xz * v.slope_y);
  const F v_xz = p.a * v.slope_x + p.b * v.slope_y, v_yz = p.b * v.slope_x + p.c * v.slope_y;
  const F m00 = p.a * v_a + p.b * h, m01 = p.a * h + p.b * v_c;
  const F m10 = p.b * v_a + p.c * h, m11 = p.b * h + p.c * v_c;
  F v_xx = -(m00 * p.a + m01 * p.b);
  F v_xy = -(m00 * p.b + m01 * p.c) - (m10 * p.a + m11 * p.b);
  F v_yy = -(m10 * p.b + m11 * p.c);
  if (antialiased) {
    // d coverage = (d det0 / coverage - coverage d det1) / (2 det1), det0 without the blur; none where it is clamped.
    const F k = p.coverage, v_k = select(k > 1.0001f * NK_COVERAGE_MIN, 0.5f * v.coverage * s.inverse_det, F{});
    const F inverse_k = 1.0f / k;
    v_xx = v_xx + v_k * ((p.cov_yy - NK_SCREEN_BLUR) * inverse_k - p.cov_yy * k);
    v_xy = v_xy + v_k * 2.0f * s.cov_b * (k - inverse_k);
    v_yy = v_yy + v_k * ((p.cov_xx - NK_SCREEN_BLUR) * inverse_k - p.cov_xx * k);
  }

  const Vec3<F> &u = s.u0, &w = s.u1;
  const Vec3<F> s2 = {g.scale.x * g.scale.x, g.scale.y * g.scale.y, g.scale.z * g.scale.z};
  const Vec3<F> &g2 = s.axes.row[2];
  const Vec3<F> by_u = 2.0f * v_xx * u + v_xy * w + v_xz * g2;  // with s^2: the gradients of u and w
  const Vec3<F> by_w = 2.0f * v_yy * w + v_xy * u + v_yz * g2;
  const Vec3<F> by_z = v_xz * u + v_yz * w;
  *v_scale = {g.scale.x * (by_u.x * u.x + by_w.x * w.x + by_z.x * g2.x),
              g.scale.y * (by_u.y * u.y + by_w.y * w.y + by_z.y * g2.y),
              g.scale.z * (by_u.z * u.z + by_w.z * w.z + by_z.z * g2.z)};
  const Vec3<F> v_u = {s2.x * by_u.x, s2.y * by_u.y, s2.z * by_u.z};
  const Vec3<F> v_w = {s2.x * by_w.x, s2.y * by_w.y, s2.z * by_w.z};

  const F jx = cam.fx * s.inverse_z, jy = cam.fy * s.inverse_z;
  Mat3<F> v_axes;
  v_axes.row[0] = jx * v_u;
  v_axes.row[1] = jy * v_w;
  v_axes.row[2] = Vec3<F>{s2.x * by_z.x, s2.y * by_z.y, s2.z * by_z.z} - (s.tx * v_axes.row[0] + s.ty * v_axes.row[1]);
  const F x = s.t.x * s.inverse_z, y = s.t.y * s.inverse_z;
  const F zero = F{};
  F v_tx = select(both(x >= cam.limit_x0, x <= cam.limit_x1), -jx * dot(v_u, s.axes.row[2]), zero);
  F v_ty = select(both(y >= cam.limit_y0, y <= cam.limit_y1), -jy * dot(v_w, s.axes.row[2]), zero);
  v_tx = v_tx + cam.fx * v.x;
  v_ty = v_ty + cam.fy * v.y;
  const F v_jx_jx = dot(v_u, u), v_jy_jy = dot(v_w, w);  // v_j * j
  const Vec3<F> v_t = {v_tx * s.inverse_z, v_ty * s.inverse_z,
                       v.depth - (v_jx_jx + v_jy_jy + v_tx * x + v_ty * y) * s.inverse_z};
  *v_mean = multiply_transposed(cam.rotation, v_t);

  Mat3<F> v_rotation = multiply_transposed(cam.rotation, v_axes);
  v_rotation.row[0] = v_rotation.row[0] + v.normal.x * s.pick;
  v_rotation.row[1] = v_rotation.row[1] + v.normal.y * s.pick;
  v_rotation.row[2] = v_rotation.row[2] + v.normal.z * s.pick;
  *v_quat = rotation_of_vjp(g.quat, s.inverse_length, v_rotation);
}

}  // namespace nk
