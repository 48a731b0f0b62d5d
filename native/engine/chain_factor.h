// Packed symmetric matrices of a tree (tree.h): products, factors and solutions, chain by chain.
//
// The factor is Lᵀ D L with the joints eliminated from the tips inwards: none of its entries lies outside the tree's
// pattern (Featherstone 2005, "Efficient factorization of the joint-space inertia matrix for branched kinematic trees").
#pragma once

#include "tree.h"

namespace walkies::WALKIES_NS {

// In place: a becomes its strictly lower factor, `inverse` the inverse of D.
template <class V, int N>
WALKIES_INLINE void factor_dense(V* a, V* inverse) {
  WALKIES_UNROLL for (int j = 0; j < N; j++) {
    inverse[j] = Scalar<V>(1) / a[packed(j, j)];
    // Column j still holds L·D; the columns to the right take their share before it is scaled.
    V scaled[N];
    WALKIES_UNROLL for (int i = j + 1; i < N; i++) scaled[i] = a[packed(i, j)] * inverse[j];
    WALKIES_UNROLL for (int i = j + 1; i < N; i++) {
      WALKIES_UNROLL for (int k = j + 1; k <= i; k++) a[packed(i, k)] -= scaled[i] * a[packed(k, j)];
    }
    WALKIES_UNROLL for (int i = j + 1; i < N; i++) a[packed(i, j)] = scaled[i];
  }
}

// y += M's rows of this chain, and their transposes, times x.
template <class V, int J, bool Deep>
WALKIES_NOINLINE void multiply_chain(const Chain& c, const V* WALKIES_RESTRICT a, const V* WALKIES_RESTRICT x,
                                     V* WALKIES_RESTRICT y) {
  const int above = Deep ? 6 + c.depth : 6;
  const V* row[J];
  V u[J], s[J];
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    row[k] = a + row_of<Deep>(c, k);
    u[k] = x[6 + c.first + k], s[k] = y[6 + c.first + k];
  }
  auto carry = [&](int i, V xi, V& to) {
    V sum = row[0][i] * u[0];
    s[0] += row[0][i] * xi;
    WALKIES_UNROLL for (int k = 1; k < J; k++) {
      sum += row[k][i] * u[k];
      s[k] += row[k][i] * xi;
    }
    to += sum;
  };
  WALKIES_UNROLL for (int i = 0; i < 6; i++) carry(i, x[i], y[i]);
  if (Deep) {
    WALKIES_NO_UNROLL for (int i = 6; i < above; i++) carry(i, x[c.path[i - 6] + 6], y[c.path[i - 6] + 6]);
  }
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    s[k] += row[k][above + k] * u[k];
    WALKIES_UNROLL for (int m = 0; m < k; m++) s[k] += row[k][above + m] * u[m], s[m] += row[k][above + m] * u[k];
  }
  WALKIES_UNROLL for (int k = 0; k < J; k++) y[6 + c.first + k] = s[k];
}

template <class V>
WALKIES_NOINLINE void multiply(const Tree& t, const V* WALKIES_RESTRICT a, const V* WALKIES_RESTRICT x, V* WALKIES_RESTRICT y) {
  WALKIES_UNROLL for (int i = 0; i < 6; i++) {
    V s = a[packed(i, 0)] * x[0];
    WALKIES_UNROLL for (int j = 1; j < 6; j++) s += a[i >= j ? packed(i, j) : packed(j, i)] * x[j];
    y[i] = s;
  }
  WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) y[6 + j] = V{};
  inwards(t, [&]<int J, bool Deep>(const Chain& c) { multiply_chain<V, J, Deep>(c, a, x, y); });
}

// Replaces a chain's rows by its part of the factor, and takes its share from the entries of all joints above it.
template <class V, int J, bool Deep>
WALKIES_NOINLINE void factor_chain(const Tree& t, const Chain& c, V* h) {
  const int above = Deep ? 6 + c.depth : 6;
  V* row[J];
  V lower[triangle(J)], inverse[J];
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    row[k] = h + row_of<Deep>(c, k);
    WALKIES_UNROLL for (int m = 0; m <= k; m++) lower[packed(k, m)] = row[k][above + m];
  }
  factor_dense<V, J>(lower, inverse);
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    WALKIES_UNROLL for (int m = 0; m < k; m++) row[k][above + m] = lower[packed(k, m)];
    row[k][above + k] = inverse[k];
  }
  // Column i of the rows: z = L⁻¹ times it, and D⁻¹ z, which stays.
  V z[Deep ? 6 + kMaxJoints : 6][J];
  auto reduce = [&](int i) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      V s = row[k][i];
      WALKIES_UNROLL for (int m = 0; m < k; m++) s -= lower[packed(k, m)] * z[i][m];
      z[i][k] = s;
      row[k][i] = s * inverse[k];
    }
  };
  WALKIES_UNROLL for (int i = 0; i < 6; i++) reduce(i);
  if (Deep) {
    WALKIES_NO_UNROLL for (int i = 6; i < above; i++) reduce(i);
  }
  // Rows of the joints above, two at a time: each D⁻¹ z is then loaded half as often.
  auto share = [&](int i, V* to, int j) {
    V s = to[j];
    WALKIES_UNROLL for (int k = 0; k < J; k++) s -= z[i][k] * row[k][j];
    to[j] = s;
  };
  auto share_two = [&](int i, V* to, V* next, int j) {
    V s0 = to[j], s1 = next[j];
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      const V y = row[k][j];
      s0 -= z[i][k] * y;
      s1 -= z[i + 1][k] * y;
    }
    to[j] = s0, next[j] = s1;
  };
  WALKIES_UNROLL for (int i = 0; i < 6; i += 2) {
    V *to = h + triangle(i), *next = h + triangle(i + 1);
    WALKIES_UNROLL for (int j = 0; j <= i; j++) share_two(i, to, next, j);
    share(i + 1, next, i + 1);
  }
  if (Deep) {
    int i = 6;
    WALKIES_NO_UNROLL for (; i + 1 < above; i += 2) {
      V *to = h + t.row[c.path[i - 6]], *next = h + t.row[c.path[i - 5]];
      WALKIES_NO_UNROLL for (int j = 0; j <= i; j++) share_two(i, to, next, j);
      share(i + 1, next, i + 1);
    }
    if (i < above) {
      V* to = h + t.row[c.path[i - 6]];
      WALKIES_NO_UNROLL for (int j = 0; j <= i; j++) share(i, to, j);
    }
  }
}

