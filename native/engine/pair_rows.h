// The rows of contacts between the robot's own parts, as MuJoCo's pyramidal contacts, and what they add to Newton's
// method (solver.h).
//
// Such a contact couples the joints of two branches: its rows lie outside the tree's pattern. Where some lane has one,
// the Hessian is therefore factored once more, with those entries (filled_factor.h), and every lane takes the solution
// of its own kind: a robot that does not touch itself gets the bits that it would get alone. Rank-one corrections of the
// tree's factor (Woodbury) would cost a solution of the tree for every row that is active in any lane.
#pragma once

#include "contact.h"
#include "filled_factor.h"

namespace walkies::WALKIES_NS {

constexpr int kMaxPairEdges = 10;

// One contact: `rows` rows along the normal and the tangents, then about them, and edges normal ± μ times one of the
// others; without friction the normal alone. A row has a column for every joint of either collider's branch, in the
// joints' order; it maps the joints' motion to the second collider's relative to the first.
template <class V>
struct PairContact {
  int rows, count;
  int joint[kMaxJoints];
  V* row;  // rows × count
  V mu[5];
  V weight;  // D of every edge; 0 in lanes that do not touch
  V residual[kMaxPairEdges], change[kMaxPairEdges], hint[kMaxPairEdges];  // as in Contact
  V decay, drift;

