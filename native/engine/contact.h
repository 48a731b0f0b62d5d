// Contacts of links with the ground z = 0, as MuJoCo's pyramidal contacts.
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

// One point in contact, with a column for every joint between its link and the base. Its Jacobian maps a generalized
// acceleration to the point's: J x = v̇ + α × point + Σ column q̈. The four edges of the friction pyramid are z ± μy and
// z ± μx.
template <class V>
struct Contact {
  int collider, count;  // count: of columns
  const int* path;      // their joints
  Vec3<V>* column;
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
  with_columns(c.count, [&]<int C>() { over_columns<C>(c.count, [&](int k) { a = a + x[6 + c.path[k]] * c.column[k]; }); });
  return a;
}

template <class V>
WALKIES_INLINE void edges(Vec3<V> a, V mu, V out[4]) {
  out[0] = a.z + mu * a.y;
  out[1] = a.z - mu * a.y;
  out[2] = a.z + mu * a.x;
  out[3] = a.z - mu * a.x;
}

// Force of the ground on the robot, from the residuals.
template <class V>
WALKIES_INLINE Vec3<V> contact_force(const Contact<V>& c) {
  const V zero = V{};
  V f[4];
  WALKIES_UNROLL for (int e = 0; e < 4; e++) f[e] = -c.weight * min(c.residual[e], zero);
  return {c.mu * (f[2] - f[3]), c.mu * (f[0] - f[1]), (f[0] + f[1]) + (f[2] + f[3])};
}

// Fills in a contact: weight, reference acceleration (kept as the residual of zero acceleration).
template <class V>
WALKIES_INLINE void start_contact(const Model<Scalar<V>>& m, const SurfaceParams<V>& p, V inverse_weight, V distance,
                                  Vec3<V> velocity, Contact<V>& c) {
  const Scalar<V> one = 1, two = 2;
  V imp = impedance(distance, p.impedance);
  V mu2 = p.friction * p.friction;
  // MuJoCo: R = 2 μ² / impratio · (1 − imp)/imp · w (1 + μ²), the same for the four edges.
  V d = imp * inverse_weight / ((one - imp) * (two * m.inverse_impratio) * mu2 * (one + mu2));
  c.mu = p.friction;
  c.weight = keep(distance < V{}, d);
  edges(p.damping * velocity, p.friction, c.residual);
  V stiffness = p.stiffness * imp;
  WALKIES_UNROLL for (int e = 0; e < 4; e++) c.residual[e] += stiffness * distance;
  // One step ago the velocity lacked dt a, and the distance dt v; a sphere that did not touch then has no past.
  V moved = m.timestep * velocity.z;
  auto touched = distance - moved < V{};
  c.decay = keep(touched, m.timestep * p.damping);
  c.drift = keep(touched, stiffness * moved);
}

}  // namespace walkies::WALKIES_NS