// The base's own block, once the joints are eliminated.
template <class V>
WALKIES_INLINE void factor_base(V* h) {
  V base[triangle(6)], inverse[6];
  for (int i = 0; i < triangle(6); i++) base[i] = h[i];
  factor_dense<V, 6>(base, inverse);
  WALKIES_UNROLL for (int i = 0; i < 6; i++) {
    WALKIES_UNROLL for (int j = 0; j < i; j++) h[packed(i, j)] = base[packed(i, j)];
    h[packed(i, i)] = inverse[i];
  }
}

// In place: h becomes its factor.
template <class V>
WALKIES_NOINLINE void factor(const Tree& t, V* h) {
  inwards(t, [&]<int J, bool Deep>(const Chain& c) { factor_chain<V, J, Deep>(t, c, h); });
  factor_base(h);
}

// From the tips inwards: what a chain's right-hand side means for the joints above it.
template <class V, int J, bool Deep>
WALKIES_NOINLINE void solve_inwards(const Chain& c, const V* WALKIES_RESTRICT h, V* WALKIES_RESTRICT x) {
  const int above = Deep ? 6 + c.depth : 6;
  const V* row[J];
  V z[J];
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    row[k] = h + row_of<Deep>(c, k);
    V s = x[6 + c.first + k];
    WALKIES_UNROLL for (int m = 0; m < k; m++) s -= row[k][above + m] * z[m];
    z[k] = s;
    x[6 + c.first + k] = s;
  }
  auto carry = [&](int i, V& to) {
    V s = row[0][i] * z[0];
    WALKIES_UNROLL for (int k = 1; k < J; k++) s += row[k][i] * z[k];
    to -= s;
  };
  WALKIES_UNROLL for (int i = 0; i < 6; i++) carry(i, x[i]);
  if (Deep) {
    WALKIES_NO_UNROLL for (int i = 6; i < above; i++) carry(i, x[c.path[i - 6] + 6]);
  }
}

template <class V, int J, bool Deep>
WALKIES_NOINLINE void solve_outwards(const Chain& c, const V* WALKIES_RESTRICT h, V* WALKIES_RESTRICT x) {
  const int above = Deep ? 6 + c.depth : 6;
  const V* row[J];
  V s[J];
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    row[k] = h + row_of<Deep>(c, k);
    s[k] = x[6 + c.first + k] * row[k][above + k];
    WALKIES_UNROLL for (int i = 0; i < 6; i++) s[k] -= row[k][i] * x[i];
  }
  if (Deep) {
    WALKIES_NO_UNROLL for (int i = 6; i < above; i++) {
      const V u = x[c.path[i - 6] + 6];
      WALKIES_UNROLL for (int k = 0; k < J; k++) s[k] -= row[k][i] * u;
    }
  }
  WALKIES_UNROLL for (int k = J - 1; k >= 0; k--) {
    WALKIES_UNROLL for (int m = k + 1; m < J; m++) s[k] -= row[m][above + k] * s[m];
    x[6 + c.first + k] = s[k];
  }
}

template <class V>
WALKIES_INLINE void solve_base(const V* h, V* x) {
  V base[6];
  WALKIES_UNROLL for (int i = 0; i < 6; i++) base[i] = x[i];
  WALKIES_UNROLL for (int i = 1; i < 6; i++) {
    WALKIES_UNROLL for (int j = 0; j < i; j++) base[i] -= h[packed(i, j)] * base[j];
  }
  WALKIES_UNROLL for (int i = 5; i >= 0; i--) {
    base[i] *= h[packed(i, i)];
    WALKIES_UNROLL for (int j = i + 1; j < 6; j++) base[i] -= h[packed(j, i)] * base[j];
  }
  WALKIES_UNROLL for (int i = 0; i < 6; i++) x[i] = base[i];
}

// In place: x becomes the solution for the right-hand side x; h holds a factor.
template <class V>
WALKIES_NOINLINE void solve(const Tree& t, const V* WALKIES_RESTRICT h, V* WALKIES_RESTRICT x) {
  inwards(t, [&]<int J, bool Deep>(const Chain& c) { solve_inwards<V, J, Deep>(c, h, x); });
  solve_base(h, x);
  outwards(t, [&]<int J, bool Deep>(const Chain& c) { solve_outwards<V, J, Deep>(c, h, x); });
}

}  // namespace walkies::WALKIES_NS
