// The hash encoding and its gradient. A thread is a sample on one level; a grid's rows are levels, so that the blocks
// that run together read the same part of the table, which the L2 cache holds.
//
// The table may be of halfs: a level of twice the entries stays in the cache. Sums and gradients are floats.
//
// Gradients of the table are added atomically: the order of the additions, and with it the last bits, is not always the
// same. The L2 cache, which does these additions, is what their kernel waits for. Samples come along rays, so that on
// coarse levels many in a row lie in one cell: a warp first adds up such runs and leaves one addition of each to the
// cache. Gradients of the positions are sums over the levels in one thread.
#include "../checks.h"
#include "../math/hash_grid.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;
constexpr int kPositionsBlock = 128;  // whose threads need more registers
constexpr int kVertices = 8;

// Numbers that lie together: read and written by as few instructions as there are for them.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Vector {
  T x[kCount];
};

NK_DEVICE float to_float(float x) { return x; }
NK_DEVICE float to_float(half x) { return from_half(x); }

// An entry's features, or as many numbers that lie elsewhere, as floats.
template <int kFeatures, class T>
NK_DEVICE Vector<float, kFeatures> load_entry(const T *p) {
  const Vector<T, kFeatures> entry = *reinterpret_cast<const Vector<T, kFeatures> *>(p);
  Vector<float, kFeatures> out;
  for (int f = 0; f < kFeatures; ++f) out.x[f] = to_float(entry.x[f]);
  return out;
}

// Adds to a table's entry: by vectors where the architecture knows such atomics.
template <int kFeatures>
NK_DEVICE void add_entry(float *to, const Vector<float, kFeatures> &v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  constexpr int kAtOnce = kFeatures < 4 ? kFeatures : 4;
#else
  constexpr int kAtOnce = 1;
#endif
  for (int f = 0; f < kFeatures; f += kAtOnce) {
    if constexpr (kAtOnce == 4)
      atomicAdd(reinterpret_cast<float4 *>(to + f), make_float4(v.x[f], v.x[f + 1], v.x[f + 2], v.x[f + 3]));
    else if constexpr (kAtOnce == 2)
      atomicAdd(reinterpret_cast<float2 *>(to + f), make_float2(v.x[f], v.x[f + 1]));
    else
      atomicAdd(to + f, v.x[f]);
  }
}

// All levels, as an argument of kernels.
struct GridLevels {
  GridLevel level[NK_GRID_MOST_LEVELS];
};

// `features` are an operator's own, or their gradient.
template <class Params>
GridLevels levels_of(const Params *p, const float *features) {
  check_hash_encode(p);
  require(is_aligned(p->table) && is_aligned(p->half_table) && is_aligned(features),
          "the table and the features must begin at multiples of 16 bytes");
  if (p->L > NK_GRID_MOST_LEVELS)
    throw std::invalid_argument("a GPU's kernel takes at most " + std::to_string(NK_GRID_MOST_LEVELS) + " levels");
  GridLevels out = {};
  for (int l = 0; l < p->L; ++l) out.level[l] = level_of(p, l);
  return out;
}

// What a sample reads on a level.
struct Reads {
  float point[3], along[3];
  int cell[3], entries[kVertices];
};

NK_DEVICE Reads reads_of(const GridLevel &level, const float *positions, int64_t sample) {
  Reads out;
  for (int axis = 0; axis < 3; ++axis) out.point[axis] = positions[3 * sample + axis];
  grid_cell(out.point, level.resolution, out.cell, out.along);
  grid_entries(level, out.cell, out.entries);
  return out;
}

template <int kFeatures, class T>
__global__ void __launch_bounds__(kBlock) hash_encode(nk_hash_encode_params p, GridLevels levels, const T *table) {
  const int64_t sample = thread_number();
  const int l = blockIdx.y;
  if (sample >= p.S) return;
  const Reads reads = reads_of(levels.level[l], p.positions, sample);
  Vector<float, kFeatures> feature = {};
  for (int k = 0; k < kVertices; ++k) {
    const Vector<float, kFeatures> entry = load_entry<kFeatures>(table + int64_t(reads.entries[k]) * kFeatures);
    const float weight = grid_weight(k, reads.along);
    for (int f = 0; f < kFeatures; ++f) feature.x[f] += weight * entry.x[f];
  }
  *reinterpret_cast<Vector<float, kFeatures> *>(p.features + sample * p.LF + l * kFeatures) = feature;
}

// Which lanes of a warp lie in the same cell as the lane before, as bits; those without a sample don't. For all lanes.
NK_DEVICE unsigned joined_lanes(const int *cell, bool has_sample) {
  bool joined = has_sample && threadIdx.x % 32 > 0;
  for (int axis = 0; axis < 3; ++axis) joined &= __shfl_up_sync(kAllLanes, cell[axis], 1) == cell[axis];
  return __ballot_sync(kAllLanes, joined);
}

