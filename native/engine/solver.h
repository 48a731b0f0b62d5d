// MuJoCo's constraint problem, min ½ (a − a₀)ᵀ M (a − a₀) + s(J a − a_ref), by Newton's method on arrow matrices.
//
// With M a₀ = τ the first term is ½ aᵀMa − aᵀτ up to a constant, so a₀ itself is never needed. s is piecewise
// quadratic: one-sided for contacts and joint limits, Huber's function for dry friction. Where the full Newton step
// leaves every row on its piece, it is the exact minimum. Each lane (robot) stops by itself and is frozen from then on.
#pragma once

#include "contact.h"

namespace walkies::WALKIES_NS {

template <class V, int L, int J>
struct Rows {
  V mu;
  // Dry friction: the force is −clamp(scaled, −loss, loss) with scaled = D (a − a_ref).
  V friction_scaled[L][J], friction_change[L][J], friction_weight[L][J], friction_loss[L][J];
  V friction_hint[L][J], friction_decay[L][J];
  // Joint limits: residual = sign · a − a_ref, weight 0 where not violated. Skipped if no lane violates any.
  bool limits;
  V limit_residual[L][J], limit_change[L][J], limit_sign[L][J], limit_weight[L][J];
  int leg_contacts[L], base_contacts;
  Contact<V, J> leg[L][kMaxLegSpheres];
  Contact<V, 0> base[kMaxBaseSpheres];
};

template <class V, int C>
WALKIES_INLINE void start_edges(Contact<V, C>& c, const V e[4]) {
  WALKIES_UNROLL for (int i = 0; i < 4; i++) {
    c.residual[i] += e[i];
    c.hint[i] = c.residual[i] - c.decay * e[i] - c.drift;
  }
}

// Residuals from those of zero acceleration to those of the start x, which is the last step's acceleration.
//
// In the last step the rows were on the pieces of the last residuals, and most of them still are. The new residuals at
// x say so less well: in them the reference acceleration has moved on and x has not. Hence the hints, the residuals of
// the last step recovered from x: Newton's first step starts from their pieces.
template <class V, int L, int J>
WALKIES_NOINLINE void start_residuals(Rows<V, L, J>& r, const Generalized<V, L, J>& x) {
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      V change = r.friction_weight[l][k] * x.leg[l][k];
      r.friction_scaled[l][k] += change;
      r.friction_hint[l][k] = r.friction_scaled[l][k] - r.friction_decay[l][k] * change;
    }
    if (r.limits) {
      WALKIES_UNROLL for (int k = 0; k < J; k++) r.limit_residual[l][k] += r.limit_sign[l][k] * x.leg[l][k];
    }
    for (int n = 0; n < r.leg_contacts[l]; n++) {
      Contact<V, J>& c = r.leg[l][n];
      V e[4];
      edges(point_motion(c, x.base, x.leg[l]), r.mu, e);
      start_edges(c, e);
    }
  }
  for (int n = 0; n < r.base_contacts; n++) {
    Contact<V, 0>& c = r.base[n];
    V e[4];
    edges(point_motion(c, x.base, (const V*)nullptr), r.mu, e);
    start_edges(c, e);
  }
}

template <class V, int L, int J>
WALKIES_NOINLINE void start_changes(Rows<V, L, J>& r, const Generalized<V, L, J>& p) {
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) r.friction_change[l][k] = r.friction_weight[l][k] * p.leg[l][k];
    if (r.limits) {
      WALKIES_UNROLL for (int k = 0; k < J; k++) r.limit_change[l][k] = r.limit_sign[l][k] * p.leg[l][k];
    }
    for (int n = 0; n < r.leg_contacts[l]; n++) {
      edges(point_motion(r.leg[l][n], p.base, p.leg[l]), r.mu, r.leg[l][n].change);
    }
  }
  for (int n = 0; n < r.base_contacts; n++) {
    edges(point_motion(r.base[n], p.base, (const V*)nullptr), r.mu, r.base[n].change);
  }
}

