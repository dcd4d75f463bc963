// The contraction of space to a cube (Barron et al. 2022, mip-NeRF 360, eq. 10, by the maximum norm).
#pragma once

#include "lanes.h"

namespace nk {

// A map of points: x / half, drawn together beyond the cube [-1, 1]^3 if `contracted`, times `scale`, plus `shift`.
struct ToCube {
  float half, scale, shift;
  bool contracted;
};

// With m the largest |x_i|, at least 1: y = x (2 - 1 / m) / m, in [-2, 2]^3.
template <class F>
NK_HD void to_cube(const ToCube &map, const F x[3], F y[3]) {
  F u[3], m = F{} + 1.0f;
  for (int i = 0; i < 3; ++i) u[i] = x[i] / map.half;
  for (int i = 0; i < 3; ++i) m = max(abs(u[i]), m);
  const F inverse = 1.0f / m, factor = (2.0f - inverse) * inverse;
  for (int i = 0; i < 3; ++i) y[i] = (map.contracted ? u[i] * factor : u[i]) * map.scale + map.shift;
}

// With k the axis of m > 1: dy_i = f dx_i + x_i f'(m) sign(x_k) dx_k, where f = 2 / m - 1 / m^2 and
// f' = 2 (1 / m - 1) / m^2, which is 0 at m = 1.
template <class F>
NK_HD void to_cube_vjp(const ToCube &map, const F x[3], const F v_y[3], F v_x[3]) {
  F u[3], m = F{} + 1.0f, dot{};
  for (int i = 0; i < 3; ++i) u[i] = x[i] / map.half;
  for (int i = 0; i < 3; ++i) m = max(abs(u[i]), m);
  for (int i = 0; i < 3; ++i) dot = dot + u[i] * v_y[i];
  const F inverse = 1.0f / m, factor = (2.0f - inverse) * inverse;
  const F steep = 2.0f * (inverse - 1.0f) * inverse * inverse * dot;
  F left = F{} + 1.0f;  // 0 once an axis before has the largest coordinate
  for (int i = 0; i < 3; ++i) {
    const auto largest = abs(u[i]) >= m;
    const F along = select(largest, select(u[i] < 0.0f, -steep, steep) * left, F{});
    left = select(largest, F{}, left);
    v_x[i] = (map.contracted ? v_y[i] * factor + along : v_y[i]) * (map.scale / map.half);
  }
}

}  // namespace nk
