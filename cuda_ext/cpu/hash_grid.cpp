// The hash encoding and its gradient. A lane is a sample while indices and weights are computed; an entry's features
// lie together, so that they are read and added as one small vector, sample by sample.
//
// Samples go in chunks through one level after the other, which keeps a level's table in the cache. In the backward
// pass a thread owns whole levels: no atomics, no buffer per thread, and the same sums in the same order with any
// number of threads.
#include "../math/hash_grid.h"

#include <algorithm>
#include <cstring>

#include "../checks.h"
#include "../error.h"
#include "../nerfkit.h"

namespace nk {
namespace {

constexpr int kVertices = 8;
constexpr int64_t kChunk = 1024;  // samples

template <int Features>
struct Entry {
  typedef float Type __attribute__((vector_size(4 * Features)));
};
template <>
struct Entry<1> {
  typedef float Type;
};

template <int Features>
typename Entry<Features>::Type load_entry(const float *p) {
  typename Entry<Features>::Type out;
  std::memcpy(&out, p, sizeof(out));
  return out;
}

template <int Features>
float dot(typename Entry<Features>::Type a, typename Entry<Features>::Type b) {
  if constexpr (Features == 1) {
    return a * b;
  } else {
    const auto products = a * b;
    float total = 0.0f;
    for (int f = 0; f < Features; ++f) total += products[f];
    return total;
  }
}

// What the samples [first, first + count) of one vector read on a level; lanes beyond `count` repeat sample zero.
struct Reads {
  Lanes point[3], along[3];
  alignas(64) int32_t entries[kVertices][kLanes];
  int count;

  Reads(const GridLevel &level, const float *positions, int64_t first, int64_t end)
      : count(static_cast<int>(std::min<int64_t>(kLanes, end - first))) {
    for (int axis = 0; axis < 3; ++axis) point[axis] = load_strided(positions + 3 * first + axis, 3, count);
    IntLanes cell[3], vertices[kVertices];
    grid_cell(point, level.resolution, cell, along);
    grid_entries(level, cell, vertices);
    std::memcpy(entries, vertices, sizeof(entries));
  }

  void weights(float (*out)[kLanes]) const {
    for (int k = 0; k < kVertices; ++k) store(out[k], grid_weight(k, along));
  }
};

template <int Features>
void encode(const nk_hash_encode_params *p, const GridLevel &level, int l, int64_t begin, int64_t end) {
  alignas(64) float weights[kVertices][kLanes];
  for (int64_t first = begin; first < end; first += kLanes) {
    const Reads reads(level, p->positions, first, end);
    reads.weights(weights);
    for (int lane = 0; lane < reads.count; ++lane) {
      typename Entry<Features>::Type feature = {};
      for (int k = 0; k < kVertices; ++k)
        feature += weights[k][lane] * load_entry<Features>(p->table + int64_t(reads.entries[k][lane]) * Features);
      std::memcpy(p->features + (first + lane) * p->LF + l * Features, &feature, sizeof(feature));
    }
  }
}

template <int Features>
void encode_all(const nk_hash_encode_params *p) {
  const int64_t chunks = (p->S + kChunk - 1) / kChunk;
#pragma omp parallel for num_threads(p->threads) schedule(static)
  for (int64_t chunk = 0; chunk < chunks; ++chunk)
    for (int l = 0; l < p->L; ++l)
      encode<Features>(p, level_of(p, l), l, chunk * kChunk, std::min<int64_t>(p->S, (chunk + 1) * kChunk));
}

template <int Features>
void table_vjp(const nk_hash_encode_grad_params *p, const GridLevel &level, int l) {
  const int64_t size = int64_t(p->offsets[l + 1]) - p->offsets[l];
  std::memset(p->grad_table + int64_t(p->offsets[l]) * Features, 0, sizeof(float) * size * Features);
  alignas(64) float weights[kVertices][kLanes];
  for (int64_t first = 0; first < p->S; first += kLanes) {
    const Reads reads(level, p->positions, first, p->S);
    reads.weights(weights);
    for (int lane = 0; lane < reads.count; ++lane) {
      const auto v = load_entry<Features>(p->grad_features + (first + lane) * p->LF + l * Features);
      for (int k = 0; k < kVertices; ++k) {
        float *to = p->grad_table + int64_t(reads.entries[k][lane]) * Features;
        const auto sum = load_entry<Features>(to) + weights[k][lane] * v;
        std::memcpy(to, &sum, sizeof(sum));
      }
    }
  }
}

template <int Features>
void positions_vjp(const nk_hash_encode_grad_params *p, int64_t begin, int64_t end) {
  std::memset(p->grad_positions + 3 * begin, 0, sizeof(float) * 3 * (end - begin));
  alignas(64) float v_weights[kVertices][kLanes] = {};
  for (int l = 0; l < p->L; ++l) {
    const GridLevel level = level_of(p, l);
    for (int64_t first = begin; first < end; first += kLanes) {
      const Reads reads(level, p->positions, first, end);
      for (int lane = 0; lane < reads.count; ++lane) {
        const auto v = load_entry<Features>(p->grad_features + (first + lane) * p->LF + l * Features);
        for (int k = 0; k < kVertices; ++k)
          v_weights[k][lane] =
              dot<Features>(v, load_entry<Features>(p->table + int64_t(reads.entries[k][lane]) * Features));
      }
      Lanes v_weight[kVertices], v_point[3];
      for (int k = 0; k < kVertices; ++k) v_weight[k] = load(v_weights[k]);
      float *to = p->grad_positions + 3 * first;
      for (int axis = 0; axis < 3; ++axis) v_point[axis] = load_strided(to + axis, 3, reads.count);
      grid_weight_vjp(level.resolution, reads.point, reads.along, v_weight, v_point);
      for (int axis = 0; axis < 3; ++axis) store_strided(to + axis, 3, reads.count, v_point[axis]);
    }
  }
}

template <int Features>
void encode_vjp(const nk_hash_encode_grad_params *p) {
#pragma omp parallel for num_threads(p->threads) schedule(dynamic, 1)
  for (int l = p->L - 1; l >= 0; --l) table_vjp<Features>(p, level_of(p, l), l);  // the slowest levels first
  if (!p->grad_positions) return;
  const int64_t chunks = (p->S + kChunk - 1) / kChunk;
#pragma omp parallel for num_threads(p->threads) schedule(static)
  for (int64_t chunk = 0; chunk < chunks; ++chunk)
    positions_vjp<Features>(p, chunk * kChunk, std::min<int64_t>(p->S, (chunk + 1) * kChunk));
}

// Refuses what the loops could not survive: exceptions may not leave a parallel region.
template <class Params>
void check(const Params *p) {
  check_hash_encode(p);
  require(!p->half_table, "a table of halfs is for a GPU");
}

}  // namespace
}  // namespace nk

extern "C" int nk_hash_encode_fwd(const nk_hash_encode_params *p) {
  return nk::guarded("nk_hash_encode_fwd", [&] {
    nk::check(p);
    nk::with_features(p->F, [&](auto features) { nk::encode_all<features>(p); });
  });
}

extern "C" int nk_hash_encode_bwd(const nk_hash_encode_grad_params *p) {
  return nk::guarded("nk_hash_encode_bwd", [&] {
    nk::check(p);
    nk::with_features(p->F, [&](auto features) { nk::encode_vjp<features>(p); });
  });
}
