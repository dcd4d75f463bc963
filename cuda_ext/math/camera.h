// Where the ray through a pixel points: COLMAP's PINHOLE, OPENCV and OPENCV_FISHEYE, and the equirectangular panorama.
// Reference: nerfkit/cameras.py.
//
// Distortions are inverted by Newton's method, from the centre, where the Jacobian J is the identity. Steps never leave
// the part around it in which J is positive definite: those that would are halved, so that a pixel beyond the rim,
// where the polynomial turns back and nothing is seen, ends near the rim. Differentiating f(x; k) = target at the
// solution, not through the iterations, gives dx = J^-1 (d target - df/dk dk); where there is none, no gradient passes.
#pragma once

#include "constants.h"
#include "linalg.h"

namespace nk {

// A camera of each lane.
template <class F>
struct Lens {
  F fx, fy, cx, cy;
  F k[4];  // distortion, as COLMAP orders it
};

constexpr int kNewtonSteps = 20;           // at a rim, where J is singular, each one only halves the error
constexpr float kNewtonConverged = 1e-3f;  // the next step is smaller than this

// Keeps a step where J is nearly singular from jumping over the part where it is not positive definite.
template <class F>
NK_HD F newton_step(F step) {
  return min(max(step, -1.0f), 1.0f);
}

// --- OPENCV ----------------------------------------------------------------------------------------------

template <class F>
struct OpencvPoint {
  F x, y;
  F distorted_x, distorted_y;
  F xx, xy, yy;  // the distortion's Jacobian, which is symmetric
};

// x (1 + k1 r^2 + k2 r^4) + 2 p1 x y + p2 (r^2 + 2 x^2), and y likewise with p1 and p2 exchanged.
template <class F>
NK_HD OpencvPoint<F> opencv_distort(const F *k, F x, F y) {
  const F r2 = x * x + y * y, p1 = k[2], p2 = k[3];
  const F radial = 1.0f + r2 * (k[0] + r2 * k[1]);
  const F slope = 2.0f * k[0] + 4.0f * r2 * k[1];  // of `radial`, over r
  return {x,
          y,
          x * radial + 2.0f * p1 * x * y + p2 * (r2 + 2.0f * x * x),
          y * radial + 2.0f * p2 * x * y + p1 * (r2 + 2.0f * y * y),
          radial + slope * x * x + 2.0f * p1 * y + 6.0f * p2 * x,
          slope * x * y + 2.0f * (p1 * x + p2 * y),
          radial + slope * y * y + 6.0f * p1 * y + 2.0f * p2 * x};
}

// J^-1 (a, b).
template <class F>
NK_HD void opencv_solve(const OpencvPoint<F> &p, F a, F b, F *x, F *y) {
  const F inverse = 1.0f / (p.xx * p.yy - p.xy * p.xy);
  *x = (p.yy * a - p.xy * b) * inverse;
  *y = (p.xx * b - p.xy * a) * inverse;
}

template <class F>
NK_HD OpencvPoint<F> opencv_undistort(const F *k, F distorted_x, F distorted_y) {
  F x = {}, y = {}, step_x = -distorted_x, step_y = -distorted_y, share = F{} + 1.0f;
  for (int i = 0; i < kNewtonSteps; ++i) {
    const OpencvPoint<F> p = opencv_distort(k, x - share * step_x, y - share * step_y);
    const auto accepted = both(p.xx > 0.0f, p.xx * p.yy > p.xy * p.xy);
    F next_x, next_y;
    opencv_solve(p, p.distorted_x - distorted_x, p.distorted_y - distorted_y, &next_x, &next_y);
    x = select(accepted, p.x, x);
    y = select(accepted, p.y, y);
    step_x = select(accepted, newton_step(next_x), step_x);
    step_y = select(accepted, newton_step(next_y), step_y);
    share = select(accepted, F{} + 1.0f, 0.5f * share);
  }
  return opencv_distort(k, x, y);
}

// w = J^-1 v is what x and y get (J is symmetric), and v_k = -(df/dk)^T w.
template <class F>
NK_HD void opencv_undistort_vjp(const OpencvPoint<F> &p, F x, F y, F *v_x, F *v_y, F *v_k) {
  F step_x, step_y, w_x, w_y;
  opencv_solve(p, p.distorted_x - x, p.distorted_y - y, &step_x, &step_y);
  opencv_solve(p, *v_x, *v_y, &w_x, &w_y);
  const auto converged = both(abs(step_x) < kNewtonConverged, abs(step_y) < kNewtonConverged);
  *v_x = w_x = select(converged, w_x, F{});
  *v_y = w_y = select(converged, w_y, F{});
  const F r2 = p.x * p.x + p.y * p.y;
  v_k[0] = -r2 * (p.x * w_x + p.y * w_y);
  v_k[1] = r2 * v_k[0];
  v_k[2] = -(2.0f * p.x * p.y * w_x + (r2 + 2.0f * p.y * p.y) * w_y);
  v_k[3] = -((r2 + 2.0f * p.x * p.x) * w_x + 2.0f * p.x * p.y * w_y);
}

// --- OPENCV_FISHEYE --------------------------------------------------------------------------------------

template <class F>
struct FisheyeAngle {
  F theta;      // from the optical axis
  F distorted;  // which is the distance from the photo's centre
  F slope;      // d distorted / d theta
};

// theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8).
template <class F>
NK_HD FisheyeAngle<F> fisheye_distort(const F *k, F theta) {
  const F t2 = theta * theta;
  return {theta, theta * (1.0f + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3])))),
          1.0f + t2 * (3.0f * k[0] + t2 * (5.0f * k[1] + t2 * (7.0f * k[2] + t2 * 9.0f * k[3])))};
}

