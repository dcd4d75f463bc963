// Projection of Gaussians to splats and back; a thread is a Gaussian.
//
// What memory holds of a Gaussian is most of the work: 236 bytes with SH of degree 3, of which a culled one reads 40.
// SH coefficients are read 16 bytes at a time where their rows allow it. Their gradients then are written by warps, so
// that neighbouring lanes write neighbouring bytes: what a lane writes of its own row alone fills half a sector of the
// L2 cache at a time, which takes each sector twice.
#include "../checks.h"
#include "../math/splat.h"
#include "fours.h"

namespace nk {
namespace {

constexpr int kBlock = 128;

template <class Params>
Camera camera_of(const Params *p) {
  return make_camera(p->cam_from_world, p->intrinsics, p->width, p->height);
}

template <class Params>
NK_DEVICE Gaussian<float> load_gaussian(const Params &p, int64_t i) {
  const float *m = p.means + 3 * i, *s = p.scales + 3 * i;
  const float4 q = *reinterpret_cast<const float4 *>(p.quats + 4 * i);
  return {{m[0], m[1], m[2]}, {q.x, q.y, q.z, q.w}, {s[0], s[1], s[2]}};
}

constexpr int coefficients_of(int degree) { return (degree + 1) * (degree + 1); }

// The first `kCount` numbers of a Gaussian's row of SH coefficients, in registers.
template <int kCount>
struct ShRow {
  float at[kCount];