// Leaves the sum over each run of joined lanes with the first of them: a segmented reduction, in as many steps as the
// longest run takes, none where there are no runs. For all lanes.
template <int kFeatures>
NK_DEVICE void add_up_runs(unsigned joined, Vector<float, kFeatures> *v) {
  const unsigned lane = threadIdx.x % 32;
  // A lane holds the sum over `step` lanes of its run. Bit i of `joined` tells whether lanes i to i + step - 1 all
  // continue the run of lane i - 1, that is, whether lane i - 1 has something to add.
  for (int step = 1; joined; joined &= joined >> step, step *= 2) {
    const bool adds = joined >> lane >> 1 & 1;
    for (int f = 0; f < kFeatures; ++f) {
      const float further = __shfl_down_sync(kAllLanes, v->x[f], step);
      if (adds) v->x[f] += further;
    }
  }
}

// All threads of a warp take part in its sums, also those past the last sample, which read it once more.
template <int kFeatures>
__global__ void __launch_bounds__(kBlock) hash_table_vjp(nk_hash_encode_grad_params p, GridLevels levels) {
  const int64_t number = thread_number(), sample = min(number, int64_t(p.S) - 1);
  const int l = blockIdx.y;
  const Reads reads = reads_of(levels.level[l], p.positions, sample);
  const Vector<float, kFeatures> v = load_entry<kFeatures>(p.grad_features + sample * p.LF + l * kFeatures);
  const unsigned joined = joined_lanes(reads.cell, number < p.S);
  const bool adds = number < p.S && !(joined >> threadIdx.x % 32 & 1);
  for (int k = 0; k < kVertices; ++k) {
    const float weight = grid_weight(k, reads.along);
    Vector<float, kFeatures> v_entry;
    for (int f = 0; f < kFeatures; ++f) v_entry.x[f] = weight * v.x[f];
    add_up_runs(joined, &v_entry);
    if (adds) add_entry(p.grad_table + int64_t(reads.entries[k]) * kFeatures, v_entry);
  }
}

template <int kFeatures, class T>
__global__ void __launch_bounds__(kPositionsBlock)
    hash_positions_vjp(nk_hash_encode_grad_params p, GridLevels levels, const T *table) {
  const int64_t sample = thread_number();
  if (sample >= p.S) return;
  float v_point[3] = {};
  for (int l = 0; l < p.L; ++l) {
    const GridLevel &level = levels.level[l];
    const Reads reads = reads_of(level, p.positions, sample);
    const Vector<float, kFeatures> v = load_entry<kFeatures>(p.grad_features + sample * p.LF + l * kFeatures);
    float v_weight[kVertices];
    for (int k = 0; k < kVertices; ++k) {
      const Vector<float, kFeatures> entry = load_entry<kFeatures>(table + int64_t(reads.entries[k]) * kFeatures);
      v_weight[k] = 0.0f;
      for (int f = 0; f < kFeatures; ++f) v_weight[k] += v.x[f] * entry.x[f];
    }
    grid_weight_vjp(level.resolution, reads.point, reads.along, v_weight, v_point);
  }
  for (int axis = 0; axis < 3; ++axis) p.grad_positions[3 * sample + axis] = v_point[axis];
}

template <class Pointer>
using Pointed = std::remove_const_t<std::remove_pointer_t<Pointer>>;

// Calls work(table) with the table that is there.
template <class Params, class Work>
void with_table(const Params *p, Work work) {
  if (p->half_table) return work(reinterpret_cast<const half *>(p->half_table));
  work(p->table);
}

}  // namespace
}  // namespace nk

extern "C" int nk_hash_encode_fwd(const nk_hash_encode_params *p) {
  using namespace nk;
  return on_device("nk_hash_encode_fwd", [&] {
    const GridLevels levels = levels_of(p, p->features);
    with_features(p->F, [&](auto features) {
      with_table(p, [&](auto table) {
        const dim3 grid(blocks(p->S, kBlock), p->L);
        NK_LAUNCH((hash_encode<decltype(features)::value, Pointed<decltype(table)>>), grid, kBlock, 0, *p, levels,
                  table);
      });
    });
  });
}

extern "C" int nk_hash_encode_bwd(const nk_hash_encode_grad_params *p) {
  using namespace nk;
  return on_device("nk_hash_encode_bwd", [&] {
    const GridLevels levels = levels_of(p, p->grad_features);
    require(is_aligned(p->grad_table), "the table's gradient must begin at a multiple of 16 bytes");
    with_features(p->F, [&](auto features) {
      constexpr int kFeatures = decltype(features)::value;
      const dim3 grid(blocks(p->S, kBlock), p->L);
      fill_zero(p->grad_table, int64_t(sizeof(float)) * p->P * kFeatures);
      NK_LAUNCH(hash_table_vjp<kFeatures>, grid, kBlock, 0, *p, levels);
      if (!p->grad_positions) return;
      with_table(p, [&](auto table) {
        NK_LAUNCH((hash_positions_vjp<kFeatures, Pointed<decltype(table)>>), blocks(p->S, kPositionsBlock),
                  kPositionsBlock, 0, *p, levels, table);
      });
    });
  });
}
