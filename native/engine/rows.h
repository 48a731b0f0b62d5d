// The constraint rows of one robot, the point on the search direction's line at which they stand, and their sums.
//
// Dry friction and limits have a row per joint, contacts four edges each, or more; contacts of the robot's parts with one
// another are those of pair_rows.h. s is piecewise quadratic: one-sided for
// contacts and joint limits, Huber's function for dry friction.
#pragma once

#include "pair_rows.h"

namespace walkies::WALKIES_NS {

// Dry friction of a joint: the force is −clamp(scaled, −loss, loss) with scaled = D (a − a_ref).
template <class V>
struct FrictionRow {
  V scaled, change, weight, loss, hint;
};

// A joint's limit: residual = sign · a − a_ref, weight 0 where not violated.
template <class V>
struct LimitRow {
  V residual, change, sign, weight;
};

template <class V>
struct Rows {
  FrictionRow<V>* friction;
  LimitRow<V>* limit;
  bool limits;  // some lane violates one; else they are skipped
  int contacts;
  Contact<V>* contact;
  PairRows<V> pairs;
};

// Residuals from those of zero acceleration to those of the start x, which is the last step's acceleration.
//
// In the last step the rows were on the pieces of the last residuals, and most of them still are. The new residuals at
// x say so less well: in them the reference acceleration has moved on and x has not. Hence the hints, the residuals of
// the last step recovered from x: Newton's first step starts from their pieces.
template <class V>
WALKIES_NOINLINE void start_residuals(const Model<Scalar<V>>& m, Rows<V>& r, const V* WALKIES_RESTRICT x) {
  const int n = m.tree.joints;
  WALKIES_NO_UNROLL for (int j = 0; j < n; j++) {
    FrictionRow<V>& f = r.friction[j];
    V change = f.weight * x[6 + j];
    f.scaled += change;
    f.hint = f.scaled - m.joint[j].friction_decay * change;
  }
  if (r.limits) {
    WALKIES_NO_UNROLL for (int j = 0; j < n; j++) r.limit[j].residual += r.limit[j].sign * x[6 + j];
  }
  for (int i = 0; i < r.contacts; i++) {
    Contact<V>& c = r.contact[i];
    V e[4], more[6];
    all_edges(c, x, e, more);
    const auto start = [&](V& residual, V& hint, V edge) {
      residual += edge;
      hint = residual - c.decay * edge - c.drift;
    };
    WALKIES_UNROLL for (int k = 0; k < 4; k++) start(c.residual[k], c.hint[k], e[k]);
    for (int k = 0; c.twist && k < 2 * c.twist->axes; k++) start(c.twist->residual[k], c.twist->hint[k], more[k]);
  }
  if (r.pairs.contacts) start_pair_residuals(r.pairs, x);
}

// How the rows change along the search direction p.
template <class V>
WALKIES_NOINLINE void start_changes(const Tree& t, Rows<V>& r, const V* WALKIES_RESTRICT p) {
  WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) r.friction[j].change = r.friction[j].weight * p[6 + j];
  if (r.limits) {
    WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) r.limit[j].change = r.limit[j].sign * p[6 + j];
  }
  for (int i = 0; i < r.contacts; i++) {
    Contact<V>& c = r.contact[i];
    all_edges(c, p, c.change, c.twist ? c.twist->change : nullptr);
  }
  if (r.pairs.contacts) start_pair_changes(r.pairs, p);
}

// Moves along the search direction by `alpha`.
template <class V>
WALKIES_NOINLINE void advance(const Tree& t, Rows<V>& r, V alpha) {
  WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) r.friction[j].scaled += alpha * r.friction[j].change;
  if (r.limits) {
    WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) r.limit[j].residual += alpha * r.limit[j].change;
  }
  for (int i = 0; i < r.contacts; i++) {
    over_edges(r.contact[i], [&](V& residual, const V& change, const V&) { residual += alpha * change; });
  }
  if (r.pairs.contacts) advance_pairs(r.pairs, alpha);
}

