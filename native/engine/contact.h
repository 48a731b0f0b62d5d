// Spheres against the ground z = 0, as MuJoCo's pyramidal contacts.
#pragma once

#include "dynamics.h"

namespace walkies::WALKIES_NS {

// Impedance at penetration or violation |x| (MuJoCo's solimp curve).
template <class V>
WALKIES_INLINE V impedance(V x, V low, V high, V inverse_width, V middle, V gain_low, V gain_high, V exponent) {
  const Scalar<V> one = 1, two = 2;
  V t = min(abs(x) * inverse_width, splat<V>(one));
  auto rising = t < middle;
  V u = rising ? t : one - t;
  V p = u * u;
  const auto other = exponent != two;
  if (any(other)) p = other ? power(u, exponent) : p;
  V y = rising ? gain_low * p : one - gain_high * p;
  return low + y * (high - low);
}

// One sphere in contact, with the columns of its C joints. Its Jacobian maps a generalized acceleration to the contact
// point's: J x = v̇ + α × point + Σ column q̈. The four edges of the friction pyramid are z ± μy and z ± μx.
template <class V, int C>
struct Contact {
  int sphere;
  V weight;  // D of every edge; 0 in lanes that do not touch
  Vec3<V> point;
  Vec3<V> column[C > 0 ? C : 1];
  V residual[4];  // J a − a_ref of each edge
  V change[4];    // J p of each edge
  V hint[4];      // the residual one step ago, as estimated by `decay` and `drift`
  V decay, drift;
};

template <class V, int C>
WALKIES_INLINE Vec3<V> point_motion(const Contact<V, C>& c, const V base[6], const V* joints) {
  Vec3<V> alpha{base[0], base[1], base[2]}, linear{base[3], base[4], base[5]};
  Vec3<V> a = linear + cross(alpha, c.point);
  WALKIES_UNROLL for (int k = 0; k < C; k++) a = a + joints[k] * c.column[k];
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
template <class V, int C>
WALKIES_INLINE Vec3<V> contact_force(const Contact<V, C>& c, V mu) {
  const V zero = V{};
  V f[4];
  WALKIES_UNROLL for (int e = 0; e < 4; e++) f[e] = -c.weight * min(c.residual[e], zero);
  return {mu * (f[2] - f[3]), mu * (f[0] - f[1]), (f[0] + f[1]) + (f[2] + f[3])};
}

// Fills in a contact: weight, reference acceleration (kept as the residual of zero acceleration).
template <class V, int C, int L, int J>
WALKIES_INLINE void start_contact(const Model<Scalar<V>, L, J>& m, const RobotParams<V, L, J>& p, V inverse_weight,
                                  V distance, Vec3<V> velocity, Contact<V, C>& c) {
  const Scalar<V> one = 1, two = 2;
  const auto& curve = p.contact_impedance;
  V imp = impedance(distance, curve.low, curve.high, curve.inverse_width, curve.middle, curve.gain_low, curve.gain_high,
                    curve.power);
  V mu2 = p.friction * p.friction;
  // MuJoCo: R = 2 μ² / impratio · (1 − imp)/imp · w (1 + μ²), the same for the four edges.
  V d = imp * inverse_weight / ((one - imp) * (two * m.inverse_impratio) * mu2 * (one + mu2));
  c.weight = keep(distance < V{}, d);
  edges(p.contact_damping * velocity, p.friction, c.residual);
  V stiffness = p.contact_stiffness * imp;
  WALKIES_UNROLL for (int e = 0; e < 4; e++) c.residual[e] += stiffness * distance;
  // One step ago the velocity lacked dt a, and the distance dt v; a sphere that did not touch then has no past.
  V moved = m.timestep * velocity.z;
  auto touched = distance - moved < V{};
  c.decay = keep(touched, m.timestep * p.contact_damping);
  c.drift = keep(touched, stiffness * moved);
}

}  // namespace walkies::WALKIES_NS
