// Densities, opacities and their gradients; a thread is a sample, or a number of a network's outputs.
#include "../math/opacity.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) exp_density_of(nk_exp_density_params p) {
  const int64_t i = thread_number();
  if (i < p.S) p.density[i] = exp_density(p.outputs[i * p.K], p.first, p.most, p.half);
}

__global__ void __launch_bounds__(kBlock) exp_density_of_vjp(nk_exp_density_grad_params p) {
  const int64_t i = thread_number(), all = int64_t(p.S) * p.K;
  if (i >= all) return;
  const int64_t sample = quotient(all, i, p.K);
  const bool first = i == sample * p.K;
  p.grad_outputs[i] =
      first ? exp_density_vjp(p.outputs[i], p.first, p.most, p.density[sample], p.grad_density[sample]) : 0.0f;
}

__global__ void __launch_bounds__(kBlock) opacity_of(nk_opacity_params p) {
  const int64_t i = thread_number();
  if (i >= p.S) return;
  const float start = p.t_start[i], end = p.t_end[i];
  p.alphas[i] = opacity(p.density[i], end - start);
  if (p.share) p.share[i] = learnt_share(start, end, p.whole_from);
}

__global__ void __launch_bounds__(kBlock) opacity_of_vjp(nk_opacity_grad_params p) {
  const int64_t i = thread_number();
  if (i >= p.S) return;
  const float all = opacity_vjp(p.alphas[i], p.t_end[i] - p.t_start[i], p.grad_alphas[i]);
  p.grad_density[i] = p.share ? all * p.share[i] : all;
}

}  // namespace
}  // namespace nk

extern "C" int nk_exp_density_fwd(const nk_exp_density_params *p) {
  using namespace nk;
  return on_device("nk_exp_density_fwd", [&] { NK_LAUNCH(exp_density_of, blocks(p->S, kBlock), kBlock, 0, *p); });
}

extern "C" int nk_exp_density_bwd(const nk_exp_density_grad_params *p) {
  using namespace nk;
  return on_device("nk_exp_density_bwd",
                   [&] { NK_LAUNCH(exp_density_of_vjp, blocks(int64_t(p->S) * p->K, kBlock), kBlock, 0, *p); });
}

extern "C" int nk_opacity_fwd(const nk_opacity_params *p) {
  using namespace nk;
  return on_device("nk_opacity_fwd", [&] { NK_LAUNCH(opacity_of, blocks(p->S, kBlock), kBlock, 0, *p); });
}

extern "C" int nk_opacity_bwd(const nk_opacity_grad_params *p) {
  using namespace nk;
  return on_device("nk_opacity_bwd", [&] { NK_LAUNCH(opacity_of_vjp, blocks(p->S, kBlock), kBlock, 0, *p); });
}