  NK_DEVICE ShRow(const float *row, bool by_fours) { load_row<kCount>(row, at, by_fours); }
  NK_DEVICE float operator()(int k) const { return at[k]; }
};

// Whether rows begin at multiples of 16 bytes.
template <class Params>
NK_DEVICE bool by_fours(const Params &p) {
  return p.K * 3 % 4 == 0;
}

// What is read and written 16 bytes at a time.
template <class Params>
void check_project(const Params *p) {
  check_sh(p);
  require(is_aligned(p->quats) && is_aligned(p->sh) && is_aligned(p->splats),
          "quats, sh and splats must begin at multiples of 16 bytes");
}

template <int kDegree>
__global__ void __launch_bounds__(kBlock) project_gaussians(nk_project_params p, Camera cam) {
  const int64_t i = thread_number();
  if (i >= p.N) return;
  const Gaussian<float> g = load_gaussian(p, i);
  ProjectionState<float> state;
  const Projected<float> s = project(cam, g, p.antialiased, &state);
  const float opacity = s.coverage * p.opacities[i];
  const Footprint<float> reach = footprint(s, opacity, p.near, p.width, p.height);
  float *out = p.splats + i * NK_SPLAT_SIZE;
  if (!reach.visible) {
    out[NK_SPLAT_DEPTH] = 0.0f;
    return;
  }
  constexpr int kCoefficients = coefficients_of(kDegree);
  float basis[kCoefficients], inverse_length;
  sh_basis(kDegree, view_direction(cam, g.mean, &inverse_length), basis);
  const ShRow<3 * kCoefficients> sh(p.sh + i * p.K * 3, by_fours(p));
  const Vec3<float> color = sh_color(kCoefficients, basis, sh);
  float values[NK_SPLAT_SIZE];
  splat_values(s, opacity, s.depth, color, reach, values);
  store_fours<NK_SPLAT_SIZE>(out, values);
  if (p.slopes) {
    p.slopes[2 * i] = s.slope_x;
    p.slopes[2 * i + 1] = s.slope_y;
  }
}

// Of rows that a warp writes together: as many columns at a time, and the numbers from one row to the next one's in
// shared memory, so that eight lanes that write 16 bytes each to their rows do so to different banks.
constexpr int kColumns = 16, kPitch = kColumns + 4, kTile = 32 * kPitch;

// Writes the rows of SH gradients of a warp's Gaussians, of which each lane brings its own; what lies beyond the degree
// is zero. For all lanes; `tile`, of kTile floats, is the warp's.
template <int kCount>
NK_DEVICE void store_sh(const nk_project_grad_params &p, int64_t i, const float (&values)[kCount], float *tile) {
  constexpr int kLanes = kColumns / 4;  // that write to one row
  const int width = 3 * p.K, lane = threadIdx.x % 32, column = lane % kLanes * 4;
  if (!by_fours(p)) {
    if (i >= p.N) return;
    float *row = p.grad_sh + i * width;
    for (int k = 0; k < kCount; ++k) row[k] = values[k];
    for (int k = kCount; k < width; ++k) row[k] = 0.0f;
    return;
  }
  float *const rows = p.grad_sh + (i - lane) * width;
  const int count = static_cast<int>(min(p.N - (i - lane), int64_t(32)));
  const auto write = [&](int first, auto four_of) {
    if (first + column >= width) return;
    for (int row = lane / kLanes; row < 32; row += 32 / kLanes)
      if (row < count) *reinterpret_cast<float4 *>(rows + row * width + first + column) = four_of(row);
  };
  int first = 0;
  for (; first < kCount; first += kColumns) {
    float own[kColumns];
    for (int k = 0; k < kColumns; ++k) own[k] = first + k < kCount ? values[first + k] : 0.0f;
    store_fours<kColumns>(tile + lane * kPitch, own);
    __syncwarp();
    write(first, [&](int row) { return *reinterpret_cast<const float4 *>(tile + row * kPitch + column); });
    __syncwarp();
  }
  for (; first < width; first += kColumns) write(first, [](int) { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); });
}

NK_DEVICE void store_gradients(const nk_project_grad_params &p, int64_t i, const Vec3<float> &v_mean,
                               const Quat<float> &v_quat, const Vec3<float> &v_scale, float v_opacity) {
  float *mean = p.grad_means + 3 * i, *scale = p.grad_scales + 3 * i;
  mean[0] = v_mean.x;
  mean[1] = v_mean.y;
  mean[2] = v_mean.z;
  scale[0] = v_scale.x;
  scale[1] = v_scale.y;
  scale[2] = v_scale.z;
  *reinterpret_cast<float4 *>(p.grad_quats + 4 * i) = make_float4(v_quat.w, v_quat.x, v_quat.y, v_quat.z);
  p.grad_opacities[i] = v_opacity;
}

template <int kDegree>
__global__ void __launch_bounds__(kBlock) project_gaussians_vjp(nk_project_grad_params p, Camera cam) {
  const int64_t i = thread_number();
  constexpr int kNumbers = 3 * coefficients_of(kDegree);
  NK_SHARED(float, tiles, kBlock / 32 * kTile);
  const bool visible = i < p.N && p.splats[i * NK_SPLAT_SIZE + NK_SPLAT_DEPTH] != 0.0f;
  float grad[NK_SPLAT_SIZE] = {}, out_sh[kNumbers] = {};
  Gaussian<float> g = {};
  Vec3<float> v_by_color = {};
  if (visible) {
    float splat[NK_SPLAT_SIZE];
    load_fours<NK_SPLAT_SIZE>(p.splats + i * NK_SPLAT_SIZE, splat);
    load_fours<NK_SPLAT_SIZE>(p.grad_splats + i * NK_SPLAT_SIZE, grad);
    g = load_gaussian(p, i);
    // Clamped channels pass nothing on.
    const auto color_grad = [&](int c) { return splat[NK_SPLAT_COLOR + c] > 0.0f ? grad[NK_SPLAT_COLOR + c] : 0.0f; };
    const ShRow<kNumbers> sh(p.sh + i * p.K * 3, by_fours(p));
    v_by_color = sh_color_vjp<float>(cam, g.mean, kDegree, {color_grad(0), color_grad(1), color_grad(2)}, sh,
                                     [&](int k, float value) { out_sh[k] = value; });
  }
  store_sh(p, i, out_sh, tiles + threadIdx.x / 32 * kTile);
  if (i >= p.N) return;
  if (!visible) {
    store_gradients(p, i, {}, {}, {}, 0.0f);
    return;
  }

  ProjectionState<float> state;
  const Projected<float> s = project(cam, g, p.antialiased, &state);
  const ProjectedGrad<float> v = {grad[NK_SPLAT_X],
                                  grad[NK_SPLAT_Y],
                                  grad[NK_SPLAT_A],
                                  grad[NK_SPLAT_B],
                                  grad[NK_SPLAT_C],
                                  grad[NK_SPLAT_DEPTH],
                                  p.grad_slopes ? p.grad_slopes[2 * i] : 0.0f,
                                  p.grad_slopes ? p.grad_slopes[2 * i + 1] : 0.0f,
                                  p.opacities[i] * grad[NK_SPLAT_OPACITY],
                                  {grad[NK_SPLAT_NORMAL], grad[NK_SPLAT_NORMAL + 1], grad[NK_SPLAT_NORMAL + 2]}};
  Vec3<float> v_mean, v_scale;
  Quat<float> v_quat;
  project_vjp(cam, g, p.antialiased, s, state, v, &v_mean, &v_quat, &v_scale);
  store_gradients(p, i, v_mean + v_by_color, v_quat, v_scale, s.coverage * grad[NK_SPLAT_OPACITY]);
}

}  // namespace
}  // namespace nk

extern "C" int nk_project_fwd(const nk_project_params *p) {
  using namespace nk;
  return on_device("nk_project_fwd", [&] {
    check_project(p);
    with_degree(p->degree, [&](auto degree) {
      NK_LAUNCH(project_gaussians<decltype(degree)::value>, blocks(p->N, kBlock), kBlock, 0, *p, camera_of(p));
    });
  });
}

extern "C" int nk_project_bwd(const nk_project_grad_params *p) {
  using namespace nk;
  return on_device("nk_project_bwd", [&] {
    check_project(p);
    require(is_aligned(p->grad_quats) && is_aligned(p->grad_sh) && is_aligned(p->grad_splats),
            "the gradients of quats, sh and splats must begin at multiples of 16 bytes");
    with_degree(p->degree, [&](auto degree) {
      NK_LAUNCH(project_gaussians_vjp<decltype(degree)::value>, blocks(p->N, kBlock), kBlock, 0, *p, camera_of(p));
    });
  });
}