// Adds the edges of a contact that resist turning: pairs n ± μ r with the row n of the normal and r of the turning.
template <Pieces P, class V>
WALKIES_NOINLINE void add_twist(const Tree& t, const Contact<V>& c, V* h, V* g) {
  const V zero = V{};
  const Twist<V>& w = *c.twist;
  const int size = 6 + c.count;
  V n[6 + kMaxJoints], r[6 + kMaxJoints], u[6 + kMaxJoints], v[6 + kMaxJoints];
  const Vec3<V> normal = c.frame->normal, arm = cross(c.point, normal);
  n[0] = arm.x, n[1] = arm.y, n[2] = arm.z, n[3] = normal.x, n[4] = normal.y, n[5] = normal.z;
  for (int k = 0; k < c.count; k++) n[6 + k] = dot(c.column[k], normal);
  for (int i = 0; i < w.axes; i++) {
    const Vec3<V> axis = w.axis[i];
    r[0] = axis.x, r[1] = axis.y, r[2] = axis.z, r[3] = r[4] = r[5] = zero;
    for (int k = 0; k < c.count; k++) r[6 + k] = dot(w.link[c.path[k] + 1].axis.angular, axis);
    V d[2], f[2];
    for (int e = 0; e < 2; e++) {
      const V& residual = w.residual[2 * i + e];
      d[e] = keep(piece<P>(residual, w.hint[2 * i + e]) < zero, c.weight);
      f[e] = -d[e] * residual;
    }
    // Σ d (n ± μr)(n ± μr)ᵀ = n uᵀ + r vᵀ
    const V sum = d[0] + d[1], lean = w.mu[i] * (d[0] - d[1]), push = f[0] + f[1], turn = w.mu[i] * (f[0] - f[1]);
    for (int k = 0; k < size; k++) {
      u[k] = sum * n[k] + lean * r[k];
      v[k] = lean * n[k] + w.mu[i] * w.mu[i] * sum * r[k];
    }
    for (int k = 0; k < size; k++) {
      V* row = h + (k < 6 ? triangle(k) : t.row[c.path[k - 6]]);
      for (int m = 0; m <= k; m++) row[m] += n[k] * u[m] + r[k] * v[m];
      g[k < 6 ? k : 6 + c.path[k - 6]] += push * n[k] + turn * r[k];
    }
  }
}

