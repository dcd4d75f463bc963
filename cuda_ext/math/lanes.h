// The lane type F of the math headers: `float` in a CUDA thread, a vector of NK_LANES floats on a CPU.
//
// Every header in this folder is a template on F and uses only +, -, *, /, comparisons and the functions
// below, which exist for `float` (host and device) and for `Lanes` (host). Vectors are GCC/Clang vector
// extensions: the same source compiles to SSE, AVX2, AVX-512 and NEON.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(NK_LANES) && defined(__SSE2__)
#include <immintrin.h>
#endif

#ifdef __CUDACC__
#define NK_HD __host__ __device__ __forceinline__
#define NK_INLINE
#else
#define NK_HD inline __attribute__((always_inline))
#define NK_INLINE __attribute__((always_inline))  // of a lambda, behind its parameters
#endif

namespace nk {

// --- scalar lane -----------------------------------------------------------------------------------------

NK_HD float select(bool mask, float a, float b) { return mask ? a : b; }
NK_HD float min(float a, float b) { return a < b ? a : b; }
NK_HD float max(float a, float b) { return a > b ? a : b; }
NK_HD bool both(bool a, bool b) { return a && b; }
NK_HD bool any(bool mask) { return mask; }
NK_HD float gather(const float *p, int index) { return p[index]; }
NK_HD float sqrt(float a) { return __builtin_sqrtf(a); }

// a b + c, on a GPU always rounded once. Where two kernels must agree to the last bit (one counts what the other
// writes), every product that is added to something goes through here: which ones a compiler fuses by itself may depend
// on what is around them.
NK_HD float fused(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return a * b + c;
#endif
}

NK_HD int bits_of(float a) {
#ifdef __CUDA_ARCH__
  return __float_as_int(a);
#else
  int b;
  std::memcpy(&b, &a, 4);
  return b;
#endif
}
NK_HD float float_of_bits(int a) {
#ifdef __CUDA_ARCH__
  return __int_as_float(a);
#else
  float b;
  std::memcpy(&b, &a, 4);
  return b;
#endif
}
NK_HD float to_float(int a) { return static_cast<float>(a); }
NK_HD int to_int(float a) { return static_cast<int>(a); }  // towards zero
NK_HD int wrapping_product(int a, unsigned b) { return static_cast<int>(static_cast<unsigned>(a) * b); }
NK_HD int shift_left(int a, int by) { return static_cast<int>(static_cast<unsigned>(a) << by); }

// --- vector lanes ----------------------------------------------------------------------------------------

#ifdef NK_LANES
constexpr int kLanes = NK_LANES;
typedef float Lanes __attribute__((vector_size(4 * NK_LANES)));
typedef int IntLanes __attribute__((vector_size(4 * NK_LANES)));

NK_HD Lanes select(IntLanes mask, Lanes a, Lanes b) { return mask ? a : b; }

// Compilers do not turn a < b ? a : b into one instruction, since their rules for NaN differ; here they do not matter
// (both give b then, as the scalar functions above do).
#if defined(__AVX512F__) && NK_LANES == 16
NK_HD Lanes min(Lanes a, Lanes b) { return Lanes(_mm512_min_ps(__m512(a), __m512(b))); }
NK_HD Lanes max(Lanes a, Lanes b) { return Lanes(_mm512_max_ps(__m512(a), __m512(b))); }
#elif defined(__AVX__) && NK_LANES == 8
NK_HD Lanes min(Lanes a, Lanes b) { return Lanes(_mm256_min_ps(__m256(a), __m256(b))); }
NK_HD Lanes max(Lanes a, Lanes b) { return Lanes(_mm256_max_ps(__m256(a), __m256(b))); }
#elif defined(__SSE2__) && NK_LANES == 4
NK_HD Lanes min(Lanes a, Lanes b) { return Lanes(_mm_min_ps(__m128(a), __m128(b))); }
NK_HD Lanes max(Lanes a, Lanes b) { return Lanes(_mm_max_ps(__m128(a), __m128(b))); }
#else
NK_HD Lanes min(Lanes a, Lanes b) { return a < b ? a : b; }
NK_HD Lanes max(Lanes a, Lanes b) { return a > b ? a : b; }
#endif
NK_HD Lanes min(Lanes a, float b) { return min(a, Lanes{} + b); }
NK_HD Lanes max(Lanes a, float b) { return max(a, Lanes{} + b); }
NK_HD IntLanes both(IntLanes a, IntLanes b) { return a & b; }
NK_HD Lanes sqrt(Lanes a) {
  Lanes out;
  for (int i = 0; i < kLanes; ++i) out[i] = __builtin_sqrtf(a[i]);
  return out;
}
NK_HD IntLanes bits_of(Lanes a) { return reinterpret_cast<IntLanes>(a); }
NK_HD Lanes float_of_bits(IntLanes a) { return reinterpret_cast<Lanes>(a); }
NK_HD Lanes to_float(IntLanes a) { return __builtin_convertvector(a, Lanes); }
NK_HD IntLanes to_int(Lanes a) { return __builtin_convertvector(a, IntLanes); }
NK_HD IntLanes wrapping_product(IntLanes a, unsigned b) {
  typedef unsigned UnsignedLanes __attribute__((vector_size(4 * NK_LANES)));
  return reinterpret_cast<IntLanes>(reinterpret_cast<UnsignedLanes>(a) * b);
}
NK_HD IntLanes shift_left(IntLanes a, int by) { return a << by; }

NK_HD Lanes load(const float *p) {
  Lanes out;
  std::memcpy(&out, p, sizeof(out));
  return out;
}
NK_HD void store(float *p, Lanes a) { std::memcpy(p, &a, sizeof(a)); }

// Writes a whole vector's place past the caches: what was there isn't read first, and nothing else makes way for it.
// Other threads see it after `finish_stores_past_caches` in this one.
NK_HD void store_past_caches(float *p, Lanes a) {
#if defined(__AVX512F__) && NK_LANES == 16
  _mm512_stream_ps(p, __m512(a));
#elif defined(__AVX__) && NK_LANES == 8
  _mm256_stream_ps(p, __m256(a));
#elif defined(__SSE2__) && NK_LANES == 4
  _mm_stream_ps(p, __m128(a));
#else
  store(p, a);
#endif
}
NK_HD void finish_stores_past_caches() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

// The lanes p[0], p[stride], p[2 stride]…; the first `count` of them, zero in the rest.
NK_HD Lanes load_strided(const float *p, int64_t stride, int count) {
  Lanes out = {};
  if (count == kLanes) {
    for (int i = 0; i < kLanes; ++i) out[i] = p[i * stride];
  } else {
    for (int i = 0; i < count; ++i) out[i] = p[i * stride];
  }
  return out;
}
NK_HD void store_strided(float *p, int64_t stride, int count, Lanes a) {
  if (count == kLanes) {
    for (int i = 0; i < kLanes; ++i) p[i * stride] = a[i];
  } else {
    for (int i = 0; i < count; ++i) p[i * stride] = a[i];
  }
}

// The first `count` numbers from p on, zero in the lanes past them.
NK_HD Lanes load_part(const float *p, int count) {
#if defined(__AVX512F__) && NK_LANES == 16
  return Lanes(_mm512_maskz_loadu_ps((1u << count) - 1u, p));
#else
  return count == kLanes ? load(p) : load_strided(p, 1, count);
#endif
}
NK_HD void store_part(float *p, int count, Lanes a) {
#if defined(__AVX512F__) && NK_LANES == 16
  _mm512_mask_storeu_ps(p, (1u << count) - 1u, __m512(a));
#else
  if (count == kLanes)
    store(p, a);
  else
    store_strided(p, 1, count, a);
#endif
}

// Lanes from number kFrom on of a and b laid end to end.
template <int kFrom, int... kLane>
NK_HD Lanes window(Lanes a, Lanes b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, (kFrom + kLane)...);
}
template <int kFrom>
NK_HD Lanes window(Lanes a, Lanes b) {
  return window<kFrom>(a, b, std::make_integer_sequence<int, kLanes>{});
}