// Moves along the search direction by `alpha`.
template <class V, int L, int J>
WALKIES_NOINLINE void advance(Rows<V, L, J>& r, V alpha) {
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) r.friction_scaled[l][k] += alpha * r.friction_change[l][k];
    if (r.limits) {
      WALKIES_UNROLL for (int k = 0; k < J; k++) r.limit_residual[l][k] += alpha * r.limit_change[l][k];
    }
    for (int n = 0; n < r.leg_contacts[l]; n++) {
      WALKIES_UNROLL for (int i = 0; i < 4; i++) r.leg[l][n].residual[i] += alpha * r.leg[l][n].change[i];
    }
  }
  for (int n = 0; n < r.base_contacts; n++) {
    WALKIES_UNROLL for (int i = 0; i < 4; i++) r.base[n].residual[i] += alpha * r.base[n].change[i];
  }
}

// Whether rows stand on the pieces of their hints (Newton's first step) or of their residuals.
enum class Pieces { kHints, kResiduals };

template <Pieces P, class V, int C>
WALKIES_INLINE const V* piece(const Contact<V, C>& c) {
  return P == Pieces::kHints ? c.hint : c.residual;
}

// Adds one contact to the gradient's negative (g += Jᵀf) and to the Hessian (h += JᵀWJ over the active edges).
template <Pieces P, class V, int C>
WALKIES_INLINE void add_contact(const Contact<V, C>& c, V mu, V base_h[], V (*coupling)[6], V* leg_h, V base_g[6],
                                V* leg_g) {
  const V zero = V{};
  V d[4], f[4];
  WALKIES_UNROLL for (int e = 0; e < 4; e++) {
    d[e] = keep(piece<P>(c)[e] < zero, c.weight);
    f[e] = -d[e] * c.residual[e];
  }
  Vec3<V> force{mu * (f[2] - f[3]), mu * (f[0] - f[1]), (f[0] + f[1]) + (f[2] + f[3])};
  Vec3<V> torque = cross(c.point, force);
  base_g[0] += torque.x, base_g[1] += torque.y, base_g[2] += torque.z;
  base_g[3] += force.x, base_g[4] += force.y, base_g[5] += force.z;

  // W in world axes; xy is zero, since each edge leans along one axis only.
  V mu2 = mu * mu;
  V xx = mu2 * (d[2] + d[3]), yy = mu2 * (d[0] + d[1]), zz = (d[0] + d[1]) + (d[2] + d[3]);
  V xz = mu * (d[2] - d[3]), yz = mu * (d[0] - d[1]);
  const Vec3<V> p = c.point;
  // A = [p]× W, then A [p]×ᵀ; columns of W are (xx 0 xz), (0 yy yz), (xz yz zz).
  Vec3<V> ax = {-p.z * zero + p.y * xz, p.z * xx - p.x * xz, -p.y * xx};
  Vec3<V> ay = {p.y * yz - p.z * yy, -p.x * yz, p.x * yy};
  Vec3<V> az = {p.y * zz - p.z * yz, p.z * xz - p.x * zz, p.x * yz - p.y * xz};
  // Row i of A is (ax.i, ay.i, az.i).
  base_h[packed(0, 0)] += p.y * az.x - p.z * ay.x;
  base_h[packed(1, 0)] += p.y * az.y - p.z * ay.y;
  base_h[packed(1, 1)] += p.z * ax.y - p.x * az.y;
  base_h[packed(2, 0)] += p.y * az.z - p.z * ay.z;
  base_h[packed(2, 1)] += p.z * ax.z - p.x * az.z;
  base_h[packed(2, 2)] += p.x * ay.z - p.y * ax.z;
  base_h[packed(3, 0)] += ax.x, base_h[packed(3, 1)] += ax.y, base_h[packed(3, 2)] += ax.z;
  base_h[packed(4, 0)] += ay.x, base_h[packed(4, 1)] += ay.y, base_h[packed(4, 2)] += ay.z;
  base_h[packed(5, 0)] += az.x, base_h[packed(5, 1)] += az.y, base_h[packed(5, 2)] += az.z;
  base_h[packed(3, 3)] += xx;
  base_h[packed(4, 4)] += yy;
  base_h[packed(5, 3)] += xz, base_h[packed(5, 4)] += yz, base_h[packed(5, 5)] += zz;

  WALKIES_UNROLL for (int k = 0; k < C; k++) {
    const Vec3<V> s = c.column[k];
    Vec3<V> u{xx * s.x + xz * s.z, yy * s.y + yz * s.z, xz * s.x + yz * s.y + zz * s.z};
    Vec3<V> t = cross(p, u);
    coupling[k][0] += t.x, coupling[k][1] += t.y, coupling[k][2] += t.z;
    coupling[k][3] += u.x, coupling[k][4] += u.y, coupling[k][5] += u.z;
    WALKIES_UNROLL for (int j = 0; j <= k; j++) leg_h[packed(k, j)] += dot(c.column[j], u);
    leg_g[k] += dot(s, force);
  }
}

