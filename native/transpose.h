// Between rows in memory (one robot after another) and lanes (one number of all robots).
#pragma once

#include "number.h"

namespace walkies::WALKIES_NS {

// Reads `count` numbers of each lane's row: out[c] holds number c of every row.
template <class V>
WALKIES_INLINE void load_rows(const Scalar<V>* data, const int64_t row[], int count, V* out, int stride = 0) {
  constexpr int lanes = Number<V>::lanes;
  const int64_t step = stride ? stride : count;
  Scalar<V>* to = reinterpret_cast<Scalar<V>*>(out);
  for (int i = 0; i < lanes; i++) {
    const Scalar<V>* from = data + row[i] * step;
    for (int c = 0; c < count; c++) to[c * lanes + i] = from[c];
  }
}

// Writes the first `used` lanes as rows `first`, `first` + 1, …
template <class V>
WALKIES_INLINE void store_rows(const V* in, int count, int64_t first, int used, Scalar<V>* data) {
  constexpr int lanes = Number<V>::lanes;
  const Scalar<V>* from = reinterpret_cast<const Scalar<V>*>(in);
  for (int i = 0; i < used; i++) {
    Scalar<V>* to = data + (first + i) * count;
    for (int c = 0; c < count; c++) to[c] = from[c * lanes + i];
  }
}

}  // namespace walkies::WALKIES_NS
