// Three-vectors and 3x3 matrices of lanes.
#pragma once

#include "lanes.h"

namespace nk {

template <class F>
struct Vec3 {
  F x, y, z;
};

template <class F, class G>
NK_HD Vec3<F> operator*(G s, const Vec3<F> &a) {
  return {s * a.x, s * a.y, s * a.z};
}
template <class F>
NK_HD Vec3<F> operator+(const Vec3<F> &a, const Vec3<F> &b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class F>
NK_HD Vec3<F> operator-(const Vec3<F> &a, const Vec3<F> &b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class F, class G>
NK_HD F dot(const Vec3<F> &a, const Vec3<G> &b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}

#ifdef NK_LANES
// Vectors that lie one after the other in memory: the first `count` of them, zero in the rest.
NK_HD Vec3<Lanes> load_vectors(const float *p, int count) {
  return {load_strided(p, 3, count), load_strided(p + 1, 3, count), load_strided(p + 2, 3, count)};
}
NK_HD void store_vectors(float *p, int count, const Vec3<Lanes> &a) {
  store_strided(p, 3, count, a.x);
  store_strided(p + 1, 3, count, a.y);
  store_strided(p + 2, 3, count, a.z);
}
#endif

// A matrix by its rows.
template <class F>
struct Mat3 {
  Vec3<F> row[3];
};

// A b, where A is the same for all lanes.
template <class F>
NK_HD Mat3<F> multiply(const Mat3<float> &a, const Mat3<F> &b) {
  Mat3<F> out;
  for (int i = 0; i < 3; ++i) out.row[i] = a.row[i].x * b.row[0] + a.row[i].y * b.row[1] + a.row[i].z * b.row[2];
  return out;
}
// A^T b, likewise.
template <class F>
NK_HD Mat3<F> multiply_transposed(const Mat3<float> &a, const Mat3<F> &b) {
  Mat3<F> out;
  out.row[0] = a.row[0].x * b.row[0] + a.row[1].x * b.row[1] + a.row[2].x * b.row[2];
  out.row[1] = a.row[0].y * b.row[0] + a.row[1].y * b.row[1] + a.row[2].y * b.row[2];
  out.row[2] = a.row[0].z * b.row[0] + a.row[1].z * b.row[1] + a.row[2].z * b.row[2];
  return out;
}
template <class F>
NK_HD Vec3<F> multiply(const Mat3<float> &a, const Vec3<F> &b) {
  return {dot(b, a.row[0]), dot(b, a.row[1]), dot(b, a.row[2])};
}
template <class F>
NK_HD Vec3<F> multiply_transposed(const Mat3<float> &a, const Vec3<F> &b) {
  return {a.row[0].x * b.x + a.row[1].x * b.y + a.row[2].x * b.z,
          a.row[0].y * b.x + a.row[1].y * b.y + a.row[2].y * b.z,
          a.row[0].z * b.x + a.row[1].z * b.y + a.row[2].z * b.z};
}

// The rotation of a quaternion w x y z of any length.
template <class F>
struct Quat {
  F w, x, y, z;
};

template <class F>
NK_HD Mat3<F> rotation_of(const Quat<F> &q, F *inverse_length) {
  *inverse_length = 1.0f / sqrt(q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z + 1e-20f);
  const F w = q.w * *inverse_length, x = q.x * *inverse_length, y = q.y * *inverse_length, z = q.z * *inverse_length;
  return {{{1.0f - 2.0f * (y * y + z * z), 2.0f * (x * y - w * z), 2.0f * (x * z + w * y)},
           {2.0f * (x * y + w * z), 1.0f - 2.0f * (x * x + z * z), 2.0f * (y * z - w * x)},
           {2.0f * (x * z - w * y), 2.0f * (y * z + w * x), 1.0f - 2.0f * (x * x + y * y)}}};
}

// Through the entries of R(q / |q|), then through the normalisation: v_q = (v_n - n (n . v_n)) / |q|.
template <class F>
NK_HD Quat<F> rotation_of_vjp(const Quat<F> &q, F inverse_length, const Mat3<F> &v) {
  const F w = q.w * inverse_length, x = q.x * inverse_length, y = q.y * inverse_length, z = q.z * inverse_length;
  const Vec3<F> &a = v.row[0], &b = v.row[1], &c = v.row[2];
  const F v_w = 2.0f * (x * (c.y - b.z) + y * (a.z - c.x) + z * (b.x - a.y));
  const F v_x = 2.0f * (-2.0f * x * (b.y + c.z) + y * (a.y + b.x) + z * (a.z + c.x) + w * (c.y - b.z));
  const F v_y = 2.0f * (x * (a.y + b.x) - 2.0f * y * (a.x + c.z) + z * (b.z + c.y) + w * (a.z - c.x));
  const F v_z = 2.0f * (x * (a.z + c.x) + y * (b.z + c.y) - 2.0f * z * (a.x + b.y) + w * (b.x - a.y));
  const F along = w * v_w + x * v_x + y * v_y + z * v_z;
  return {(v_w - along * w) * inverse_length, (v_x - along * x) * inverse_length, (v_y - along * y) * inverse_length,
          (v_z - along * z) * inverse_length};
}

}  // namespace nk