// Adds one contact to the gradient's negative (g += Jᵀf) and to the Hessian (h += JᵀWJ over the active edges).
template <Pieces P, bool Framed, class V>
WALKIES_INLINE void add_contact(const Tree& t, const Contact<V>& c, V* WALKIES_RESTRICT h, V* WALKIES_RESTRICT g) {
  const V zero = V{}, mu = c.mu;
  V d[4], f[4];
  WALKIES_UNROLL for (int e = 0; e < 4; e++) {
    d[e] = keep(piece<P>(c.residual[e], c.hint[e]) < zero, c.weight);
    f[e] = -d[e] * c.residual[e];
  }
  Vec3<V> force = net_force(c, f);
  if (Framed) force = from_frame(c, force);
  Vec3<V> torque = cross(c.point, force);
  g[0] += torque.x, g[1] += torque.y, g[2] += torque.z;
  g[3] += force.x, g[4] += force.y, g[5] += force.z;

  // W in world axes; xy is zero where each edge leans along one axis only.
  V mu2 = mu * mu, first = mu2 * (d[0] + d[1]), second = mu2 * (d[2] + d[3]);
  V first_lean = mu * (d[0] - d[1]), second_lean = mu * (d[2] - d[3]);
  V xx = second, yy = first, zz = (d[0] + d[1]) + (d[2] + d[3]), xz = second_lean, yz = first_lean, xy = zero;
  if (Framed) {
    // W = a nᵀ + b t₁ᵀ + e t₂ᵀ
    const Vec3<V> n = c.frame->normal, t1 = c.frame->first, t2 = c.frame->second;
    const Vec3<V> a = zz * n + first_lean * t1 + second_lean * t2;
    const Vec3<V> b = first_lean * n + first * t1, e = second_lean * n + second * t2;
    xx = a.x * n.x + b.x * t1.x + e.x * t2.x, yy = a.y * n.y + b.y * t1.y + e.y * t2.y;
    zz = a.z * n.z + b.z * t1.z + e.z * t2.z, xy = a.x * n.y + b.x * t1.y + e.x * t2.y;
    xz = a.x * n.z + b.x * t1.z + e.x * t2.z, yz = a.y * n.z + b.y * t1.z + e.y * t2.z;
  }
  const Vec3<V> p = c.point;
  // A = [p]× W, then A [p]×ᵀ; columns of W are (xx xy xz), (xy yy yz), (xz yz zz).
  Vec3<V> ax = {p.y * xz, p.z * xx - p.x * xz, -p.y * xx};
  Vec3<V> ay = {p.y * yz - p.z * yy, -p.x * yz, p.x * yy};
  Vec3<V> az = {p.y * zz - p.z * yz, p.z * xz - p.x * zz, p.x * yz - p.y * xz};
  if (Framed) {
    ax.x -= p.z * xy, ax.z += p.x * xy;
    ay.y += p.z * xy, ay.z -= p.y * xy;
    h[packed(4, 3)] += xy;
  }
  // Row i of A is (ax.i, ay.i, az.i).
  h[packed(0, 0)] += p.y * az.x - p.z * ay.x;
  h[packed(1, 0)] += p.y * az.y - p.z * ay.y;
  h[packed(1, 1)] += p.z * ax.y - p.x * az.y;
  h[packed(2, 0)] += p.y * az.z - p.z * ay.z;
  h[packed(2, 1)] += p.z * ax.z - p.x * az.z;
  h[packed(2, 2)] += p.x * ay.z - p.y * ax.z;
  h[packed(3, 0)] += ax.x, h[packed(3, 1)] += ax.y, h[packed(3, 2)] += ax.z;
  h[packed(4, 0)] += ay.x, h[packed(4, 1)] += ay.y, h[packed(4, 2)] += ay.z;
  h[packed(5, 0)] += az.x, h[packed(5, 1)] += az.y, h[packed(5, 2)] += az.z;
  h[packed(3, 3)] += xx;
  h[packed(4, 4)] += yy;
  h[packed(5, 3)] += xz, h[packed(5, 4)] += yz, h[packed(5, 5)] += zz;

  with_columns(c.count, [&]<int C>() WALKIES_INLINED {
    over_columns<C>(c.count, [&](int k) WALKIES_INLINED {
      const Vec3<V> s = c.column[k];
      Vec3<V> u{xx * s.x + xz * s.z, yy * s.y + yz * s.z, xz * s.x + yz * s.y + zz * s.z};
      if (Framed) u.x += xy * s.y, u.y += xy * s.x;
      Vec3<V> q = cross(p, u);
      const int joint = c.path[k];
      V* row = h + t.row[joint];
      row[0] += q.x, row[1] += q.y, row[2] += q.z;
      row[3] += u.x, row[4] += u.y, row[5] += u.z;
      if constexpr (C >= 0) {
        WALKIES_UNROLL for (int i = 0; i <= k; i++) row[6 + i] += dot(c.column[i], u);
      } else {
        WALKIES_NO_UNROLL for (int i = 0; i <= k; i++) row[6 + i] += dot(c.column[i], u);
      }
      g[6 + joint] += dot(s, force);
    });
  });
}

// Likewise, where it has a frame of its own.
template <Pieces P, class V>
WALKIES_NOINLINE void add_other_contact(const Tree& t, const Contact<V>& c, V* h, V* g) {
  add_contact<P, true>(t, c, h, g);
  if (c.twist) add_twist<P>(t, c, h, g);
}

// Hessian h and negative gradient g = τ − M x + Jᵀf at the current residuals.
template <Pieces P, class V>
WALKIES_NOINLINE void assemble(const Tree& t, const Rows<V>& r, const V* mass, const V* force, const V* mass_x,
                               V* WALKIES_RESTRICT h, V* WALKIES_RESTRICT g) {
  const V zero = V{};
  WALKIES_NO_UNROLL for (int i = 0; i < t.size; i++) h[i] = mass[i];
  WALKIES_UNROLL for (int i = 0; i < 6; i++) g[i] = force[i] - mass_x[i];
  WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) {
    const FrictionRow<V>& f = r.friction[j];
    V on = P == Pieces::kHints ? f.hint : f.scaled;
    auto sticks = abs(on) < f.loss;
    V friction = sticks ? f.scaled : (on > zero ? f.loss : -f.loss);
    g[6 + j] = force[6 + j] - mass_x[6 + j] - friction;
    h[t.row[j] + 6 + t.depth[j]] += keep(sticks, f.weight);
  }
  if (r.limits) {
    WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) {
      const LimitRow<V>& l = r.limit[j];
      V d = keep(l.residual < zero, l.weight);
      g[6 + j] -= d * l.residual * l.sign;
      h[t.row[j] + 6 + t.depth[j]] += d;
    }
  }
  for (int i = 0; i < r.contacts; i++) {
    const Contact<V>& c = r.contact[i];
    if (c.frame) add_other_contact<P>(t, c, h, g);
    else add_contact<P, false>(t, c, h, g);
  }
}

