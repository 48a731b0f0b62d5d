// Factor and solution of a symmetric matrix that has entries beyond a tree's pattern: those of two branches whose links
// touch one another, and what elimination adds to them.
//
// The order of elimination is the tree's, from the tips inwards, so that it adds entries nowhere but among the joints of
// branches that touch. Which these are is found anew for every physics step and is the same for all lanes; in a lane
// that has no such contact the further entries are zeros, and adding products of zeros changes no bit of the others.
#pragma once

#include "chain_factor.h"

namespace walkies::WALKIES_NS {

constexpr int kMaxSize = 6 + kMaxJoints;
static_assert(kMaxSize <= 64, "a row's pattern is a 64-bit mask");

// Where a matrix has entries: for each row the columns before the diagonal. The first six are always among them.
struct Pattern {
  uint64_t mask[kMaxSize];
  int count[kMaxSize];                 // beyond the first six
  uint8_t column[kMaxSize][kMaxJoints];  // those, in ascending order
};

inline void start_pattern(const Tree& t, Pattern& p) {
  for (int i = 0; i < 6; i++) p.mask[i] = (uint64_t(1) << i) - 1;
  for (int j = 0; j < t.joints; j++) {
    p.mask[6 + j] = 63;
    for (int k = 0; k < t.depth[j]; k++) p.mask[6 + j] |= uint64_t(1) << (6 + t.path[j][k]);
  }
}

// Every two of these joints have an entry, for they share a row of a Jacobian.
inline void couple(Pattern& p, int count, const int* joint) {
  uint64_t all = 0;
  for (int i = 0; i < count; i++) all |= uint64_t(1) << (6 + joint[i]);
  for (int i = 0; i < count; i++) p.mask[6 + joint[i]] |= all & ((uint64_t(1) << (6 + joint[i])) - 1);
}

// Adds what elimination adds.
inline void finish_pattern(const Tree& t, Pattern& p) {
  for (int i = 5 + t.joints; i >= 6; i--) {
    p.count[i] = 0;
    for (int j = 6; j < i; j++) {
      const uint64_t bit = uint64_t(1) << j;
      if (!(p.mask[i] & bit)) continue;
      p.column[i][p.count[i]++] = uint8_t(j);
      p.mask[j] |= p.mask[i] & (bit - 1);
    }
  }
}

// Row i of a dense packed triangle.
template <class V>
WALKIES_INLINE V* dense_row(V* a, int i) {
  return a + triangle(i);
}

// A tree's matrix with zeros where the pattern has further entries.
template <class V>
WALKIES_NOINLINE void expand(const Tree& t, const Pattern& p, const V* h, V* a) {
  for (int i = 0; i < triangle(6); i++) a[i] = h[i];
  for (int j = 0; j < t.joints; j++) {
    const V* from = h + t.row[j];
    V* to = dense_row(a, 6 + j);
    for (int k = 0; k < p.count[6 + j]; k++) to[p.column[6 + j][k]] = V{};
    for (int k = 0; k < 6; k++) to[k] = from[k];
    for (int k = 0; k <= t.depth[j]; k++) to[6 + t.path[j][k]] = from[6 + k];
  }
}

// In place: a becomes its factor Lᵀ D L, with the inverse of D on the diagonal.
template <class V>
WALKIES_NOINLINE void factor_filled(const Tree& t, const Pattern& p, V* a) {
  V lower[kMaxSize];
  for (int i = 5 + t.joints; i >= 6; i--) {
    V* row = dense_row(a, i);
    const int count = p.count[i];
    const uint8_t* column = p.column[i];
    const V inverse = Scalar<V>(1) / row[i];
    WALKIES_UNROLL for (int j = 0; j < 6; j++) lower[j] = row[j] * inverse;
    for (int n = 0; n < count; n++) lower[column[n]] = row[column[n]] * inverse;
    WALKIES_UNROLL for (int j = 0; j < 6; j++) {
      V* to = dense_row(a, j);
      WALKIES_UNROLL for (int k = 0; k <= j; k++) to[k] -= lower[j] * row[k];
    }
    for (int n = 0; n < count; n++) {
      V* to = dense_row(a, column[n]);
      const V l = lower[column[n]];
      WALKIES_UNROLL for (int k = 0; k < 6; k++) to[k] -= l * row[k];
      for (int k = 0; k <= n; k++) to[column[k]] -= l * row[column[k]];
    }
    WALKIES_UNROLL for (int j = 0; j < 6; j++) row[j] = lower[j];
    for (int n = 0; n < count; n++) row[column[n]] = lower[column[n]];
    row[i] = inverse;
  }
  factor_base(a);
}

// In place: x becomes the solution for the right-hand side x; a holds a factor.
template <class V>
WALKIES_NOINLINE void solve_filled(const Tree& t, const Pattern& p, const V* a, V* x) {
  for (int i = 5 + t.joints; i >= 6; i--) {
    const V* row = a + triangle(i);
    const V u = x[i];
    WALKIES_UNROLL for (int j = 0; j < 6; j++) x[j] -= row[j] * u;
    for (int n = 0; n < p.count[i]; n++) x[p.column[i][n]] -= row[p.column[i][n]] * u;
    x[i] = u * row[i];
  }
  solve_base(a, x);
  for (int i = 6; i < 6 + t.joints; i++) {
    const V* row = a + triangle(i);
    V u = x[i];
    WALKIES_UNROLL for (int j = 0; j < 6; j++) u -= row[j] * x[j];
    for (int n = 0; n < p.count[i]; n++) u -= row[p.column[i][n]] * x[p.column[i][n]];
    x[i] = u;
  }
}

}  // namespace walkies::WALKIES_NS