// The lanes p[index[0]], p[index[1]]…
NK_HD Lanes gather(const float *p, IntLanes index) {
#if defined(__AVX512F__) && NK_LANES == 16
  return Lanes(_mm512_i32gather_ps(__m512i(index), p, 4));
#elif defined(__AVX2__) && NK_LANES == 8
  return Lanes(_mm256_i32gather_ps(p, __m256i(index), 4));
#else
  Lanes out;
  for (int i = 0; i < kLanes; ++i) out[i] = p[index[i]];
  return out;
#endif
}

// The lanes p[index[0]]… and their right neighbours p[index[0] + 1]…: pairs cost hardly more than single numbers.
NK_HD void gather_pairs(const float *p, IntLanes index, Lanes *left, Lanes *right) {
#if defined(__AVX512F__) && NK_LANES == 16
  const __m512i at = __m512i(index);
  const __m512 low = _mm512_castpd_ps(_mm512_i32gather_pd(_mm512_castsi512_si256(at), p, 4));
  const __m512 high = _mm512_castpd_ps(_mm512_i32gather_pd(_mm512_extracti64x4_epi64(at, 1), p, 4));
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  *left = Lanes(_mm512_permutex2var_ps(low, even, high));
  *right = Lanes(_mm512_permutex2var_ps(low, _mm512_or_si512(even, _mm512_set1_epi32(1)), high));
#else
  *left = gather(p, index);
  *right = gather(p + 1, index);
#endif
}

