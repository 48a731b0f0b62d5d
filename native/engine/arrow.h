// Arrow-shaped symmetric matrices: one dense block for the base, one per leg, and couplings of each leg to the base.
//
// The joint-space inertia of a floating base with chains hanging from it has this shape, and a contact of a leg with
// the ground adds only to the base block, that leg's block and their coupling. So does everything the solver factors.
#pragma once

#include "../common/number.h"

namespace walkies::WALKIES_NS {

constexpr int triangle(int n) { return n * (n + 1) / 2; }
// Place of element (i, j), i ≥ j, in a packed lower triangle.
constexpr int packed(int i, int j) { return triangle(i) + j; }

// A generalized acceleration or force: base angular (world axes), base linear (world axes), joints leg by leg.
template <class V, int L, int J>
struct Generalized {
  V base[6];
  V leg[L][J];
};

template <class V, int L, int J>
WALKIES_INLINE V dot(const Generalized<V, L, J>& a, const Generalized<V, L, J>& b) {
  V s = a.base[0] * b.base[0];
  WALKIES_UNROLL for (int i = 1; i < 6; i++) s += a.base[i] * b.base[i];
  WALKIES_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) s += a.leg[l][k] * b.leg[l][k];
  }
  return s;
}

template <class V, int L, int J>
struct Arrow {
  V base[triangle(6)];
  V coupling[L][J][6];
  V leg[L][triangle(J)];
};

template <class V, int L, int J>
WALKIES_NOINLINE void multiply(const Arrow<V, L, J>& a, const Generalized<V, L, J>& x, Generalized<V, L, J>& y) {
  V base[6];
  WALKIES_UNROLL for (int i = 0; i < 6; i++) {
    base[i] = a.base[packed(i, 0)] * x.base[0];
    WALKIES_UNROLL for (int j = 1; j < 6; j++) base[i] += a.base[i >= j ? packed(i, j) : packed(j, i)] * x.base[j];
  }
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      V s = a.coupling[l][k][0] * x.base[0];
      WALKIES_UNROLL for (int i = 1; i < 6; i++) s += a.coupling[l][k][i] * x.base[i];
      WALKIES_UNROLL for (int j = 0; j < J; j++) s += a.leg[l][k >= j ? packed(k, j) : packed(j, k)] * x.leg[l][j];
      y.leg[l][k] = s;
      WALKIES_UNROLL for (int i = 0; i < 6; i++) base[i] += a.coupling[l][k][i] * x.leg[l][k];
    }
  }
  WALKIES_UNROLL for (int i = 0; i < 6; i++) y.base[i] = base[i];
}

// Factor in the form L D Lᵀ, legs eliminated first: square roots are never needed.
template <class V, int L, int J>
struct ArrowFactor {
  V leg_lower[L][triangle(J)];  // strictly lower part used
  V leg_inverse[L][J];          // 1 / D
  V coupling[L][J][6];          // D⁻¹ L⁻¹ C of each leg
  V base_lower[triangle(6)];
  V base_inverse[6];
};

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

template <class V, int L, int J>
WALKIES_NOINLINE void factor(const Arrow<V, L, J>& a, ArrowFactor<V, L, J>& f) {
  V base[triangle(6)];
  for (int i = 0; i < triangle(6); i++) base[i] = a.base[i];
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    V lower[triangle(J)], inverse[J], z[J][6], y[J][6];
    for (int i = 0; i < triangle(J); i++) lower[i] = a.leg[l][i];
    factor_dense<V, J>(lower, inverse);
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      WALKIES_UNROLL for (int i = 0; i < 6; i++) {
        z[k][i] = a.coupling[l][k][i];
        WALKIES_UNROLL for (int m = 0; m < k; m++) z[k][i] -= lower[packed(k, m)] * z[m][i];
        y[k][i] = z[k][i] * inverse[k];
        f.coupling[l][k][i] = y[k][i];
      }
      f.leg_inverse[l][k] = inverse[k];
    }
    for (int i = 0; i < triangle(J); i++) f.leg_lower[l][i] = lower[i];
    WALKIES_UNROLL for (int i = 0; i < 6; i++) {
      WALKIES_UNROLL for (int j = 0; j <= i; j++) {
        WALKIES_UNROLL for (int k = 0; k < J; k++) base[packed(i, j)] -= z[k][i] * y[k][j];
      }
    }
  }
  factor_dense<V, 6>(base, f.base_inverse);
  for (int i = 0; i < triangle(6); i++) f.base_lower[i] = base[i];
}

template <class V, int L, int J>
WALKIES_NOINLINE void solve(const ArrowFactor<V, L, J>& f, const Generalized<V, L, J>& b, Generalized<V, L, J>& x) {
  V z[L][J], base[6];
  WALKIES_UNROLL for (int i = 0; i < 6; i++) base[i] = b.base[i];
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      V s = b.leg[l][k];
      WALKIES_UNROLL for (int m = 0; m < k; m++) s -= f.leg_lower[l][packed(k, m)] * z[l][m];
      z[l][k] = s;
      WALKIES_UNROLL for (int i = 0; i < 6; i++) base[i] -= f.coupling[l][k][i] * s;
    }
  }
  WALKIES_UNROLL for (int i = 1; i < 6; i++) {
    WALKIES_UNROLL for (int j = 0; j < i; j++) base[i] -= f.base_lower[packed(i, j)] * base[j];
  }
  WALKIES_UNROLL for (int i = 5; i >= 0; i--) {
    base[i] *= f.base_inverse[i];
    WALKIES_UNROLL for (int j = i + 1; j < 6; j++) base[i] -= f.base_lower[packed(j, i)] * base[j];
  }
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = J - 1; k >= 0; k--) {
      V s = z[l][k] * f.leg_inverse[l][k];
      WALKIES_UNROLL for (int i = 0; i < 6; i++) s -= f.coupling[l][k][i] * base[i];
      WALKIES_UNROLL for (int m = k + 1; m < J; m++) s -= f.leg_lower[l][packed(m, k)] * x.leg[l][m];
      x.leg[l][k] = s;
    }
  }
  WALKIES_UNROLL for (int i = 0; i < 6; i++) x.base[i] = base[i];
}

}  // namespace walkies::WALKIES_NS
