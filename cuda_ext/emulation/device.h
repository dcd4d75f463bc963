// The words of CUDA C++ that kernels use, as g++ can compile them. What is not here, kernels do without.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "engine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define NK_DEVICE inline
// Not watched by the check for races: it knows of atomics by other means.
#define NK_ATOMIC inline __attribute__((no_sanitize("thread"), noinline))

#define NK_SHARED(type, name, count)     \
  static const char name##_declared = 0; \
  type *const name = static_cast<type *>(nk::emulation::shared_array(&name##_declared, #name, sizeof(type) * (count)))
#define NK_DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(nk::emulation::dynamic_shared())

#define NK_LAUNCH(kernel, grid, block, shared_bytes, ...) \
  nk::emulation::launch_with(                             \
      #kernel, grid, block, shared_bytes, [&](auto... arguments) { kernel(arguments...); }, __VA_ARGS__)

// --- what stands behind these words ------------------------------------------------------------------------

template <class To, class From>
To nk_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To out;
  std::memcpy(&out, &x, sizeof(out));
  return out;
}

namespace nk {

void require_scratch();

namespace emulation {

template <class Kernel, class... Arguments>
void launch_with(const char *name, dim3 grid, dim3 block, int64_t shared_bytes, Kernel kernel, Arguments... arguments) {
  require_scratch();
  auto run = [&] { kernel(arguments...); };  // each thread gets copies of its own
  launch(name, grid, block, shared_bytes, [](void *context) { (*static_cast<decltype(run) *>(context))(); }, &run);
}

struct Exchange {
  uint64_t value;
  int source;
  uint64_t result;
};

inline void complete_shuffle(void *const *lanes, unsigned mask) {
  for (int i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    Exchange *lane = static_cast<Exchange *>(lanes[i]);
    if (!(mask >> lane->source & 1))
      fail("lane " + std::to_string(i) + " reads from lane " + std::to_string(lane->source) +
           " in a shuffle, which is not in the mask");
    lane->result = static_cast<Exchange *>(lanes[lane->source])->value;
  }
}

inline void complete_ballot(void *const *lanes, unsigned mask) {
  for (int i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    Exchange *lane = static_cast<Exchange *>(lanes[i]);
    lane->result = 0;
    for (int j = 0; j < 32; ++j)
      if ((mask >> j & 1) && static_cast<Exchange *>(lanes[j])->value != 0) lane->result |= 1u << j;
  }
}

inline void complete_match(void *const *lanes, unsigned mask) {
  for (int i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    Exchange *lane = static_cast<Exchange *>(lanes[i]);
    lane->result = 0;
    for (int j = 0; j < 32; ++j)
      if ((mask >> j & 1) && static_cast<Exchange *>(lanes[j])->value == lane->value) lane->result |= 1u << j;
  }
}

inline void complete_sync(void *const *, unsigned mask) { watch_warp_barrier(thread_in_block() / 32, mask); }
inline void complete_nothing(void *const *, unsigned) {}

inline uint64_t exchange(const char *name, Site at, unsigned mask, uint64_t value, int source, Complete complete) {
  Exchange mine = {value, source, 0};
  meet_lanes(name, at, mask, &mine, complete);
  return mine.result;
}

template <class T>
T shuffle(const char *name, Site at, unsigned mask, T value, int source) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(name, at, mask, bits, source, complete_shuffle);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned ballot(const char *name, Site at, unsigned mask, bool value) {
  return static_cast<unsigned>(exchange(name, at, mask, value, 0, complete_ballot));
}

template <class T>
unsigned match(Site at, unsigned mask, T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return static_cast<unsigned>(exchange("__match_any_sync", at, mask, bits, 0, complete_match));
}

// By its layout a fault note (cuda/fault.h); the first one stays.
template <class Fault>
NK_ATOMIC void note_fault(Fault *note, const Fault &fault) {
  if (!note->kind) *note = fault;
}

}  // namespace emulation
}  // namespace nk

// --- vectors -----------------------------------------------------------------------------------------------

#define NK_VECTORS(name, T, two, four)                       \
  struct alignas(two) name##2 { T x, y; };                   \
  struct alignas(four) name##4 { T x, y, z, w; };            \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
NK_VECTORS(float, float, 8, 16)
NK_VECTORS(int, int, 8, 16)
NK_VECTORS(uint, unsigned, 8, 16)
#undef NK_VECTORS
struct float3 {
  float x, y, z;
};
struct int3 {
  int x, y, z;
};
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

// --- numbers -----------------------------------------------------------------------------------------------

template <class T>
T __ldg(const T *p) {
  return *p;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline unsigned __brev(unsigned x) {
  unsigned out = 0;
  for (int i = 0; i < 32; ++i) out |= (x >> i & 1) << (31 - i);
  return out;
}
inline int __float_as_int(float x) { return nk_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return nk_bits<unsigned>(x); }
inline float __int_as_float(int x) { return nk_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return nk_bits<float>(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __frsqrt_rn(float x) { return 1.0f / std::sqrt(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

// --- barriers and warps ------------------------------------------------------------------------------------

inline void __syncthreads(nk::emulation::Site at = nk::emulation::Site::here()) {
  nk::emulation::sync_block(at, false);
}
inline int __syncthreads_count(int predicate, nk::emulation::Site at = nk::emulation::Site::here()) {
  return nk::emulation::sync_block(at, predicate != 0);
}
inline int __syncthreads_or(int predicate, nk::emulation::Site at = nk::emulation::Site::here()) {
  return nk::emulation::sync_block(at, predicate != 0) > 0;
}
inline int __syncthreads_and(int predicate, nk::emulation::Site at = nk::emulation::Site::here()) {
  return nk::emulation::sync_block(at, predicate == 0) == 0;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// Orders the memory of its lanes. The other warp functions don't, here as in CUDA.
inline void __syncwarp(unsigned mask = 0xffffffffu, nk::emulation::Site at = nk::emulation::Site::here()) {
  nk::emulation::meet_lanes("__syncwarp", at, mask, nullptr, nk::emulation::complete_sync);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, nk::emulation::Site at = nk::emulation::Site::here()) {
  const int own = nk::emulation::thread_in_block() % 32;
  return nk::emulation::shuffle("__shfl_sync", at, mask, value, (own & -width) | (lane & (width - 1)));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 nk::emulation::Site at = nk::emulation::Site::here()) {
  const int own = nk::emulation::thread_in_block() % 32, from = own - static_cast<int>(delta);
  return nk::emulation::shuffle("__shfl_up_sync", at, mask, value, from < (own & -width) ? own : from);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   nk::emulation::Site at = nk::emulation::Site::here()) {
  const int own = nk::emulation::thread_in_block() % 32, from = own + static_cast<int>(delta);
  return nk::emulation::shuffle("__shfl_down_sync", at, mask, value, from >= (own & -width) + width ? own : from);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32,
                  nk::emulation::Site at = nk::emulation::Site::here()) {
  const int own = nk::emulation::thread_in_block() % 32, from = own ^ with;
  return nk::emulation::shuffle("__shfl_xor_sync", at, mask, value, from >= (own & -width) + width ? own : from);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, nk::emulation::Site at = nk::emulation::Site::here()) {
  return nk::emulation::ballot("__ballot_sync", at, mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate, nk::emulation::Site at = nk::emulation::Site::here()) {
  return nk::emulation::ballot("__any_sync", at, mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate, nk::emulation::Site at = nk::emulation::Site::here()) {
  return nk::emulation::ballot("__all_sync", at, mask, predicate != 0) == mask;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, nk::emulation::Site at = nk::emulation::Site::here()) {
  return nk::emulation::match(at, mask, value);
}

// --- atomics -----------------------------------------------------------------------------------------------

// The value's type comes from the pointer's, as from CUDA's overloads.
#define NK_ATOMICS(name, T, result)                \
  NK_ATOMIC T name(T *p, T v) {                    \
    nk::emulation::touch_atomically(p, sizeof(T)); \
    const T old = *p;                              \
    *p = result;                                   \
    return old;                                    \
  }
#define NK_ATOMICS_OF(T)                           \
  NK_ATOMICS(atomicMax, T, old > v ? old : v)      \
  NK_ATOMICS(atomicMin, T, old < v ? old : v)      \
  NK_ATOMICS(atomicExch, T, v)                     \
  NK_ATOMICS(atomicOr, T, old | v)                 \
  NK_ATOMICS(atomicAnd, T, old &v)                 \
  NK_ATOMIC T atomicCAS(T *p, T compare, T v) {    \
    nk::emulation::touch_atomically(p, sizeof(T)); \
    const T old = *p;                              \
    if (old == compare) *p = v;                    \
    return old;                                    \
  }
NK_ATOMICS_OF(int)
NK_ATOMICS_OF(unsigned)
NK_ATOMICS_OF(unsigned long long)
NK_ATOMICS(atomicAdd, int, static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(v)))
NK_ATOMICS(atomicAdd, unsigned, old + v)
NK_ATOMICS(atomicAdd, unsigned long long, old + v)
NK_ATOMICS(atomicAdd, float, old + v)
NK_ATOMICS(atomicAdd, double, old + v)
NK_ATOMICS(atomicExch, float, v)
#undef NK_ATOMICS_OF
#undef NK_ATOMICS

// --- the host's side ---------------------------------------------------------------------------------------

namespace nk {

// An old GPU's shared memory; few blocks, so that kernels whose blocks stay have work for more than one round.
inline int64_t most_shared_bytes() { return 64 * 1024; }
template <class Kernel>
unsigned resident_blocks(Kernel *, int, int64_t) {
  return 3;
}

void begin_scratch();
void *take_scratch(int64_t bytes);
void end_scratch();
void require_scratch();

inline void fill_zero(void *to, int64_t bytes) {
  require_scratch();
  if (bytes) std::memset(to, 0, bytes);
}
inline void copy_on_device(void *to, const void *from, int64_t bytes) {
  require_scratch();
  if (bytes) std::memmove(to, from, bytes);
}
inline void copy_to_host(void *to, const void *from, int64_t bytes) { copy_on_device(to, from, bytes); }

}  // namespace nk