template <class F>
NK_HD FisheyeAngle<F> fisheye_undistort(const F *k, F distorted) {
  F theta = {}, step = -distorted, share = F{} + 1.0f;
  for (int i = 0; i < kNewtonSteps; ++i) {
    const FisheyeAngle<F> a = fisheye_distort(k, theta - share * step);
    const auto accepted = a.slope > 0.0f;
    theta = select(accepted, a.theta, theta);
    step = select(accepted, newton_step((a.distorted - distorted) / a.slope), step);
    share = select(accepted, F{} + 1.0f, 0.5f * share);
  }
  return fisheye_distort(k, theta);
}

// w = v / slope is what `distorted` gets, and v_k = -w (theta^3, theta^5, theta^7, theta^9).
template <class F>
NK_HD F fisheye_undistort_vjp(const FisheyeAngle<F> &a, F distorted, F v, F *v_k) {
  const F w = select(abs((a.distorted - distorted) / a.slope) < kNewtonConverged, v / a.slope, F{});
  F term = -w * a.theta;
  for (int i = 0; i < 4; ++i) v_k[i] = term = term * a.theta * a.theta;
  return w;
}

// Of a point on the photo from its centre; not zero, so that it can be divided by.
template <class F>
NK_HD F fisheye_radius(F x, F y) {
  return sqrt(max(x * x + y * y, 1e-24f));
}

// --- all models ------------------------------------------------------------------------------------------

template <class F>
struct PixelRay {
  F x, y;                // (pixel - c) / f
  Vec3<F> direction;     // unit, camera frame
  OpencvPoint<F> point;  // what the backward pass needs again, of the model in question
  FisheyeAngle<F> angle;
};

template <class F>
NK_HD PixelRay<F> pixel_ray(int model, const Lens<F> &lens, int width, int height, F u, F v) {
  PixelRay<F> ray = {};
  if (model == NK_CAMERA_EQUIRECT) {
    F sin_u, cos_u, sin_v, cos_v;
    sin_cos((u - 0.5f * width) * (6.28318531f / width), &sin_u, &cos_u);    // longitude
    sin_cos((v - 0.5f * height) * (3.14159265f / height), &sin_v, &cos_v);  // latitude
    ray.direction = {cos_v * sin_u, sin_v, cos_v * cos_u};
    return ray;
  }
  ray.x = (u - lens.cx) / lens.fx;
  ray.y = (v - lens.cy) / lens.fy;
  if (model == NK_CAMERA_FISHEYE) {
    const F radius = fisheye_radius(ray.x, ray.y);
    ray.angle = fisheye_undistort(lens.k, radius);
    F sine, cosine;
    sin_cos(ray.angle.theta, &sine, &cosine);
    ray.direction = {ray.x * (sine / radius), ray.y * (sine / radius), cosine};
    return ray;
  }
  F x = ray.x, y = ray.y;
  if (model == NK_CAMERA_OPENCV) {
    ray.point = opencv_undistort(lens.k, x, y);
    x = ray.point.x;
    y = ray.point.y;
  }
  const F z = 1.0f / sqrt(x * x + y * y + 1.0f);
  ray.direction = {x * z, y * z, z};
  return ray;
}

