// 16-bit floats under one name: CUDA's __half, or a struct of the same layout in the emulation. At the end, what both
// share.
#pragma once

#include "device.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>

namespace nk {
using half = ::__half;
using half2 = ::__half2;
NK_DEVICE half to_half(float x) { return __float2half_rn(x); }
NK_DEVICE float from_half(half x) { return __half2float(x); }
NK_DEVICE half2 to_half2(float x, float y) { return __floats2half2_rn(x, y); }
NK_DEVICE float2 from_half2(half2 x) { return __half22float2(x); }
}  // namespace nk

#else

namespace nk {
struct alignas(2) half {
  _Float16 bits;
};
struct alignas(4) half2 {
  half x, y;
};
inline half to_half(float x) { return {static_cast<_Float16>(x)}; }
inline float from_half(half x) { return static_cast<float>(x.bits); }
inline half2 to_half2(float x, float y) { return {to_half(x), to_half(y)}; }
inline float2 from_half2(half2 x) { return {from_half(x.x), from_half(x.y)}; }
}  // namespace nk

// Adds both numbers; each addition rounds.
NK_ATOMIC nk::half2 atomicAdd(nk::half2 *p, nk::half2 v) {
  nk::emulation::touch_atomically(p, sizeof(nk::half2));
  const nk::half2 old = *p;
  *p = nk::to_half2(nk::from_half(old.x) + nk::from_half(v.x), nk::from_half(old.y) + nk::from_half(v.y));
  return old;
}

#endif

namespace nk {

constexpr float kLargestHalf = 65504.0f;

// What overflows stays the largest half there is, NaN stays NaN.
NK_DEVICE half to_finite_half(float x) {
  return to_half(x > kLargestHalf ? kLargestHalf : x < -kLargestHalf ? -kLargestHalf : x);
}

// Two at once: one instruction in the place of nine where there is that, from sm_80 on and for nvcc 12.1 and newer.
NK_DEVICE half2 to_finite_half2(float x, float y) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 && __CUDACC_VER_MAJOR__ * 100 + __CUDACC_VER_MINOR__ >= 1201
  unsigned bits;
  asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(y), "f"(x));
  return *reinterpret_cast<half2 *>(&bits);
#else
  return {to_finite_half(x), to_finite_half(y)};
#endif
}

}  // namespace nk