  int edges() const { return rows == 1 ? 1 : 2 * (rows - 1); }
};

template <class V>
struct PairRows {
  int contacts;  // 0: nothing of this file is done
  PairContact<V>* contact;
  Mask<V> touching;  // lanes that have one
  Pattern* pattern;
  V *matrix, *step;  // the Hessian with its further entries, and its solution
};

// The contact's edges for the joints' part of a generalized motion; returns the rate along the normal.
template <class V>
WALKIES_INLINE V pair_edges(const PairContact<V>& c, const V* joints, V* out) {
  const V* row = c.row;
  const auto next = [&] {
    V rate = V{};
    WALKIES_NO_UNROLL for (int k = 0; k < c.count; k++) rate += row[k] * joints[c.joint[k]];
    row += c.count;
    return rate;
  };
  const V normal = next();
  out[0] = normal;
  WALKIES_NO_UNROLL for (int i = 1; i < c.rows; i++) {
    const V r = c.mu[i - 1] * next();
    out[2 * i - 2] = normal + r, out[2 * i - 1] = normal - r;
  }
  return normal;
}

// Fills in weight, friction and reference acceleration, as start_contact does; `qd`: the joints' velocities.
template <class V>
WALKIES_NOINLINE void start_pair_contact(const Model<Scalar<V>>& m, const Pair<Scalar<V>>& pair,
                                         const SurfaceParams<V>& p, V inverse_weight, V depth, const V* qd,
                                         PairContact<V>& c) {
  const Scalar<V> one = 1, two = 2;
  const V imp = impedance(depth, p.impedance), mu2 = p.friction * p.friction;
  V d = imp * inverse_weight / (one - imp);
  if (c.rows > 1) d = d / ((two * m.inverse_impratio) * mu2 * (one + mu2));
  c.weight = keep(depth < V{}, d);
  c.mu[0] = c.mu[1] = p.friction;
  c.mu[2] = p.torsion * pair.spin, c.mu[3] = c.mu[4] = splat<V>(pair.roll);
  V speed[kMaxPairEdges];
  const V moved = m.timestep * pair_edges(c, qd, speed), stiffness = p.stiffness * imp;
  for (int e = 0; e < c.edges(); e++) c.residual[e] = p.damping * speed[e] + stiffness * depth;
  const auto touched = depth - moved < V{};
  c.decay = keep(touched, m.timestep * p.damping);
  c.drift = keep(touched, stiffness * moved);
}

template <class V>
WALKIES_NOINLINE void start_pair_residuals(PairRows<V>& r, const V* x) {
  for (int i = 0; i < r.contacts; i++) {
    PairContact<V>& c = r.contact[i];
    V edge[kMaxPairEdges];
    pair_edges(c, x + 6, edge);
    for (int e = 0; e < c.edges(); e++) {
      c.residual[e] += edge[e];
      c.hint[e] = c.residual[e] - c.decay * edge[e] - c.drift;
    }
  }
}

template <class V>
WALKIES_NOINLINE void start_pair_changes(PairRows<V>& r, const V* p) {
  for (int i = 0; i < r.contacts; i++) pair_edges(r.contact[i], p + 6, r.contact[i].change);
}

template <class V>
WALKIES_NOINLINE void advance_pairs(PairRows<V>& r, V alpha) {
  for (int i = 0; i < r.contacts; i++) {
    PairContact<V>& c = r.contact[i];
    for (int e = 0; e < c.edges(); e++) c.residual[e] += alpha * c.change[e];
  }
}

// Adds one contact of so many rows to the Hessian and to the gradient's negative.
template <Pieces P, int Rows, class V>
WALKIES_INLINE void add_pair_contact(const PairContact<V>& c, V* a, V* g) {
  const V zero = V{};
  const int n = c.count;
  constexpr int edges = Rows == 1 ? 1 : 2 * (Rows - 1);
  const V* normal = c.row;
  V d[kMaxPairEdges], f[kMaxPairEdges];
  WALKIES_UNROLL for (int e = 0; e < edges; e++) {
    d[e] = keep(piece<P>(c.residual[e], c.hint[e]) < zero, c.weight);
    f[e] = -d[e] * c.residual[e];
  }
  // Σ d (n ± μr)(n ± μr)ᵀ = n uᵀ + Σ r vᵀ
  V u[kMaxJoints], v[5][kMaxJoints], push = zero, turn[5];
  if (Rows == 1) push = f[0];
  for (int k = 0; k < n; k++) u[k] = Rows == 1 ? d[0] * normal[k] : zero;
  WALKIES_UNROLL for (int i = 0; i < Rows - 1; i++) {
    const V *row = c.row + (i + 1) * n, mu = c.mu[i];
    const V sum = d[2 * i] + d[2 * i + 1], lean = mu * (d[2 * i] - d[2 * i + 1]);
    push += f[2 * i] + f[2 * i + 1];
    turn[i] = mu * (f[2 * i] - f[2 * i + 1]);
    for (int k = 0; k < n; k++) {
      u[k] += sum * normal[k] + lean * row[k];
      v[i][k] = lean * normal[k] + mu * mu * sum * row[k];
    }
  }
  for (int k = 0; k < n; k++) {
    V* const to = a + triangle(6 + c.joint[k]) + 6;
    V force = push * normal[k];
    for (int m = 0; m <= k; m++) {
      V s = normal[k] * u[m];
      WALKIES_UNROLL for (int i = 0; i < Rows - 1; i++) s += c.row[(i + 1) * n + k] * v[i][m];
      to[c.joint[m]] += s;
    }
    WALKIES_UNROLL for (int i = 0; i < Rows - 1; i++) force += turn[i] * c.row[(i + 1) * n + k];
    g[6 + c.joint[k]] += force;
  }
}

// From the tree's Hessian h, not yet factored, that with the contacts; and their part of the gradient's negative.
template <Pieces P, class V>
WALKIES_NOINLINE void assemble_pairs(const Tree& t, PairRows<V>& r, const V* h, V* g) {
  expand(t, *r.pattern, h, r.matrix);
  for (int i = 0; i < r.contacts; i++) {
    const PairContact<V>& c = r.contact[i];
    switch (c.rows) {
      case 1: add_pair_contact<P, 1>(c, r.matrix, g); break;
      case 3: add_pair_contact<P, 3>(c, r.matrix, g); break;
      case 4: add_pair_contact<P, 4>(c, r.matrix, g); break;
      case 6: add_pair_contact<P, 6>(c, r.matrix, g); break;
    }
  }
}

// Replaces the step, in all lanes or in those that have such a contact.
template <class V>
WALKIES_NOINLINE void solve_pairs(const Tree& t, PairRows<V>& r, const V* gradient, bool all, V* step) {
  factor_filled(t, *r.pattern, r.matrix);
  for (int i = 0; i < 6 + t.joints; i++) r.step[i] = gradient[i];
  solve_filled(t, *r.pattern, r.matrix, r.step);
  const Mask<V> lanes = all ? V{} == V{} : r.touching;
  for (int i = 0; i < 6 + t.joints; i++) step[i] = lanes ? r.step[i] : step[i];
}

// Adds to slope, curvature and `moved` as line_at has them (rows.h).
template <bool Moved, Pieces P, class V>
WALKIES_NOINLINE void add_pair_line(const PairRows<V>& r, V alpha, V& total_slope, V& total_curvature, Mask<V>& moved) {
  const V zero = V{};
  for (int i = 0; i < r.contacts; i++) {
    const PairContact<V>& c = r.contact[i];
    V slope = zero, curvature = zero;
    const auto weighs = c.weight > zero;
    for (int e = 0; e < c.edges(); e++) {
      const V d = c.change[e], x = c.residual[e] + alpha * d;
      const auto active = x < zero;
      slope += d * min(x, zero);
      curvature += keep(active, d * d);
      if (Moved) moved = moved | (weighs & (active ^ (piece<P>(c.residual[e], c.hint[e]) < zero)));
    }
    total_slope += c.weight * slope;
    total_curvature += c.weight * curvature;
  }
}

// What the cost rises by along the search direction, as rise_at has it.
template <class V>
WALKIES_NOINLINE V pair_rise(const PairRows<V>& r, V alpha) {
  const V zero = V{};
  const Scalar<V> half = 0.5;
  V s = zero;
  for (int i = 0; i < r.contacts; i++) {
    const PairContact<V>& c = r.contact[i];
    V sum = zero;
    for (int e = 0; e < c.edges(); e++) {
      const V before = min(c.residual[e], zero), after = min(c.residual[e] + alpha * c.change[e], zero);
      sum += (after - before) * (after + before);
    }
    s += half * c.weight * sum;
  }
  return s;
}

}  // namespace walkies::WALKIES_NS
