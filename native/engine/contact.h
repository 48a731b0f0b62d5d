// Contacts of links with the ground and other static geoms, as MuJoCo's pyramidal contacts.
#pragma once

#include "chain_dynamics.h"

namespace walkies::WALKIES_NS {

// Impedance at penetration or violation |x| (MuJoCo's solimp curve).
template <class V>
WALKIES_INLINE V impedance(V x, const ImpedanceCurve<V>& c) {
  const Scalar<V> one = 1, two = 2;
  V t = min(abs(x) * c.inverse_width, splat<V>(one));
  auto rising = t < c.middle;
  V u = rising ? t : one - t;
  V p = u * u;
  const auto other = c.power != two;
  if (any(other)) p = other ? power(u, c.power) : p;
  V y = rising ? c.gain_low * p : one - c.gain_high * p;
  return c.low + y * (c.high - c.low);
}

// The residual of an edge that carries nothing, whatever the robot does.
constexpr double kUnreached = 1e15;

// Further edges of a contact, where friction also resists turning: a pair for each axis, z ± μ times the rate of turning
// about it. The first axis is the normal (torsional friction), the others are the tangents (rolling friction).
template <class V>
struct Twist {
  int axes;  // 1 or 3
  const Link<V>* link;
  Vec3<V> axis[3];
  V mu[3];
  V residual[6], change[6], hint[6];
};

// The axes of a contact: its normal, away from what is touched, and the tangents of its first two and next two edges.
template <class V>
struct Frame {
  Vec3<V> normal, first, second;
};

// One point in contact, with a column for every joint between its link and the base. Its Jacobian maps a generalized
// acceleration to the point's: J x = v̇ + α × point + Σ column q̈. The four edges of the friction pyramid are z ± μy and
// z ± μx, or, where the contact has a frame of its own, those of its axes.
template <class V>
struct Contact {
  int collider, count;  // count: of columns
  const int* path;      // their joints
  Vec3<V>* column;
  const Frame<V>* frame;  // null: z, y and x
  Twist<V>* twist;        // null where friction resists sliding alone; else it has a frame
  V mu;
  V weight;  // D of every edge; 0 in lanes that do not touch
  Vec3<V> point;
  V residual[4];  // J a − a_ref of each edge
  V change[4];    // J p of each edge
  V hint[4];      // the residual one step ago, as estimated by `decay` and `drift`
  V decay, drift;
};

// Calls f.operator()<C>() with the number of columns, or with −1 where it is none of the common ones.
template <class F>
WALKIES_INLINE void with_columns(int count, F&& f) {
  switch (count) {
    case 0: return f.template operator()<0>();
    case 3: return f.template operator()<3>();
    case 6: return f.template operator()<6>();
    default: return f.template operator()<-1>();
  }
}

// Calls f(k) for every column.
template <int C, class F>
WALKIES_INLINE void over_columns(int count, F&& f) {
  if constexpr (C >= 0) {
    WALKIES_UNROLL for (int k = 0; k < C; k++) f(k);
  } else {
    WALKIES_NO_UNROLL for (int k = 0; k < count; k++) f(k);
  }
}

template <class V>
WALKIES_INLINE Vec3<V> point_motion(const Contact<V>& c, const V* x) {
  const Vec3<V> alpha{x[0], x[1], x[2]}, linear{x[3], x[4], x[5]};
  Vec3<V> a = linear + cross(alpha, c.point);
  with_columns(c.count, [&]<int C>() WALKIES_INLINED {
    over_columns<C>(c.count, [&](int k) WALKIES_INLINED { a = a + x[6 + c.path[k]] * c.column[k]; });
  });
  return a;
}

// A vector along the second tangent, the first one and the normal, from one in world axes; and back.
template <class V>
WALKIES_INLINE Vec3<V> to_frame(const Contact<V>& c, Vec3<V> a) {
  if (!c.frame) return a;
  return {dot(c.frame->second, a), dot(c.frame->first, a), dot(c.frame->normal, a)};
}
template <class V>
WALKIES_INLINE Vec3<V> from_frame(const Contact<V>& c, Vec3<V> a) {
  if (!c.frame) return a;
  return a.x * c.frame->second + a.y * c.frame->first + a.z * c.frame->normal;
}

// The four edges of the motion a, in the contact's frame, of its point.
template <class V>
WALKIES_INLINE void edges(const Contact<V>& c, Vec3<V> a, V out[4]) {
  out[0] = a.z + c.mu * a.y;
  out[1] = a.z - c.mu * a.y;
  out[2] = a.z + c.mu * a.x;
  out[3] = a.z - c.mu * a.x;
}

// How fast the contact's link turns about one of the axes.
template <class V>
WALKIES_INLINE V turning(const Contact<V>& c, int axis, const V* x) {
  const Vec3<V> u = c.twist->axis[axis];
  V rate = u.x * x[0] + u.y * x[1] + u.z * x[2];
  WALKIES_NO_UNROLL for (int k = 0; k < c.count; k++) {
    rate += x[6 + c.path[k]] * dot(c.twist->link[c.path[k] + 1].axis.angular, u);
  }
  return rate;
}

// All edges of a contact, for a generalized motion x: out, and beyond the fourth `more`.
template <class V>
WALKIES_INLINE void all_edges(const Contact<V>& c, const V* x, V out[4], V* more) {
  const Vec3<V> a = to_frame(c, point_motion(c, x));
  edges(c, a, out);
  if (!c.twist) return;
  for (int i = 0; i < c.twist->axes; i++) {
    const V r = c.twist->mu[i] * turning(c, i, x);
    more[2 * i] = a.z + r, more[2 * i + 1] = a.z - r;
  }
}

// Calls f(residual, change, hint) for every edge.
template <class C, class F>
WALKIES_INLINE void over_edges(C& c, F&& f) {
  WALKIES_UNROLL for (int e = 0; e < 4; e++) f(c.residual[e], c.change[e], c.hint[e]);
  if (c.twist) {
    WALKIES_NO_UNROLL for (int e = 0; e < 2 * c.twist->axes; e++) {
      f(c.twist->residual[e], c.twist->change[e], c.twist->hint[e]);
    }
  }
}

// A force in the contact's frame from the forces of the four edges.
template <class V>
WALKIES_INLINE Vec3<V> net_force(const Contact<V>& c, const V f[4]) {
  return {c.mu * (f[2] - f[3]), c.mu * (f[0] - f[1]), (f[0] + f[1]) + (f[2] + f[3])};
}

// Force of the ground on the robot in world axes, from the residuals.
template <class V>
WALKIES_INLINE Vec3<V> contact_force(const Contact<V>& c) {
  const V zero = V{};
  V f[4];
  WALKIES_UNROLL for (int e = 0; e < 4; e++) f[e] = -c.weight * min(c.residual[e], zero);
  Vec3<V> force = net_force(c, f);
  for (int e = 0; c.twist && e < 2 * c.twist->axes; e++) force.z -= c.weight * min(c.twist->residual[e], zero);
  return from_frame(c, force);
}

// Whether rows stand on the pieces of their hints (Newton's first step) or of their residuals.
enum class Pieces { kHints, kResiduals };

template <Pieces P, class V>
WALKIES_INLINE const V& piece(const V& residual, const V& hint) {
  return P == Pieces::kHints ? hint : residual;
}

// Fills in a contact: weight, reference acceleration (kept as the residual of zero acceleration). `depth` is negative
// where it touches; `velocity` is the point's, `turns` those of its link about the axes of its further edges.
template <class V>
WALKIES_INLINE void start_contact(const Model<Scalar<V>>& m, const SurfaceParams<V>& p, V inverse_weight, int condim,
                                  V depth, Vec3<V> velocity, const V* turns, Contact<V>& c) {
  const Scalar<V> one = 1, two = 2;
  V imp = impedance(depth, p.impedance);
  V mu2 = p.friction * p.friction;
  // MuJoCo: R = 2 μ² / impratio · (1 − imp)/imp · w (1 + μ²), the same for all edges.
  V d = imp * inverse_weight / ((one - imp) * (two * m.inverse_impratio) * mu2 * (one + mu2));
  c.mu = p.friction;
  if (condim == 1) {
    // Without friction: a single row, here as four edges that are one and share its weight.
    d = imp * inverse_weight / (Scalar<V>(4) * (one - imp));
    c.mu = V{};
  }
  c.weight = keep(depth < V{}, d);
  edges(c, to_frame(c, p.damping * velocity), c.residual);
  V stiffness = p.stiffness * imp;
  WALKIES_UNROLL for (int e = 0; e < 4; e++) c.residual[e] += stiffness * depth;
  // One step ago the velocity lacked dt a, and the distance dt v; a sphere that did not touch then has no past.
  const V speed = to_frame(c, velocity).z;
  V moved = m.timestep * speed;
  auto touched = depth - moved < V{};
  c.decay = keep(touched, m.timestep * p.damping);
  c.drift = keep(touched, stiffness * moved);
  for (int i = 0; c.twist && i < c.twist->axes; i++) {
    const V r = c.twist->mu[i] * turns[i];
    c.twist->residual[2 * i] = p.damping * (speed + r) + stiffness * depth;
    c.twist->residual[2 * i + 1] = p.damping * (speed - r) + stiffness * depth;
  }
  if (condim == 4 && c.twist) {
    // Without torsional friction a lane's contact is one of condim 3: nothing reaches these edges.
    for (int e = 0; e < 2; e++) {
      c.twist->residual[e] = p.torsion > V{} ? c.twist->residual[e] : splat<V>(Scalar<V>(kUnreached));
    }
  }
}

}  // namespace walkies::WALKIES_NS