// Hessian h and negative gradient g = τ − M x + Jᵀf at the current residuals.
template <Pieces P, class V, int L, int J>
WALKIES_NOINLINE void assemble(const Rows<V, L, J>& r, const Arrow<V, L, J>& mass, const Generalized<V, L, J>& force,
                               const Generalized<V, L, J>& mass_x, Arrow<V, L, J>& h, Generalized<V, L, J>& g) {
  const V zero = V{};
  for (int i = 0; i < triangle(6); i++) h.base[i] = mass.base[i];
  WALKIES_UNROLL for (int i = 0; i < 6; i++) g.base[i] = force.base[i] - mass_x.base[i];
  for (int n = 0; n < r.base_contacts; n++) {
    add_contact<P>(r.base[n], r.mu, h.base, (V(*)[6]) nullptr, (V*)nullptr, g.base, (V*)nullptr);
  }
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    for (int i = 0; i < triangle(J); i++) h.leg[l][i] = mass.leg[l][i];
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      WALKIES_UNROLL for (int i = 0; i < 6; i++) h.coupling[l][k][i] = mass.coupling[l][k][i];
      V scaled = r.friction_scaled[l][k], loss = r.friction_loss[l][k];
      V on = P == Pieces::kHints ? r.friction_hint[l][k] : scaled;
      auto sticks = abs(on) < loss;
      V friction = sticks ? scaled : (on > zero ? loss : -loss);
      g.leg[l][k] = force.leg[l][k] - mass_x.leg[l][k] - friction;
      h.leg[l][packed(k, k)] += keep(sticks, r.friction_weight[l][k]);
    }
    if (r.limits) {
      WALKIES_UNROLL for (int k = 0; k < J; k++) {
        V d = keep(r.limit_residual[l][k] < zero, r.limit_weight[l][k]);
        g.leg[l][k] -= d * r.limit_residual[l][k] * r.limit_sign[l][k];
        h.leg[l][packed(k, k)] += d;
      }
    }
    for (int n = 0; n < r.leg_contacts[l]; n++) {
      add_contact<P>(r.leg[l][n], r.mu, h.base, h.coupling[l], h.leg[l], g.base, g.leg[l]);
    }
  }
}

// Slope and curvature of the cost along the search direction, without its smooth part.
template <class V>
struct Line {
  V slope, curvature;
  Mask<V> moved;  // lanes where some row has left the piece that it stood on (only if asked for)
};

template <bool Moved, Pieces P, class V, int C>
WALKIES_INLINE void add_line(const Contact<V, C>& c, V alpha, Line<V>& line) {
  const V zero = V{};
  V slope = zero, curvature = zero;
  auto weighs = c.weight > zero;
  WALKIES_UNROLL for (int e = 0; e < 4; e++) {
    V d = c.change[e], x = c.residual[e] + alpha * d;
    auto active = x < zero;
    slope += d * min(x, zero);
    curvature += keep(active, d * d);
    if (Moved) line.moved = line.moved | (weighs & (active ^ (piece<P>(c)[e] < zero)));
  }
  line.slope += c.weight * slope;
  line.curvature += c.weight * curvature;
}

