// Kernels that do wrong, each in a way that the emulation must name (test_emulation.py), and some that do right.
#include "cuda/sort.h"
#include "cuda/tensor_core.h"

namespace nk {
namespace {

constexpr int kBlock = 64;

__global__ void past_the_end_of_shared(float *out) {
  NK_SHARED(float, few, 8);
  few[threadIdx.x] = 1.0f;
  out[threadIdx.x] = few[threadIdx.x];
}

__global__ void past_the_end_of_dynamic_shared(float *out) {
  NK_DYNAMIC_SHARED(float, few);
  few[threadIdx.x] = 1.0f;
  out[threadIdx.x] = few[threadIdx.x];
}

__global__ void past_the_end_of_global(float *out) { out[kBlock + threadIdx.x] = 1.0f; }

__global__ void past_the_end_of_scratch(float *scratch) { scratch[threadIdx.x + 1] = 1.0f; }

// Of which a GPU's fault ends the process's use of it.
__global__ void misaligned_vector(float *out) {
  *reinterpret_cast<float4 *>(out + 1) = make_float4(1.0f, 2.0f, 3.0f, 4.0f);
}

template <bool kBarrier>
__global__ void reverse(float *out) {
  NK_SHARED(float, values, kBlock);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (kBarrier) __syncthreads();
  out[threadIdx.x] = values[kBlock - 1 - threadIdx.x];
}

// Within a warp; a shuffle between them orders no memory.
template <bool kBarrier>
__global__ void neighbours(float *out) {
  NK_SHARED(float, values, kBlock);
  values[threadIdx.x] = __shfl_sync(0xffffffffu, static_cast<float>(threadIdx.x), 0);
  if (kBarrier)
    __syncwarp();
  else
    __shfl_sync(0xffffffffu, 1, 0);
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

__global__ void overwrite_what_was_read(float *out) {
  NK_SHARED(float, value, 1);
  if (threadIdx.x == 0) value[0] = 2.0f;
  __syncthreads();
  out[threadIdx.x] = value[0];
  if (threadIdx.x == kBlock - 1) value[0] = 3.0f;
}

__global__ void same_word_of_two_blocks(float *out) {
  if (threadIdx.x == 0) out[0] = 1.0f;
}

__global__ void read_beside_an_atomic(float *out) {
  if (threadIdx.x == 0) atomicAdd(out, 1.0f);
  if (threadIdx.x == 1) out[1] = out[0];
}

__global__ void divergent_barrier(float *out) {
  if (threadIdx.x < 10)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 0.0f;
}

__global__ void barrier_against_shuffle(float *out) {
  if (threadIdx.x < 3) __syncthreads();
  out[threadIdx.x] = __shfl_sync(0xffffffffu, 1.0f, 0);
}

__global__ void shuffle_with_returned(float *out) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1.0f, 1);
}

__global__ void shuffle_from_outside_the_mask(float *out) {
  if (threadIdx.x < 4) out[threadIdx.x] = __shfl_sync(0xfu, 1.0f, 7);
}

__global__ void lane_not_in_its_mask(float *out) {
  if (threadIdx.x < 4) out[threadIdx.x] = __ballot_sync(0x7u, 1) ? 1.0f : 0.0f;
}

__global__ void unset_shared(float *out) {
  NK_SHARED(float, values, kBlock);
  if (blockIdx.x == 0) values[threadIdx.x] = 1.0f;
  if (blockIdx.x == 1) out[threadIdx.x] = values[threadIdx.x];
}

// --- and right ---------------------------------------------------------------------------------------------

// out[0 .. 6]: sums over the block by each of the ways there are.
__global__ void all_that_is_right(float *out) {
  NK_SHARED(float, of_warp, 2);
  const int lane = threadIdx.x % 32;
  const float own = static_cast<float>(threadIdx.x);
  atomicAdd(out, own);
  float down = own, across = own;
  for (int step = 16; step > 0; step /= 2) down += __shfl_down_sync(0xffffffffu, down, step);
  for (int step = 1; step < 32; step *= 2) across += __shfl_xor_sync(0xffffffffu, across, step);
  if (lane == 31) of_warp[threadIdx.x / 32] = across;
  __syncthreads();
  if (lane == 0 && threadIdx.x == 0) out[1] = down + of_warp[1];
  if (threadIdx.x == 40) out[2] = of_warp[0] + of_warp[1];
  float before = own;
  for (int step = 1; step < 32; step *= 2) {
    const float other = __shfl_up_sync(0xffffffffu, before, step);
    if (lane >= step) before += other;
  }
  if (threadIdx.x == 31) out[3] = before + of_warp[1];
  const unsigned odd = __ballot_sync(0xffffffffu, lane & 1);
  const int third = __popc(__match_any_sync(0xffffffffu, lane % 3));
  if (threadIdx.x == 0) {
    out[4] = static_cast<float>(__popc(odd));
    out[5] = static_cast<float>(third);
  }
  if (threadIdx.x >= 48) return;  // who has returned is not waited for
  const int count = __syncthreads_count(threadIdx.x < 7);
  if (threadIdx.x == 0) out[6] = static_cast<float>(count);
}

// c = relu(a b), where a and b [16, 16] hold small whole numbers.
__global__ void product(const float *a, const float *b, float *c) {
  NK_SHARED(half, shared_a, 256);
  NK_SHARED(half, shared_b, 256);
  for (int i = threadIdx.x; i < 256; i += 32) {
    shared_a[i] = to_half(a[i]);
    shared_b[i] = to_half(b[i]);
  }
  __syncwarp();
  TileA<kRows> tile_a;
  TileB<kColumns> tile_b;
  TileC tile_c;
  fill(tile_c, 0.0f);
  load(tile_a, shared_a, 16);
  load(tile_b, shared_b, 16);  // b's transpose
  multiply_add(tile_c, tile_a, tile_b);
  for (int i = 0; i < TileC::num_elements; ++i) tile_c.x[i] = max(tile_c.x[i], 0.0f);
  store(c, tile_c, 16, kRows);
}

}  // namespace
}  // namespace nk

