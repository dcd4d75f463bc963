// The hash encoding and its gradient. A thread is a sample on one level; a grid's rows are levels, so that the blocks
// that run together read the same part of the table, which the L2 cache holds.
//
// Gradients of the table are added atomically: the order of the additions, and with it the last bits, is not always the
// same. Those of the positions are sums over the levels in one thread.
#include "../checks.h"
#include "../math/hash_grid.h"
#include "launch.h"

namespace nk {
namespace {

constexpr int kBlock = 256;
constexpr int kPositionsBlock = 128;  // whose threads need more registers
constexpr int kVertices = 8;

// An entry's features, which lie together: read and written by as few instructions as there are for it.
template <int kFeatures>
struct alignas(kFeatures < 4 ? 4 * kFeatures : 16) Entry {
  float f[kFeatures];
};

template <int kFeatures>
NK_DEVICE Entry<kFeatures> load_entry(const float *p) {
  return *reinterpret_cast<const Entry<kFeatures> *>(p);
}

// What a sample reads on a level.
struct Reads {
  float point[3], along[3];
  int entries[kVertices];
};

NK_DEVICE Reads reads_of(const GridLevel &level, const float *positions, int64_t sample) {
  Reads out;
  for (int axis = 0; axis < 3; ++axis) out.point[axis] = positions[3 * sample + axis];
  grid_entries(level, out.point, out.entries, out.along);
  return out;
}

// Level l, or false where the table doesn't hold what it says.
template <class Params>
NK_DEVICE bool level_at(const Params &p, int l, GridLevel *level, Fault *note) {
  if (grid_level(p.resolutions[l], p.offsets[l], p.offsets[l + 1], p.P, level)) return true;
  report(note, kFaultGridLevel, l);
  return false;
}

template <int kFeatures>
__global__ void __launch_bounds__(kBlock) hash_encode(nk_hash_encode_params p, Fault *note) {
  const int64_t sample = thread_number();
  const int l = blockIdx.y;
  GridLevel level;
  if (sample >= p.S || !level_at(p, l, &level, note)) return;
  const Reads reads = reads_of(level, p.positions, sample);
  Entry<kFeatures> feature = {};
  for (int k = 0; k < kVertices; ++k) {
    const Entry<kFeatures> entry = load_entry<kFeatures>(p.table + int64_t(reads.entries[k]) * kFeatures);
    const float weight = grid_weight(k, reads.along);
    for (int f = 0; f < kFeatures; ++f) feature.f[f] += weight * entry.f[f];
  }
  *reinterpret_cast<Entry<kFeatures> *>(p.features + sample * p.LF + l * kFeatures) = feature;
}

template <int kFeatures>
__global__ void __launch_bounds__(kBlock) hash_table_vjp(nk_hash_encode_grad_params p, Fault *note) {
  const int64_t sample = thread_number();
  const int l = blockIdx.y;
  GridLevel level;
  if (sample >= p.S || !level_at(p, l, &level, note)) return;
  const Reads reads = reads_of(level, p.positions, sample);
  const Entry<kFeatures> v = load_entry<kFeatures>(p.grad_features + sample * p.LF + l * kFeatures);
  for (int k = 0; k < kVertices; ++k) {
    const float weight = grid_weight(k, reads.along);
    float *to = p.grad_table + int64_t(reads.entries[k]) * kFeatures;
    for (int f = 0; f < kFeatures; ++f) atomicAdd(to + f, weight * v.f[f]);
  }
}

template <int kFeatures>
__global__ void __launch_bounds__(kPositionsBlock) hash_positions_vjp(nk_hash_encode_grad_params p, Fault *note) {
  const int64_t sample = thread_number();
  if (sample >= p.S) return;
  float v_point[3] = {};
  for (int l = 0; l < p.L; ++l) {
    GridLevel level;
    if (!level_at(p, l, &level, note)) return;
    const Reads reads = reads_of(level, p.positions, sample);
    const Entry<kFeatures> v = load_entry<kFeatures>(p.grad_features + sample * p.LF + l * kFeatures);
    float v_weight[kVertices];
    for (int k = 0; k < kVertices; ++k) {
      const Entry<kFeatures> entry = load_entry<kFeatures>(p.table + int64_t(reads.entries[k]) * kFeatures);
      v_weight[k] = 0.0f;
      for (int f = 0; f < kFeatures; ++f) v_weight[k] += v.f[f] * entry.f[f];
    }
    grid_weight_vjp(level.resolution, reads.point, reads.along, v_weight, v_point);
  }
  for (int axis = 0; axis < 3; ++axis) p.grad_positions[3 * sample + axis] = v_point[axis];
}

}  // namespace
}  // namespace nk

extern "C" int nk_hash_encode_fwd(const nk_hash_encode_params *p) {
  using namespace nk;
  return on_device("nk_hash_encode_fwd", [&] {
    check_hash_encode(p);
    with_features(p->F, [&](auto features) {
      const dim3 grid(blocks(p->S, kBlock), p->L);
      NK_LAUNCH(hash_encode<decltype(features)::value>, grid, kBlock, 0, *p, fault_note());
    });
  });
}

extern "C" int nk_hash_encode_bwd(const nk_hash_encode_grad_params *p) {
  using namespace nk;
  return on_device("nk_hash_encode_bwd", [&] {
    check_hash_encode(p);
    with_features(p->F, [&](auto features) {
      constexpr int kFeatures = decltype(features)::value;
      const dim3 grid(blocks(p->S, kBlock), p->L);
      fill_zero(p->grad_table, int64_t(sizeof(float)) * p->P * kFeatures);
      NK_LAUNCH(hash_table_vjp<kFeatures>, grid, kBlock, 0, *p, fault_note());
      if (p->grad_positions)
        NK_LAUNCH(hash_positions_vjp<kFeatures>, blocks(p->S, kPositionsBlock), kPositionsBlock, 0, *p, fault_note());
    });
  });
}