template <bool Moved, Pieces P, class V, int L, int J>
WALKIES_NOINLINE Line<V> line_at(const Rows<V, L, J>& r, const Generalized<V, L, J>& p, V alpha) {
  const V zero = V{};
  Line<V> line{zero, zero, zero < zero};
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      V loss = r.friction_loss[l][k], y = r.friction_scaled[l][k] + alpha * r.friction_change[l][k];
      V clamped = clamp(y, -loss, loss);
      line.slope += p.leg[l][k] * clamped;
      line.curvature += keep(y == clamped, p.leg[l][k] * r.friction_change[l][k]);
      if (Moved) {
        V y0 = P == Pieces::kHints ? r.friction_hint[l][k] : r.friction_scaled[l][k];
        // On the same piece: both within ± loss, or both beyond it on the same side.
        line.moved = line.moved | ((y < loss) ^ (y0 < loss)) | ((y > -loss) ^ (y0 > -loss));
      }
    }
    if (r.limits) {
      WALKIES_UNROLL for (int k = 0; k < J; k++) {
        V d = r.limit_change[l][k], x = r.limit_residual[l][k] + alpha * d, w = r.limit_weight[l][k];
        auto active = x < zero;
        line.slope += w * d * min(x, zero);
        line.curvature += keep(active, w * d * d);
        if (Moved) line.moved = line.moved | ((w > zero) & (active ^ (r.limit_residual[l][k] < zero)));
      }
    }
    for (int n = 0; n < r.leg_contacts[l]; n++) add_line<Moved, P>(r.leg[l][n], alpha, line);
  }
  for (int n = 0; n < r.base_contacts; n++) add_line<Moved, P>(r.base[n], alpha, line);
  return line;
}

// Cost at α minus cost at 0, without the smooth part; summed as differences row by row, which keeps its digits.
template <class V, int C>
WALKIES_INLINE V rise(const Contact<V, C>& c, V alpha) {
  const V zero = V{};
  V s = zero;
  WALKIES_UNROLL for (int e = 0; e < 4; e++) {
    V before = min(c.residual[e], zero), after = min(c.residual[e] + alpha * c.change[e], zero);
    s += (after - before) * (after + before);
  }
  return Scalar<V>(0.5) * c.weight * s;
}

template <class V, int L, int J>
WALKIES_NOINLINE V rise_at(const Rows<V, L, J>& r, V alpha) {
  const V zero = V{};
  const Scalar<V> half = 0.5;
  V s = zero;
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      // Huber's function of a scaled residual y = D r: (c y − ½ c²) / D with c = clamp(y).
      V loss = r.friction_loss[l][k], y0 = r.friction_scaled[l][k], y1 = y0 + alpha * r.friction_change[l][k];
      V c0 = clamp(y0, -loss, loss), c1 = clamp(y1, -loss, loss);
      s += ((c1 - c0) * (y0 - half * (c1 + c0)) + c1 * (y1 - y0)) / r.friction_weight[l][k];
    }
    if (r.limits) {
      WALKIES_UNROLL for (int k = 0; k < J; k++) {
        V before = min(r.limit_residual[l][k], zero);
        V after = min(r.limit_residual[l][k] + alpha * r.limit_change[l][k], zero);
        s += half * r.limit_weight[l][k] * (after - before) * (after + before);
      }
    }
    for (int n = 0; n < r.leg_contacts[l]; n++) s += rise(r.leg[l][n], alpha);
  }
  for (int n = 0; n < r.base_contacts; n++) s += rise(r.base[n], alpha);
  return s;
}