#define FAULT(name, kernel, grid, shared)                                             \
  extern "C" NK_API int fault_##name(float *out) {                                    \
    using namespace nk;                                                               \
    return on_device("fault", [&] { NK_LAUNCH(kernel, grid, kBlock, shared, out); }); \
  }
FAULT(past_the_end_of_shared, past_the_end_of_shared, 1, 0)
FAULT(past_the_end_of_dynamic_shared, past_the_end_of_dynamic_shared, 1, 32)
FAULT(past_the_end_of_global, past_the_end_of_global, 1, 0)
FAULT(misaligned_vector, misaligned_vector, 1, 0)
FAULT(missing_barrier, reverse<false>, 1, 0)
FAULT(barrier, reverse<true>, 1, 0)
FAULT(missing_warp_barrier, neighbours<false>, 1, 0)
FAULT(warp_barrier, neighbours<true>, 1, 0)
FAULT(overwrite_what_was_read, overwrite_what_was_read, 1, 0)
FAULT(same_word_of_two_blocks, same_word_of_two_blocks, 2, 0)
FAULT(read_beside_an_atomic, read_beside_an_atomic, 1, 0)
FAULT(divergent_barrier, divergent_barrier, 1, 0)
FAULT(barrier_against_shuffle, barrier_against_shuffle, 1, 0)
FAULT(shuffle_with_returned, shuffle_with_returned, 1, 0)
FAULT(shuffle_from_outside_the_mask, shuffle_from_outside_the_mask, 1, 0)
FAULT(lane_not_in_its_mask, lane_not_in_its_mask, 1, 0)
FAULT(unset_shared, unset_shared, 2, 0)
FAULT(all_that_is_right, all_that_is_right, 1, 0)

extern "C" NK_API int fault_past_the_end_of_scratch(float *) {
  using namespace nk;
  return on_device("fault", [&] {
    Scratch scratch;
    float *memory = scratch.take<float>(kBlock);
    NK_LAUNCH(past_the_end_of_scratch, 1, kBlock, 0, memory);
  });
}

extern "C" NK_API int fault_product(const float *a, const float *b, float *c) {
  using namespace nk;
  return on_device("fault", [&] { NK_LAUNCH(product, 1, 32, 0, a, b, c); });
}

// Sorts by bits 4..12 of the keys, and gives the values' running sums and their maximum.
extern "C" NK_API int fault_sort(const uint32_t *keys, const int32_t *values, int64_t n, uint32_t *sorted_keys,
                                 int32_t *sorted_values, int32_t *sums, int32_t *largest) {
  using namespace nk;
  return on_device("fault", [&] {
    Scratch scratch;
    const PairSort sort(scratch, n, 4, 12);
    const ExclusiveSum<int32_t> add(scratch, n);
    const Maximum<int32_t> most(scratch, n);
    sort.run(keys, values, sorted_keys, sorted_values);
    add.run(values, sums);
    most.run(values, largest);
  });
}
