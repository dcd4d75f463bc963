// Spherical harmonics of directions and back; a lane is a direction.
#include <algorithm>

#include "../checks.h"
#include "../error.h"
#include "../math/spherical_harmonics.h"
#include "../nerfkit.h"

namespace nk {
namespace {

// The degree is known to the compiler, so that what a lower one leaves out costs nothing.
template <int Degree>
struct Block {
  static constexpr int kBasis = (Degree + 1) * (Degree + 1);

  static void forward(const nk_sh_encode_params *p, int64_t first, int count) {
    Lanes basis[16];
    sh_basis(Degree, load_vectors(p->directions + 3 * first, count), basis);
    float *to = p->features + first * kBasis;
    for (int k = 0; k < kBasis; ++k) store_strided(to + k, kBasis, count, basis[k]);
  }

  static void backward(const nk_sh_encode_grad_params *p, int64_t first, int count) {
    Lanes v[16] = {};
    const float *from = p->grad_features + first * kBasis;
    for (int k = 0; k < kBasis; ++k) v[k] = load_strided(from + k, kBasis, count);
    const Vec3<Lanes> directions = load_vectors(p->directions + 3 * first, count);
    store_vectors(p->grad_directions + 3 * first, count, sh_basis_vjp(Degree, directions, v));
  }
};

// Calls work(Block, first direction, how many) for all blocks of lanes.
template <class Params, class Work>
void encode(const Params *p, Work work) {
  check_sh_encode(p);
  with_degree(p->degree, [&](auto degree) {
    const int64_t blocks = (p->S + int64_t(kLanes) - 1) / kLanes;
#pragma omp parallel for num_threads(p->threads) schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = block * kLanes;
      work(Block<degree>(), first, static_cast<int>(std::min<int64_t>(kLanes, p->S - first)));
    }
  });
}

}  // namespace
}  // namespace nk

extern "C" int nk_sh_encode_fwd(const nk_sh_encode_params *p) {
  return nk::guarded("nk_sh_encode_fwd", [&] {
    nk::encode(p, [&](auto block, int64_t first, int count) { block.forward(p, first, count); });
  });
}

extern "C" int nk_sh_encode_bwd(const nk_sh_encode_grad_params *p) {
  return nk::guarded("nk_sh_encode_bwd", [&] {
    nk::encode(p, [&](auto block, int64_t first, int count) { block.backward(p, first, count); });
  });
}
