// The contraction of points to a cube and its gradient; a thread is a point.
#include "../math/contract.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

template <class Params>
NK_DEVICE ToCube map_of(const Params &p) {
  return {p.half, p.scale, p.shift, p.contracted != 0};
}

__global__ void __launch_bounds__(kBlock) points_to_cube(nk_to_cube_params p) {
  const int64_t i = thread_number();
  if (i < p.S) to_cube(map_of(p), p.points + 3 * i, p.cube + 3 * i);
}

__global__ void __launch_bounds__(kBlock) points_to_cube_vjp(nk_to_cube_grad_params p) {
  const int64_t i = thread_number();
  if (i < p.S) to_cube_vjp(map_of(p), p.points + 3 * i, p.grad_cube + 3 * i, p.grad_points + 3 * i);
}

}  // namespace
}  // namespace nk

extern "C" int nk_to_cube_fwd(const nk_to_cube_params *p) {
  using namespace nk;
  return on_device("nk_to_cube_fwd", [&] { NK_LAUNCH(points_to_cube, blocks(p->S, kBlock), kBlock, 0, *p); });
}

extern "C" int nk_to_cube_bwd(const nk_to_cube_grad_params *p) {
  using namespace nk;
  return on_device("nk_to_cube_bwd", [&] { NK_LAUNCH(points_to_cube_vjp, blocks(p->S, kBlock), kBlock, 0, *p); });
}
