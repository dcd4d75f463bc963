// Meshes to pixels: a thread draws a face, a warp a large one, and atomics keep the nearest face of each pixel; then a
// thread a pixel finds the barycentric coordinates.
#include "../checks.h"
#include "../math/draw_mesh.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 128;
constexpr int kAlone = 128;  // pixels of a box that a thread looks at by itself

// Smaller for nearer pixels, and for the first of the faces at one depth; complemented, since memory begins as zeros.
NK_DEVICE unsigned long long key_of(float depth, int64_t face) {
  return ~(static_cast<unsigned long long>(__float_as_uint(depth)) << 32 | static_cast<unsigned long long>(face));
}

NK_DEVICE bool triangle_of(const nk_draw_mesh_params &p, int64_t face, Fault *note, Triangle *t) {
  const float *corners[3];
  for (int i = 0; i < 3; ++i) {
    const int32_t vertex = p.faces[3 * face + i];
    if (vertex < 0 || vertex >= p.V) {
      report(note, kFaultVertex, vertex, face, p.V);
      return false;
    }
    corners[i] = p.vertices + 3 * int64_t(vertex);
  }
  return make_triangle(corners, p.W, p.H, t);
}

// Every stride-th pixel of each of the triangle's rows, from number `from` on.
NK_DEVICE void draw(const nk_draw_mesh_params &p, const Triangle &t, int64_t face, int from, int stride,
                    unsigned long long *keys) {
  for (int y = t.top; y <= t.bottom; ++y) {
    int first, last;
    span_of(t, y, &first, &last);
    for (int x = first + from; x <= last; x += stride)
      atomicMax(keys + int64_t(y) * p.W + x, key_of(depth_of(shares_at(t, x, y)), face));
  }
}

__global__ void __launch_bounds__(kBlock) draw_faces(nk_draw_mesh_params p, unsigned long long *keys, Fault *note) {
  const int64_t face = thread_number();
  Triangle t;
  const bool drawn = face < p.F && triangle_of(p, face, note, &t);
  const bool alone = drawn && int64_t(t.right - t.left + 1) * (t.bottom - t.top + 1) <= kAlone;
  if (alone) draw(p, t, face, 0, 1, keys);
  const int lane = threadIdx.x % 32;
  for (unsigned large = __ballot_sync(kAllLanes, drawn && !alone); large; large &= large - 1) {
    const int64_t other = face - lane + __ffs(static_cast<int>(large)) - 1;
    triangle_of(p, other, note, &t);
    draw(p, t, other, lane, 32, keys);
  }
}

__global__ void __launch_bounds__(kBlock) resolve(nk_draw_mesh_params p, const unsigned long long *keys, Fault *note) {
  const int64_t pixel = thread_number();
  if (pixel >= int64_t(p.H) * p.W) return;
  const unsigned long long key = ~keys[pixel];
  float *out = p.barycentrics + 3 * pixel;
  Triangle t;
  const int32_t face = static_cast<int32_t>(key & 0xffffffffu);  // -1 where nothing was drawn
  p.face[pixel] = face;
  if (face < 0 || !triangle_of(p, face, note, &t)) {
    p.depth[pixel] = out[0] = out[1] = out[2] = 0.0f;
    return;
  }
  p.depth[pixel] = __uint_as_float(static_cast<unsigned>(key >> 32));
  const Shares s = shares_at(t, static_cast<int>(pixel % p.W), static_cast<int>(pixel / p.W));
  for (int i = 0; i < 3; ++i) out[i] = static_cast<float>(s.share[i] / s.sum);
}

}  // namespace
}  // namespace nk

extern "C" int nk_draw_mesh_fwd(const nk_draw_mesh_params *p) {
  using namespace nk;
  return on_device("nk_draw_mesh_fwd", [&] {
    check_draw_mesh(p);
    const int64_t pixels = int64_t(p->H) * p->W;
    Scratch scratch;
    unsigned long long *keys = scratch.take<unsigned long long>(pixels);
    fill_zero(keys, int64_t(sizeof(*keys)) * pixels);
    NK_LAUNCH(draw_faces, blocks(p->F, kBlock), kBlock, 0, *p, keys, fault_note());
    NK_LAUNCH(resolve, blocks(pixels, kBlock), kBlock, 0, *p, keys, fault_note());
  });
}
