// Spherical harmonics of directions and back; a thread is a direction.
#include "../checks.h"
#include "../math/spherical_harmonics.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

template <class Params>
NK_DEVICE Vec3<float> direction_of(const Params &p, int64_t i) {
  const float *d = p.directions + 3 * i;
  return {d[0], d[1], d[2]};
}

template <int kDegree>
__global__ void __launch_bounds__(kBlock) sh_encode(nk_sh_encode_params p) {
  constexpr int kBasis = (kDegree + 1) * (kDegree + 1);
  const int64_t i = thread_number();
  if (i >= p.S) return;
  float basis[16];
  sh_basis(kDegree, direction_of(p, i), basis);
  for (int k = 0; k < kBasis; ++k) p.features[i * kBasis + k] = basis[k];
}

template <int kDegree>
__global__ void __launch_bounds__(kBlock) sh_encode_vjp(nk_sh_encode_grad_params p) {
  constexpr int kBasis = (kDegree + 1) * (kDegree + 1);
  const int64_t i = thread_number();
  if (i >= p.S) return;
  float v[16] = {};
  for (int k = 0; k < kBasis; ++k) v[k] = p.grad_features[i * kBasis + k];
  const Vec3<float> v_direction = sh_basis_vjp(kDegree, direction_of(p, i), v);
  float *to = p.grad_directions + 3 * i;
  to[0] = v_direction.x;
  to[1] = v_direction.y;
  to[2] = v_direction.z;
}

}  // namespace
}  // namespace nk

extern "C" int nk_sh_encode_fwd(const nk_sh_encode_params *p) {
  using namespace nk;
  return on_device("nk_sh_encode_fwd", [&] {
    check_sh_encode(p);
    with_degree(p->degree, [&](auto degree) {
      NK_LAUNCH(sh_encode<decltype(degree)::value>, blocks(p->S, kBlock), kBlock, 0, *p);
    });
  });
}

extern "C" int nk_sh_encode_bwd(const nk_sh_encode_grad_params *p) {
  using namespace nk;
  return on_device("nk_sh_encode_bwd", [&] {
    check_sh_encode(p);
    with_degree(p->degree, [&](auto degree) {
      NK_LAUNCH(sh_encode_vjp<decltype(degree)::value>, blocks(p->S, kBlock), kBlock, 0, *p);
    });
  });
}