// Step length along the Newton direction p. `pending` holds the lanes still being solved; lanes whose full step is
// exact are taken out of it.
template <Pieces P, class V, int L, int J>
WALKIES_INLINE V line_search(const Rows<V, L, J>& r, const Generalized<V, L, J>& p, V smooth_slope, V smooth_curvature,
                             V decrement, const SolverSettings& settings, Mask<V>& pending) {
  const V zero = V{};
  const Scalar<V> half = 0.5, two = 2, one = 1, far = 1e30;
  V alpha = splat<V>(1), low = zero, high = splat<V>(far);
  Line<V> line = line_at<true, P>(r, p, alpha);
  pending = pending & line.moved;
  if (!any(pending)) return alpha;
  V slope = line.slope + smooth_slope + smooth_curvature, curvature = line.curvature + smooth_curvature;
  Mask<V> searching = pending;
  if (P == Pieces::kHints) {
    // From pieces that are not the start's own, p may lead uphill: such a lane stays where it is.
    decrement = -(line_at<false, P>(r, p, zero).slope + smooth_slope);
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
    line = line_at<false, P>(r, p, alpha);
    slope = line.slope + smooth_slope + alpha * smooth_curvature;
    curvature = line.curvature + smooth_curvature;
    searching = searching & (abs(slope) > enough);
  }
  // Beyond the minimum the cost may have risen: then back to the last point before it.
  Mask<V> doubtful = inexact & (slope > zero);
  if (any(doubtful)) {
    V change = rise_at(r, alpha) + alpha * (smooth_slope + half * alpha * smooth_curvature);
    alpha = (doubtful & (change > zero)) ? low : alpha;
  }
  return alpha;
}

// Solves for the acceleration x, from the start x; `rows` hold the residuals of zero acceleration, and at the end those
// of x, from which the contact forces follow.
template <class V, int L, int J>
struct Newton {
  Arrow<V, L, J> hessian;
  ArrowFactor<V, L, J> factored;
  Generalized<V, L, J> mass_x, gradient, step, mass_step;
};

// One Newton step of the lanes in `pending`.
template <Pieces P, class V, int L, int J>
WALKIES_INLINE void newton_step(Newton<V, L, J>& w, const SolverSettings& settings, const Arrow<V, L, J>& mass,
                                const Generalized<V, L, J>& force, Rows<V, L, J>& rows, Generalized<V, L, J>& x,
                                Mask<V>& pending) {
  assemble<P>(rows, mass, force, w.mass_x, w.hessian, w.gradient);
  factor(w.hessian, w.factored);
  solve(w.factored, w.gradient, w.step);
  multiply(mass, w.step, w.mass_step);
  V decrement = dot(w.gradient, w.step);
  if (P == Pieces::kResiduals) {
    pending = pending & (decrement > Scalar<V>(settings.tolerance) * (Scalar<V>(1) + dot(x, w.mass_x)));
    if (!any(pending)) return;
  }
  start_changes(rows, w.step);
  V curvature = dot(w.step, w.mass_step), slope = dot(w.step, w.mass_x) - dot(w.step, force);
  const Mask<V> active = pending;
  V alpha = keep(active, line_search<P>(rows, w.step, slope, curvature, decrement, settings, pending));
  advance(rows, alpha);
  WALKIES_UNROLL for (int i = 0; i < 6; i++) {
    x.base[i] += alpha * w.step.base[i];
    w.mass_x.base[i] += alpha * w.mass_step.base[i];
  }
  WALKIES_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      x.leg[l][k] += alpha * w.step.leg[l][k];
      w.mass_x.leg[l][k] += alpha * w.mass_step.leg[l][k];
    }
  }
}

// Solves for the acceleration x, from the start x; `rows` hold the residuals of zero acceleration, and at the end those
// of x, from which the contact forces follow.
template <class V, int L, int J>
WALKIES_INLINE void newton(const SolverSettings& settings, const Arrow<V, L, J>& mass,
                           const Generalized<V, L, J>& force, Rows<V, L, J>& rows, Generalized<V, L, J>& x) {
  Newton<V, L, J> w;
  multiply(mass, x, w.mass_x);
  start_residuals(rows, x);
  Mask<V> pending = V{} == V{};
  newton_step<Pieces::kHints>(w, settings, mass, force, rows, x, pending);
  for (int n = 1; n < settings.iterations && any(pending); n++) {
    newton_step<Pieces::kResiduals>(w, settings, mass, force, rows, x, pending);
  }
}

}  // namespace walkies::WALKIES_NS
