// Vectors of lanes from and to memory, whole or in part.
#pragma once

#include "number.h"

#define WALKIES_STRING_(x) #x
#define WALKIES_STRING(x) WALKIES_STRING_(x)

namespace walkies::WALKIES_NS {

typedef float LooseLanes __attribute__((vector_size(4 * WALKIES_LANES), aligned(4), may_alias));

WALKIES_INLINE Lanes load(const float* p) { return *reinterpret_cast<const LooseLanes*>(p); }
WALKIES_INLINE void store(float* p, Lanes v) { *reinterpret_cast<LooseLanes*>(p) = v; }

// The first `count` numbers, and zeros; nothing behind them is read.
WALKIES_INLINE Lanes load_some(const float* p, int64_t count) {
  if (count >= WALKIES_LANES) return load(p);
#if defined(__AVX512F__) && WALKIES_LANES == 16
  return count <= 0 ? Lanes{} : (Lanes)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p);
#else
  Lanes v = {};
  for (int64_t j = 0; j < count; j++) v[j] = p[j];
  return v;
#endif
}

// The first `count` numbers of a vector.
WALKIES_INLINE void store_some(float* p, Lanes v, int64_t count) {
  if (count >= WALKIES_LANES) return store(p, v);
  for (int64_t j = 0; j < count; j++) p[j] = v[j];
}

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace walkies::WALKIES_NS
