// MuJoCo's constraint problem, min ½ (a − a₀)ᵀ M (a − a₀) + s(J a − a_ref), by Newton's method on a tree's matrices.
//
// With M a₀ = τ the first term is ½ aᵀMa − aᵀτ up to a constant, so a₀ itself is never needed. s is piecewise quadratic
// (rows.h). Where the full Newton step leaves every row on its piece, it is the exact minimum. Each lane (robot) stops
// by itself and is frozen from then on.
#pragma once

#include "chain_factor.h"
#include "rows.h"

namespace walkies::WALKIES_NS {

// Step length along the Newton direction p. `pending` holds the lanes still being solved; lanes whose full step is
// exact are taken out of it.
template <Pieces P, class V>
WALKIES_INLINE V line_search(const Tree& t, const Rows<V>& r, const V* p, V smooth_slope, V smooth_curvature,
                             V decrement, const SolverSettings& settings, Mask<V>& pending) {
  const V zero = V{};
  const Scalar<V> half = 0.5, two = 2, one = 1, far = 1e30;
  V alpha = splat<V>(1), low = zero, high = splat<V>(far);
  Line<V> line = line_at<true, P>(t, r, p, alpha);
  pending = pending & line.moved;
  if (!any(pending)) return alpha;
  V slope = line.slope + smooth_slope + smooth_curvature, curvature = line.curvature + smooth_curvature;
  Mask<V> searching = pending;
  if (P == Pieces::kHints) {
    // From pieces that are not the start's own, p may lead uphill: such a lane stays where it is.
    decrement = -(line_at<false, P>(t, r, p, zero).slope + smooth_slope);
    Mask<V> uphill = pending & (decrement <= zero);
    alpha = uphill ? zero : alpha;
    searching = searching & (decrement > zero);
  }
  const Mask<V> inexact = searching;
  const V enough = Scalar<V>(settings.line_tolerance) * decrement;
  searching = searching & (abs(slope) > enough);
  for (int n = 0; n < settings.line_search && any(searching); n++) {
    low = (searching & (slope < zero)) ? alpha : low;
    high = (searching & (slope >= zero)) ? alpha : high;
    V newton = alpha - slope / curvature;
    V middle = high < far ? half * (low + high) : two * alpha + one;
    V next = ((newton > low) & (newton < high)) ? newton : middle;
    alpha = searching ? next : alpha;
    line = line_at<false, P>(t, r, p, alpha);
    slope = line.slope + smooth_slope + alpha * smooth_curvature;
    curvature = line.curvature + smooth_curvature;
    searching = searching & (abs(slope) > enough);
  }
  // Beyond the minimum the cost may have risen: then back to the last point before it.
  Mask<V> doubtful = inexact & (slope > zero);
  if (any(doubtful)) {
    V change = rise_at(t, r, alpha) + alpha * (smooth_slope + half * alpha * smooth_curvature);
    alpha = (doubtful & (change > zero)) ? low : alpha;
  }
  return alpha;
}

// What Newton's method works on; vectors of 6 + joints numbers, matrices packed.
template <class V>
struct Newton {
  V *mass, *force;  // M and τ
  V* x;             // the acceleration: a start, and at the end the solution
  V *hessian, *mass_x, *step, *gradient, *mass_step;
};

template <class V>
WALKIES_INLINE V dot(int n, const V* a, const V* b) {
  V even = a[0] * b[0], odd = a[1] * b[1];
  int i = 2;
  WALKIES_NO_UNROLL for (; i + 1 < n; i += 2) even += a[i] * b[i], odd += a[i + 1] * b[i + 1];
  if (i < n) even += a[i] * b[i];
  return even + odd;
}

// One Newton step of the lanes in `pending`.
template <Pieces P, class V>
WALKIES_INLINE void newton_step(const Newton<V>& w, const SolverSettings& settings, const Tree& t, Rows<V>& rows,
                                Mask<V>& pending) {
  const int n = 6 + t.joints;
  assemble<P>(t, rows, w.mass, w.force, w.mass_x, w.hessian, w.gradient);
  // Lanes are of two kinds, and of either kind none may be left; what then becomes of its steps does not matter, for
  // they are not taken.
  const bool pairs = rows.pairs.contacts && any(pending & rows.pairs.touching);
  const bool tree = !pairs || any(pending & lanes_not(rows.pairs.touching));
  if (pairs) assemble_pairs<P>(t, rows.pairs, w.hessian, w.gradient);
  WALKIES_NO_UNROLL for (int i = 0; i < n; i++) w.step[i] = w.gradient[i];
  if (tree) {
    factor(t, w.hessian);
    solve(t, w.hessian, w.step);
  }
  if (pairs) solve_pairs(t, rows.pairs, w.gradient, !tree, w.step);
  multiply(t, w.mass, w.step, w.mass_step);
  V decrement = dot(n, w.gradient, w.step);
  if (P == Pieces::kResiduals) {
    pending = pending & (decrement > Scalar<V>(settings.tolerance) * (Scalar<V>(1) + dot(n, w.x, w.mass_x)));
    if (!any(pending)) return;
  }
  start_changes(t, rows, w.step);
  V curvature = dot(n, w.step, w.mass_step), slope = dot(n, w.step, w.mass_x) - dot(n, w.step, w.force);
  const Mask<V> active = pending;
  V alpha = keep(active, line_search<P>(t, rows, w.step, slope, curvature, decrement, settings, pending));
  advance(t, rows, alpha);
  WALKIES_NO_UNROLL for (int i = 0; i < n; i++) {
    w.x[i] += alpha * w.step[i];
    w.mass_x[i] += alpha * w.mass_step[i];
  }
}

// Solves for the acceleration w.x; `rows` hold the residuals of zero acceleration, and at the end those of the
// solution, from which the contact forces follow.
template <class V>
WALKIES_INLINE void newton(const Newton<V>& w, const SolverSettings& settings, const Model<Scalar<V>>& m,
                           Rows<V>& rows) {
  const Tree& t = m.tree;
  multiply(t, w.mass, w.x, w.mass_x);
  start_residuals(m, rows, w.x);
  Mask<V> pending = V{} == V{};
  newton_step<Pieces::kHints>(w, settings, t, rows, pending);
  for (int n = 1; n < settings.iterations && any(pending); n++) {
    newton_step<Pieces::kResiduals>(w, settings, t, rows, pending);
  }
}

}  // namespace walkies::WALKIES_NS