NK_HD float sum(Lanes a) {
  float out = 0;
  for (int i = 0; i < kLanes; ++i) out += a[i];
  return out;
}

// Whether any lane of a mask is set.
NK_HD bool any(IntLanes mask) {
#if defined(__AVX512F__) && NK_LANES == 16
  return _mm512_test_epi32_mask(__m512i(mask), __m512i(mask)) != 0;
#else
  typedef int64_t LongLanes __attribute__((vector_size(4 * NK_LANES)));
  const LongLanes pairs = reinterpret_cast<LongLanes>(mask);
  int64_t out = 0;
  for (int i = 0; i < kLanes / 2; ++i) out |= pairs[i];
  return out != 0;
#endif
}

// Swaps bit `kBit` of the lane's number with the choice between two vectors: a[.1.] and b[.0.] change places.
template <int kBit, int... kLane>
NK_HD void swap_bit(Lanes &low, Lanes &high, std::integer_sequence<int, kLane...>) {
  const Lanes a = low, b = high;
  low = __builtin_shufflevector(a, b, ((kLane & kBit) ? kLane - kBit + kLanes : kLane)...);
  high = __builtin_shufflevector(a, b, ((kLane & kBit) ? kLane + kLanes : kLane + kBit)...);
}
template <int kBit>
NK_HD void swap_bit(Lanes &low, Lanes &high) {
  swap_bit<kBit>(low, high, std::make_integer_sequence<int, kLanes>{});
}

// Of kCount vectors: lane i holds v[i % kCount], summed over the lanes whose numbers are alike from bit kCount on.
template <int kCount>
NK_HD Lanes folded(const Lanes *v) {
  if constexpr (kCount == 1) {
    return *v;
  } else {
    Lanes low = folded<kCount / 2>(v), high = folded<kCount / 2>(v + kCount / 2);
    swap_bit<kCount / 2>(low, high);
    return low + high;
  }
}

// The vector whose lane i is the sum over the lanes of v[i].
NK_HD Lanes lane_sums(const Lanes *v) { return folded<kLanes>(v); }

// Of two vectors: out[i] += the sum over the lanes of v[i].
template <int kBit = 2>
NK_HD void add_pair_sums(Lanes folded_pair, float *out) {
  if constexpr (kBit < kLanes) {
    Lanes low = folded_pair, high = folded_pair;
    swap_bit<kBit>(low, high);
    add_pair_sums<2 * kBit>(low + high, out);
  } else {
    out[0] += folded_pair[0];
    out[1] += folded_pair[1];
  }
}
#endif  // NK_LANES

template <class F>
NK_HD F abs(F x) {
  return float_of_bits(bits_of(x) & 0x7fffffff);
}

// 2^f for f in [-0.5, 0.5]: of the polynomials of degree 5 that are 1 at 0, the one whose largest relative error is the
// least there (1.1e-7, with these coefficients in single precision). Taylor's is off by 3.2e-6 at -0.5.
template <class F>
NK_HD F exp2_fraction(F f) {
  F p = f * 1.32647029e-3f + 9.67151299e-3f;
  p = p * f + 5.55073395e-2f;
  p = p * f + 2.40222424e-1f;
  p = p * f + 6.93147004e-1f;
  return p * f + 1.0f;
}

// 2^x for x in [-126, 127]: rounds x to an integer with the 1.5 * 2^23 trick, and adds it to the exponent bits of
// the fraction's power.
template <class F>
NK_HD F exp2(F x) {
  const F shifted = x + 12582912.0f;
  const F f = x - (shifted - 12582912.0f);
  return float_of_bits(bits_of(exp2_fraction(f)) + shift_left(bits_of(shifted), 23));
}

