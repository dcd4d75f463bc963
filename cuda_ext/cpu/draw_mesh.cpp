// Meshes to pixels: faces are sorted into bands of rows, threads over bands. A band's faces come in their own order and
// a pixel belongs to one band, so that the result does not depend on the number of threads.
#include "../math/draw_mesh.h"

#include <algorithm>
#include <vector>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

constexpr int kBandRows = 16;

bool triangle_of(const nk_draw_mesh_params &p, int64_t face, Triangle *t) {
  const float *corners[3];
  for (int i = 0; i < 3; ++i) corners[i] = p.vertices + 3 * int64_t(p.faces[3 * face + i]);
  return make_triangle(corners, p.W, p.H, t);
}

// The faces of each band, in their order: those of band b are list[begin[b]] .. list[begin[b + 1]].
struct Bands {
  int count;
  std::vector<int64_t> begin;
  std::vector<int32_t> list;

  explicit Bands(const nk_draw_mesh_params &p) : count((p.H + kBandRows - 1) / kBandRows), begin(count + 1) {
    const int parts = std::max(1, p.threads);
    std::vector<int32_t> rows(2 * int64_t(p.F));        // first and last band of each face
    std::vector<int64_t> next(int64_t(parts) * count);  // by part and band
#pragma omp parallel for num_threads(p.threads) schedule(static, 1)
    for (int part = 0; part < parts; ++part) {
      for (int64_t face = first_of(p, part, parts); face < first_of(p, part + 1, parts); ++face) {
        Triangle t;
        const bool drawn = triangle_of(p, face, &t);
        rows[2 * face] = drawn ? t.top / kBandRows : 0;
        rows[2 * face + 1] = drawn ? t.bottom / kBandRows : -1;
        for (int band = rows[2 * face]; band <= rows[2 * face + 1]; ++band) ++next[int64_t(part) * count + band];
      }
    }
    int64_t total = 0;
    for (int band = 0; band < count; ++band) {
      begin[band] = total;
      for (int part = 0; part < parts; ++part) {
        const int64_t here = next[int64_t(part) * count + band];
        next[int64_t(part) * count + band] = total;
        total += here;
      }
    }
    begin[count] = total;
    list.resize(total);
#pragma omp parallel for num_threads(p.threads) schedule(static, 1)
    for (int part = 0; part < parts; ++part)
      for (int64_t face = first_of(p, part, parts); face < first_of(p, part + 1, parts); ++face)
        for (int band = rows[2 * face]; band <= rows[2 * face + 1]; ++band)
          list[next[int64_t(part) * count + band]++] = static_cast<int32_t>(face);
  }

  static int64_t first_of(const nk_draw_mesh_params &p, int part, int parts) { return int64_t(p.F) * part / parts; }
};

// Keeps the nearest face of each pixel, of faces at one depth the first.
void draw(const nk_draw_mesh_params &p, int32_t face, int top, int bottom) {
  Triangle t;
  triangle_of(p, face, &t);
  for (int y = std::max(top, t.top); y <= std::min(bottom, t.bottom); ++y) {
    int first, last;
    span_of(t, y, &first, &last);
    float *depth = p.depth + int64_t(y) * p.W;
    int32_t *nearest = p.face + int64_t(y) * p.W;
    for (int x = first; x <= last; ++x) {
      const float here = depth_of(shares_at(t, x, y));
      if (nearest[x] < 0 || here < depth[x]) {
        depth[x] = here;
        nearest[x] = face;
      }
    }
  }
}

// The barycentric coordinates of the faces that remain.
void resolve(const nk_draw_mesh_params &p, int y) {
  Triangle t;
  int32_t of = -1;
  for (int x = 0; x < p.W; ++x) {
    const int64_t pixel = int64_t(y) * p.W + x;
    const int32_t face = p.face[pixel];
    float *out = p.barycentrics + 3 * pixel;
    if (face < 0) {
      out[0] = out[1] = out[2] = 0;
      continue;
    }
    if (face != of) triangle_of(p, face, &t);
    of = face;
    const Shares s = shares_at(t, x, y);
    for (int i = 0; i < 3; ++i) out[i] = static_cast<float>(s.share[i] / s.sum);
  }
}

}  // namespace
}  // namespace nk

extern "C" int nk_draw_mesh_fwd(const nk_draw_mesh_params *params) {
  using namespace nk;
  return guarded("nk_draw_mesh_fwd", [&] {
    const nk_draw_mesh_params &p = *params;
    check_draw_mesh(params);
    for (int64_t i = 0; i < 3 * int64_t(p.F); ++i)
      if (p.faces[i] < 0 || p.faces[i] >= p.V)
        throw std::invalid_argument("faces must name vertices 0 to " + std::to_string(p.V - 1) + ", got " +
                                    std::to_string(p.faces[i]) + " in face " + std::to_string(i / 3));
    const Bands bands(p);
#pragma omp parallel for num_threads(p.threads) schedule(dynamic, 1)
    for (int band = 0; band < bands.count; ++band) {
      const int top = band * kBandRows, bottom = std::min(p.H, top + kBandRows) - 1;
      const int64_t first = int64_t(top) * p.W, behind = int64_t(bottom + 1) * p.W;
      std::fill(p.depth + first, p.depth + behind, 0.0f);
      std::fill(p.face + first, p.face + behind, -1);
      for (int64_t i = bands.begin[band]; i < bands.begin[band + 1]; ++i) draw(p, bands.list[i], top, bottom);
      for (int y = top; y <= bottom; ++y) resolve(p, y);
    }
  });
}
