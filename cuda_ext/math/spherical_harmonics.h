// Real spherical harmonics to degree 3, in the order and with the signs of Kerbl et al. 2023 (Inria).
#pragma once

#include "linalg.h"

namespace nk {

#define NK_SH0 0.28209479177387814f
#define NK_SH1 0.4886025119029199f

// The basis at the unit direction d: the first (degree + 1)^2 entries of `basis`.
template <class F>
NK_HD void sh_basis(int degree, const Vec3<F> &d, F *basis) {
  const F x = d.x, y = d.y, z = d.z;
  basis[0] = x * 0.0f + NK_SH0;
  if (degree < 1) return;
  basis[1] = -NK_SH1 * y;
  basis[2] = NK_SH1 * z;
  basis[3] = -NK_SH1 * x;
  if (degree < 2) return;
  const F xx = x * x, yy = y * y, zz = z * z;
  basis[4] = 1.0925484305920792f * x * y;
  basis[5] = -1.0925484305920792f * y * z;
  basis[6] = 0.31539156525252005f * (2.0f * zz - xx - yy);
  basis[7] = -1.0925484305920792f * x * z;
  basis[8] = 0.5462742152960396f * (xx - yy);
  if (degree < 3) return;
  basis[9] = -0.5900435899266435f * y * (3.0f * xx - yy);
  basis[10] = 2.890611442640554f * x * y * z;
  basis[11] = -0.4570457994644658f * y * (4.0f * zz - xx - yy);
  basis[12] = 0.3731763325901154f * z * (2.0f * zz - 3.0f * xx - 3.0f * yy);
  basis[13] = -0.4570457994644658f * x * (4.0f * zz - xx - yy);
  basis[14] = 1.445305721320277f * z * (xx - yy);
  basis[15] = -0.5900435899266435f * x * (xx - 3.0f * yy);
}

// Term by term derivative of the polynomials above: v_d = sum_k v_basis[k] d basis[k] / d d.
template <class F>
NK_HD Vec3<F> sh_basis_vjp(int degree, const Vec3<F> &d, const F *v) {
  const F x = d.x, y = d.y, z = d.z;
  Vec3<F> out = {x * 0.0f, x * 0.0f, x * 0.0f};
  if (degree < 1) return out;
  out.y = out.y - NK_SH1 * v[1];
  out.z = out.z + NK_SH1 * v[2];
  out.x = out.x - NK_SH1 * v[3];
  if (degree < 2) return out;
  out.x = out.x + 1.0925484305920792f * (y * v[4] - z * v[7]) - 2.0f * 0.31539156525252005f * x * v[6] +
          2.0f * 0.5462742152960396f * x * v[8];
  out.y = out.y + 1.0925484305920792f * (x * v[4] - z * v[5]) - 2.0f * 0.31539156525252005f * y * v[6] -
          2.0f * 0.5462742152960396f * y * v[8];
  out.z = out.z - 1.0925484305920792f * (y * v[5] + x * v[7]) + 4.0f * 0.31539156525252005f * z * v[6];
  if (degree < 3) return out;
  const F xx = x * x, yy = y * y, zz = z * z;
  out.x = out.x - 0.5900435899266435f * 6.0f * x * y * v[9] + 2.890611442640554f * y * z * v[10] +
          0.4570457994644658f * 2.0f * x * y * v[11] - 0.3731763325901154f * 6.0f * x * z * v[12] -
          0.4570457994644658f * (4.0f * zz - 3.0f * xx - yy) * v[13] + 1.445305721320277f * 2.0f * x * z * v[14] -
          0.5900435899266435f * (3.0f * xx - 3.0f * yy) * v[15];
  out.y = out.y - 0.5900435899266435f * (3.0f * xx - 3.0f * yy) * v[9] + 2.890611442640554f * x * z * v[10] -
          0.4570457994644658f * (4.0f * zz - xx - 3.0f * yy) * v[11] - 0.3731763325901154f * 6.0f * y * z * v[12] +
          0.4570457994644658f * 2.0f * x * y * v[13] - 1.445305721320277f * 2.0f * y * z * v[14] +
          0.5900435899266435f * 6.0f * x * y * v[15];
  out.z = out.z + 2.890611442640554f * x * y * v[10] - 0.4570457994644658f * 8.0f * y * z * v[11] +
          0.3731763325901154f * (6.0f * zz - 3.0f * xx - 3.0f * yy) * v[12] -
          0.4570457994644658f * 8.0f * x * z * v[13] + 1.445305721320277f * (xx - yy) * v[14];
  return out;
}

}  // namespace nk
