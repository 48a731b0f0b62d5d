// Number types: a vector of float lanes (one robot per lane), or a plain double.
//
// Everything here and in the headers that build on it lives in a namespace of its own per instruction set
// (WALKIES_NS), and uses no function of the C++ standard library: the linker merges equal inline functions, and an
// AVX-512 copy must never stand in for the baseline's.
#pragma once

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef WALKIES_NS
#define WALKIES_NS baseline
#endif
#ifndef WALKIES_LANES
#define WALKIES_LANES 4
#endif

#define WALKIES_INLINE inline __attribute__((always_inline))
#define WALKIES_NOINLINE __attribute__((noinline))
#if defined(__clang__)
#define WALKIES_UNROLL _Pragma("clang loop unroll(full)")
#define WALKIES_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define WALKIES_UNROLL _Pragma("GCC unroll 16")
#define WALKIES_NO_UNROLL _Pragma("GCC unroll 1")
#endif

namespace walkies::WALKIES_NS {

typedef float Lanes __attribute__((vector_size(4 * WALKIES_LANES)));
typedef int32_t LaneMask __attribute__((vector_size(4 * WALKIES_LANES)));

// Scalar type, mask type and lane count of a number type.
template <class V>
struct Number;

template <>
struct Number<Lanes> {
  using Scalar = float;
  using Mask = LaneMask;
  static constexpr int lanes = WALKIES_LANES;
};

template <>
struct Number<double> {
  using Scalar = double;
  using Mask = bool;
  static constexpr int lanes = 1;
};

template <class V>
using Scalar = typename Number<V>::Scalar;
template <class V>
using Mask = typename Number<V>::Mask;

template <class V>
WALKIES_INLINE V splat(Scalar<V> s) {
  return s - V{};
}

template <class V>
WALKIES_INLINE V min(V a, V b) {
  return a < b ? a : b;
}
template <class V>
WALKIES_INLINE V max(V a, V b) {
  return a > b ? a : b;
}
template <class V>
WALKIES_INLINE V clamp(V x, V low, V high) {
  return min(max(x, low), high);
}

WALKIES_INLINE double abs(double a) { return __builtin_fabs(a); }
WALKIES_INLINE Lanes abs(Lanes a) { return (Lanes)((LaneMask)a & 0x7fffffff); }

WALKIES_INLINE bool lanes_not(bool a) { return !a; }
WALKIES_INLINE LaneMask lanes_not(LaneMask a) { return ~a; }

// `a` where the mask holds, else zero.
WALKIES_INLINE double keep(bool m, double a) { return m ? a : 0.0; }
WALKIES_INLINE Lanes keep(LaneMask m, Lanes a) { return (Lanes)(m & (LaneMask)a); }

WALKIES_INLINE bool any(bool m) { return m; }
WALKIES_INLINE bool any(LaneMask m) {
#if defined(__AVX512F__) && WALKIES_LANES == 16
  return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif defined(__AVX__) && WALKIES_LANES == 8
  return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#elif defined(__SSE2__) && WALKIES_LANES == 4
  return _mm_movemask_ps((__m128)m) != 0;
#elif defined(__aarch64__) && WALKIES_LANES == 4
  return vmaxvq_u32((uint32x4_t)m) != 0;
#else
  int32_t bits = 0;
  for (int i = 0; i < WALKIES_LANES; i++) bits |= m[i];
  return bits != 0;
#endif
}

WALKIES_INLINE double sqrt(double a) { return __builtin_sqrt(a); }
WALKIES_INLINE Lanes sqrt(Lanes a) {
#if defined(__AVX512F__) && WALKIES_LANES == 16
  return (Lanes)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX__) && WALKIES_LANES == 8
  return (Lanes)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__) && WALKIES_LANES == 4
  return (Lanes)_mm_sqrt_ps((__m128)a);
#else
  Lanes r;
  for (int i = 0; i < WALKIES_LANES; i++) r[i] = __builtin_sqrtf(a[i]);
  return r;
#endif
}

// x^p, lane by lane: only for impedance curves of unusual power.
WALKIES_INLINE double power(double x, double p) { return __builtin_pow(x, p); }
WALKIES_INLINE Lanes power(Lanes x, Lanes p) {
  Lanes r;
  for (int i = 0; i < WALKIES_LANES; i++) r[i] = __builtin_powf(x[i], p[i]);
  return r;
}

template <class V>
struct SinCos {
  V sin, cos;
};

WALKIES_INLINE SinCos<double> sincos(double x) { return {__builtin_sin(x), __builtin_cos(x)}; }

// Cephes' single-precision polynomials after a two-part reduction by π/2; good to 1e-7 for |x| up to some thousands.
WALKIES_INLINE SinCos<Lanes> sincos(Lanes x) {
  // Adding and taking away 1.5·2²³ rounds to the nearest integer; the integer's low bits name the quadrant.
  const float round = 12582912.0f;
  Lanes shifted = x * 0.636619772367581f + round;
  LaneMask quadrant = (LaneMask)shifted;
  Lanes n = shifted - round;
  Lanes r = x - n * 1.5707963705062866f;
  r = r + n * 4.371139000186241e-8f;
  Lanes r2 = r * r;
  Lanes s = r + r * r2 * (-1.6666654611e-1f + r2 * (8.3321608736e-3f - r2 * 1.9515295891e-4f));
  Lanes c = 1.0f - 0.5f * r2 + r2 * r2 * (4.166664568298827e-2f + r2 * (-1.388731625493765e-3f + r2 * 2.443315711809948e-5f));
  LaneMask odd = (quadrant & 1) != 0;
  Lanes sin = odd ? c : s, cos = odd ? s : c;
  LaneMask sin_sign = (quadrant & 2) << 30, cos_sign = ((quadrant + 1) & 2) << 30;
  return {(Lanes)((LaneMask)sin ^ sin_sign), (Lanes)((LaneMask)cos ^ cos_sign)};
}

}  // namespace walkies::WALKIES_NS