// Slope and curvature of the cost along the search direction, without its smooth part.
template <class V>
struct Line {
  V slope, curvature;
  Mask<V> moved;  // lanes where some row has left the piece that it stood on (only if asked for)
};

template <bool Moved, Pieces P, class V>
WALKIES_NOINLINE Line<V> line_at(const Tree& t, const Rows<V>& r, const V* p, V alpha) {
  const V zero = V{};
  Line<V> line{zero, zero, zero < zero};
  WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) {
    const FrictionRow<V>& f = r.friction[j];
    V y = f.scaled + alpha * f.change;
    V clamped = clamp(y, -f.loss, f.loss);
    line.slope += p[6 + j] * clamped;
    line.curvature += keep(y == clamped, p[6 + j] * f.change);
    if (Moved) {
      V y0 = P == Pieces::kHints ? f.hint : f.scaled;
      // On the same piece: both within ± loss, or both beyond it on the same side.
      line.moved = line.moved | ((y < f.loss) ^ (y0 < f.loss)) | ((y > -f.loss) ^ (y0 > -f.loss));
    }
  }
  if (r.limits) {
    WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) {
      const LimitRow<V>& l = r.limit[j];
      V d = l.change, x = l.residual + alpha * d;
      auto active = x < zero;
      line.slope += l.weight * d * min(x, zero);
      line.curvature += keep(active, l.weight * d * d);
      if (Moved) line.moved = line.moved | ((l.weight > zero) & (active ^ (l.residual < zero)));
    }
  }
  for (int i = 0; i < r.contacts; i++) {
    const Contact<V>& c = r.contact[i];
    V slope = zero, curvature = zero;
    auto weighs = c.weight > zero;
    over_edges(c, [&](const V& residual, const V& d, const V& hint) {
      V x = residual + alpha * d;
      auto active = x < zero;
      slope += d * min(x, zero);
      curvature += keep(active, d * d);
      if (Moved) line.moved = line.moved | (weighs & (active ^ (piece<P>(residual, hint) < zero)));
    });
    line.slope += c.weight * slope;
    line.curvature += c.weight * curvature;
  }
  if (r.pairs.contacts) add_pair_line<Moved, P>(r.pairs, alpha, line.slope, line.curvature, line.moved);
  return line;
}

// Cost at α minus cost at 0, without the smooth part; summed as differences row by row, which keeps its digits.
template <class V>
WALKIES_NOINLINE V rise_at(const Tree& t, const Rows<V>& r, V alpha) {
  const V zero = V{};
  const Scalar<V> half = 0.5;
  V s = zero;
  WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) {
    // Huber's function of a scaled residual y = D r: (c y − ½ c²) / D with c = clamp(y).
    const FrictionRow<V>& f = r.friction[j];
    V y0 = f.scaled, y1 = y0 + alpha * f.change;
    V c0 = clamp(y0, -f.loss, f.loss), c1 = clamp(y1, -f.loss, f.loss);
    s += ((c1 - c0) * (y0 - half * (c1 + c0)) + c1 * (y1 - y0)) / f.weight;
  }
  if (r.limits) {
    WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) {
      const LimitRow<V>& l = r.limit[j];
      V before = min(l.residual, zero), after = min(l.residual + alpha * l.change, zero);
      s += half * l.weight * (after - before) * (after + before);
    }
  }
  for (int i = 0; i < r.contacts; i++) {
    const Contact<V>& c = r.contact[i];
    V sum = zero;
    over_edges(c, [&](const V& residual, const V& change, const V&) {
      V before = min(residual, zero), after = min(residual + alpha * change, zero);
      sum += (after - before) * (after + before);
    });
    s += half * c.weight * sum;
  }
  if (r.pairs.contacts) s += pair_rise(r.pairs, alpha);
  return s;
}

}  // namespace walkies::WALKIES_NS