// 2^x, or 0 where that is no normal number; x < 128.
template <class F>
NK_HD F exp2_or_zero(F x) {
  return select(x >= -126.0f, exp2(x), F{});
}

#if defined(__AVX512F__) && NK_LANES == 16
// The same by the instructions made for it, for every x: below the normal numbers come the denormal ones, or zero where
// these are flushed.
NK_HD Lanes exp2(Lanes x) {
  const Lanes n = Lanes(_mm512_roundscale_ps(__m512(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)), f = x - n;
  return Lanes(_mm512_scalef_ps(__m512(exp2_fraction(f)), __m512(n)));
}
NK_HD Lanes exp2_or_zero(Lanes x) { return exp2(x); }
NK_HD float exp2_or_zero(float x) {
  const __m128 n = _mm_roundscale_ss(_mm_set_ss(x), _mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm_cvtss_f32(_mm_scalef_ss(_mm_set_ss(exp2_fraction(x - _mm_cvtss_f32(n))), n));
}
#endif

// 1 / x for normal x, to the last bit or two.
template <class F>
NK_HD F reciprocal(F x) {
  return 1.0f / x;
}
#if defined(__AVX512F__) && NK_LANES == 16
// A guess of 14 bits and a step of Newton's method: a fourth of the time of a division.
NK_HD Lanes reciprocal(Lanes x) {
  const Lanes guess = Lanes(_mm512_rcp14_ps(__m512(x)));
  return guess + guess * (1.0f - x * guess);
}
#endif

#ifdef __CUDACC__
// By the GPU's own instructions, which are good to 2^-22. The host has no use for them.
NK_HD float exp2_or_zero(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return select(x >= -126.0f, exp2(x), 0.0f);
#endif
}
NK_HD float reciprocal(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return 1.0f / x;
#endif
}
#endif

// The square root of x >= 0, on a GPU to the last bit or two.
NK_HD float quick_sqrt(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return sqrt(x);
#endif
}

// log2(x) for normal x > 0: exponent bits, and log2(m) = (2 / ln 2) atanh((m - 1) / (m + 1)) for the mantissa
// m in [sqrt(1/2), sqrt(2)) by its series to the ninth power (absolute error 1e-7).
template <class F>
NK_HD F log2(F x) {
  const auto bits = bits_of(x);
  const auto exponent = (bits - 0x3f3504f3) >> 23;
  const F m = float_of_bits(bits - shift_left(exponent, 23));
  const F s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
  const F series = 2.8853901f + s2 * (0.96179669f + s2 * (0.57707802f + s2 * (0.41219859f + s2 * 0.32059890f)));
  return to_float(exponent) + s * series;
}

// sin x and cos x (absolute error 1.2e-7 for |x| < 1.2e4, 5e-7 for |x| < 5e4): takes off n pi / 2, with n the nearest
// whole number, and evaluates polynomials of degree 7 and 8 for the rest r in [-pi/4, pi/4]. pi / 2 comes in three
// parts, of 8, 11 and 24 bits (Cody & Waite 1980, chapter 8): n times each of the first two is exact up to n = 2^13,
// also without fused multiply-add. The bounds of r matter only where x is so large that nothing is left of the angle.
template <class F>
NK_HD void sin_cos(F x, F *sine, F *cosine) {
  const F shifted = x * 0.636619772f + 12582912.0f;  // n in the low bits, as in exp2
  const F n = shifted - 12582912.0f;
  const F rest = ((x - n * 1.5703125f) - n * 4.83751297e-4f) - n * 7.54978995e-8f;
  const F r = min(max(rest, -1.0f), F{} + 1.0f), z = r * r;
  const F s = r + r * z * (-0.16666665f + z * (8.33274827e-3f - z * 1.95878909e-4f));
  const F c = 1.0f - 0.5f * z + z * z * (0.041666664f + z * (-1.3888303e-3f + z * 2.45479421e-5f));
  // Each quarter turn sends (sin, cos) to (cos, -sin).
  const auto n_bits = bits_of(shifted);
  const auto odd = (n_bits & 1) != 0;
  *sine = float_of_bits(bits_of(select(odd, c, s)) ^ shift_left(n_bits & 2, 30));
  *cosine = float_of_bits(bits_of(select(odd, s, c)) ^ shift_left((n_bits + 1) & 2, 30));
}

}  // namespace nk