// v_lens for the gradient v of the direction. From d = n / |n| with n = (x, y, 1): v_n = (v - d (d . v)) / |n|, where
// 1 / |n| = d_z. From d = (x sin(theta) / r, y sin(theta) / r, cos(theta)), a fisheye's: through theta, through r, and
// directly. Then x = (u - cx) / fx. A panorama has no parameters.
template <class F>
NK_HD Lens<F> pixel_ray_vjp(int model, const Lens<F> &lens, const PixelRay<F> &ray, const Vec3<F> &v) {
  Lens<F> out = {};
  if (model == NK_CAMERA_EQUIRECT) return out;
  F v_x, v_y;
  if (model == NK_CAMERA_FISHEYE) {
    const F radius = fisheye_radius(ray.x, ray.y), x = ray.x / radius, y = ray.y / radius;
    F sine, cosine;
    sin_cos(ray.angle.theta, &sine, &cosine);
    const F outward = v.x * x + v.y * y, ratio = sine / radius;
    const F v_radius = fisheye_undistort_vjp(ray.angle, radius, outward * cosine - v.z * sine, out.k) - outward * ratio;
    v_x = v.x * ratio + x * v_radius;
    v_y = v.y * ratio + y * v_radius;
  } else {
    const F along = dot(v, ray.direction);
    v_x = (v.x - ray.direction.x * along) * ray.direction.z;
    v_y = (v.y - ray.direction.y * along) * ray.direction.z;
    if (model == NK_CAMERA_OPENCV) opencv_undistort_vjp(ray.point, ray.x, ray.y, &v_x, &v_y, out.k);
  }
  out.cx = -v_x / lens.fx;
  out.cy = -v_y / lens.fy;
  out.fx = out.cx * ray.x;
  out.fy = out.cy * ray.y;
  return out;
}

// What the gradients of a ray's origin and direction add to the parameters of its camera: the rows of [R | t] of the
// pose, world from camera, then fx fy cx cy and the distortion.
constexpr int kPoseParameters = 12, kCameraParameters = kPoseParameters + 8;

template <class F>
NK_HD void camera_ray_vjp(int model, const Lens<F> &lens, const Mat3<F> &rotation, const PixelRay<F> &ray,
                          const Vec3<F> &v_origin, const Vec3<F> &v_direction, F *v) {
  const Vec3<F> *row = rotation.row, &d = ray.direction;
  const F v_out[3] = {v_direction.x, v_direction.y, v_direction.z}, v_center[3] = {v_origin.x, v_origin.y, v_origin.z};
  for (int i = 0; i < 3; ++i) {
    v[4 * i] = v_out[i] * d.x;
    v[4 * i + 1] = v_out[i] * d.y;
    v[4 * i + 2] = v_out[i] * d.z;
    v[4 * i + 3] = v_center[i];
  }
  const Vec3<F> v_camera = v_out[0] * row[0] + v_out[1] * row[1] + v_out[2] * row[2];
  const Lens<F> v_lens = pixel_ray_vjp(model, lens, ray, v_camera);
  v[12] = v_lens.fx;
  v[13] = v_lens.fy;
  v[14] = v_lens.cx;
  v[15] = v_lens.cy;
  for (int i = 0; i < 4; ++i) v[16 + i] = v_lens.k[i];
}

// The radius at distance 1 of the cone that stands for a pixel: 2 / sqrt(12) of the pixel's side there (Barron et al.
// 2021, section 3.1). The pixels of panoramas and fisheyes are steps of an angle, 2 pi / width and 1 / fx; those of
// other cameras are 1 / (fx |n|) wide at distance 1.
template <class F>
NK_HD F cone_radius(int model, const Lens<F> &lens, int width, const PixelRay<F> &ray) {
  constexpr float kShare = 0.577350269f;
  if (model == NK_CAMERA_EQUIRECT) return F{} + kShare * 6.28318531f / width;
  if (model == NK_CAMERA_FISHEYE) return kShare / lens.fx;
  return kShare * abs(ray.direction.z) / lens.fx;
}

}  // namespace nk
