// Between rows in memory (one robot after another) and lanes (one number of all robots).
#pragma once

#include "number.h"

namespace walkies::WALKIES_NS {

// Transposes a square block in registers: lane j of row i becomes lane i of row j. At each stage pairs of rows that are
// `Stride` apart trade their halves.
template <int Stride>
WALKIES_INLINE void transpose_square(Lanes r[WALKIES_LANES]) {
  if constexpr (Stride > 0) {
    WALKIES_UNROLL for (int i = 0; i < WALKIES_LANES; i++) {
      if (i & Stride) continue;
      const Lanes a = r[i], b = r[i + Stride];
#define WALKIES_LOW(j) ((j) & Stride ? WALKIES_LANES + (j)-Stride : (j))
#define WALKIES_HIGH(j) ((j) & Stride ? WALKIES_LANES + (j) : (j) + Stride)
#define WALKIES_FOUR(f, j) f(j), f(j + 1), f(j + 2), f(j + 3)
#if WALKIES_LANES == 4
#define WALKIES_ALL(f) WALKIES_FOUR(f, 0)
#elif WALKIES_LANES == 8
#define WALKIES_ALL(f) WALKIES_FOUR(f, 0), WALKIES_FOUR(f, 4)
#else
#define WALKIES_ALL(f) WALKIES_FOUR(f, 0), WALKIES_FOUR(f, 4), WALKIES_FOUR(f, 8), WALKIES_FOUR(f, 12)
#endif
      r[i] = __builtin_shufflevector(a, b, WALKIES_ALL(WALKIES_LOW));
      r[i + Stride] = __builtin_shufflevector(a, b, WALKIES_ALL(WALKIES_HIGH));
    }
    transpose_square<Stride / 2>(r);
  }
}

typedef Lanes UnalignedLanes __attribute__((aligned(4)));

WALKIES_INLINE Lanes load_unaligned(const float* p) { return *reinterpret_cast<const UnalignedLanes*>(p); }
WALKIES_INLINE void store_unaligned(Lanes v, float* p) { *reinterpret_cast<UnalignedLanes*>(p) = v; }

// Reads `count` numbers of each lane's row: out[c] holds number c of every row. Rows are `stride` numbers long.
inline WALKIES_NOINLINE void load_rows(const float* data, const int64_t row[], int count, Lanes* out, int64_t stride) {
  const float* from[WALKIES_LANES];
  WALKIES_UNROLL for (int i = 0; i < WALKIES_LANES; i++) from[i] = data + row[i] * stride;
  int c = 0;
  while (c < count && count >= WALKIES_LANES) {
    // The last block overlaps the one before it, so that it does not read past the row.
    if (c + WALKIES_LANES > count) c = count - WALKIES_LANES;
    Lanes block[WALKIES_LANES];
    WALKIES_UNROLL for (int i = 0; i < WALKIES_LANES; i++) block[i] = load_unaligned(from[i] + c);
    transpose_square<WALKIES_LANES / 2>(block);
    WALKIES_UNROLL for (int i = 0; i < WALKIES_LANES; i++) out[c + i] = block[i];
    c += WALKIES_LANES;
  }
  for (; c < count; c++) {
    for (int i = 0; i < WALKIES_LANES; i++) out[c][i] = from[i][c];
  }
}

// Writes `count` numbers of the first `used` lanes into rows `first`, `first` + 1, …, which are `stride` numbers long.
inline WALKIES_NOINLINE void store_rows(const Lanes* in, int count, int64_t first, int used, float* data, int64_t stride) {
  float* to = data + first * stride;
  int c = 0;
  while (c < count && count >= WALKIES_LANES) {
    if (c + WALKIES_LANES > count) c = count - WALKIES_LANES;
    Lanes block[WALKIES_LANES];
    WALKIES_UNROLL for (int i = 0; i < WALKIES_LANES; i++) block[i] = in[c + i];
    transpose_square<WALKIES_LANES / 2>(block);
    if (used == WALKIES_LANES) {
      WALKIES_UNROLL for (int i = 0; i < WALKIES_LANES; i++) store_unaligned(block[i], to + i * stride + c);
    } else {
      for (int i = 0; i < used; i++) store_unaligned(block[i], to + i * stride + c);
    }
    c += WALKIES_LANES;
  }
  for (; c < count; c++) {
    for (int i = 0; i < used; i++) to[i * stride + c] = in[c][i];
  }
}

inline void load_rows(const double* data, const int64_t row[], int count, double* out, int64_t stride) {
  for (int c = 0; c < count; c++) out[c] = data[row[0] * stride + c];
}
inline void store_rows(const double* in, int count, int64_t first, int, double* data, int64_t stride) {
  for (int c = 0; c < count; c++) data[first * stride + c] = in[c];
}

// Rows of `count` numbers.
template <class V>
WALKIES_INLINE void store_rows(const V* in, int count, int64_t first, int used, Scalar<V>* data) {
  store_rows(in, count, first, used, data, count);
}

}  // namespace walkies::WALKIES_NS
