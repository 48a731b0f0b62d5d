// Spheres and capsules against one another by MuJoCo's rules (engine_collision_primitive.c): where they touch, how deep,
// and along which tangents friction acts (mju_makeFrame). Every lane has a point of its own; where a lane has none, its
// distance is kFar.
#pragma once

#include "collide.h"

namespace walkies::WALKIES_NS {

// A point between two colliders: between their surfaces, from the base origin.
template <class V>
struct Meeting {
  V distance;  // negative: how deep they are in one another
  Vec3<V> point, normal;  // the normal points from the first one to the second
};

// A divisor that is not 0; MuJoCo's mjMINVAL.
constexpr double kTiny = 1e-15;

// Relative to the product of the squared half-lengths, the squared sine of the angle below which two axes count as
// parallel. MuJoCo has only the absolute bound kTiny, which in float32 lies below what rounding leaves of a determinant.
constexpr double parallel_below(double) { return 0; }
constexpr float parallel_below(float) { return 1e-5f; }

// Two spheres; z1, z2: the z axes of their geoms, across which the normal lies where the centres are the same.
template <class V>
WALKIES_INLINE Meeting<V> meet_spheres(Vec3<V> c1, Scalar<V> r1, Vec3<V> z1, Vec3<V> c2, Scalar<V> r2, Vec3<V> z2) {
  const V zero = V{}, one = splat<V>(1);
  const Scalar<V> tiny = Scalar<V>(kTiny);
  Vec3<V> n = c2 - c1;
  const V length = sqrt(dot(n, n));
  const auto same = length < tiny;
  n = one / (same ? one : length) * n;
  if (any(same)) {
    const Vec3<V> across = cross(z1, z2);
    const V size = sqrt(dot(across, across));
    const auto none = size < tiny;
    const V scale = one / (none ? one : size);
    n.x = same ? (none ? one : scale * across.x) : n.x;
    n.y = same ? (none ? zero : scale * across.y) : n.y;
    n.z = same ? (none ? zero : scale * across.z) : n.z;
  }
  const V distance = length - (r1 + r2);
  return {distance, c1 + (r1 + Scalar<V>(0.5) * distance) * n, n};
}

// MuJoCo's tangents of a contact.
template <class V>
WALKIES_INLINE void tangents(Vec3<V> n, Vec3<V>& first, Vec3<V>& second) {
  const V zero = V{}, one = splat<V>(1);
  const auto level = abs(n.y) < Scalar<V>(0.5);
  const V lean = level ? n.y : n.z;
  first = {-lean * n.x, (level ? one : zero) - lean * n.y, (level ? zero : one) - lean * n.z};
  first = one / sqrt(dot(first, first)) * first;
  second = cross(n, first);
}

template <class V>
WALKIES_INLINE V unit_clamp(V x) {
  return clamp(x, splat<V>(-1), splat<V>(1));
}

// Two capsules: one point, or, where their axes are parallel, up to two: the first two that touch of the ends of either
// against the other, in MuJoCo's order. Returns whether some lane has a second.
template <class V>
WALKIES_INLINE bool meet_capsules(const Collider<Scalar<V>>& a, const Placed<V>& pa, const Collider<Scalar<V>>& b,
                                  const Placed<V>& pb, Scalar<V> margin, Meeting<V>& one, Meeting<V>& two) {
  using S = Scalar<V>;
  const Vec3<V> axis1 = splat<V>(a.size[1]) * pa.z, axis2 = splat<V>(b.size[1]) * pb.z, apart = pa.center - pb.center;
  const S ma = a.size[1] * a.size[1], mc = b.size[1] * b.size[1];
  const V mb = -dot(axis1, axis2), u = -dot(axis1, apart), v = dot(axis2, apart);
  const V determinant = ma * mc - mb * mb;
  const S bound = S(kTiny) > parallel_below(S()) * ma * mc ? S(kTiny) : parallel_below(S()) * ma * mc;
  const auto parallel = abs(determinant) < bound;
  const auto at = [&](V x1, V x2) {
    return meet_spheres(pa.center + x1 * axis1, a.size[0], pa.z, pb.center + x2 * axis2, b.size[0], pb.z);
  };
  // The nearest points of two segments. The second follows from the first, which where they are nearly parallel is
  // known badly.
  V x1 = unit_clamp((mc * u - mb * v) / (parallel ? splat<V>(1) : determinant));
  const V free = (v - mb * x1) / mc;
  const V x2 = unit_clamp(free);
  x1 = x2 == free ? x1 : unit_clamp((u - mb * x2) / ma);
  one = at(x1, x2);
  if (!any(parallel)) return false;

  const V far = splat<V>(S(kFar)), zero = V{};
  one.distance = parallel ? far : one.distance;
  two = one, two.distance = far;
  V found = zero;
  const auto keep_where = [](Mask<V> where, const Meeting<V>& m, Meeting<V>& to) {
    const auto pick = [&](V x, V& old) { old = where ? x : old; };
    pick(m.distance, to.distance);
    pick(m.point.x, to.point.x), pick(m.point.y, to.point.y), pick(m.point.z, to.point.z);
    pick(m.normal.x, to.normal.x), pick(m.normal.y, to.normal.y), pick(m.normal.z, to.normal.z);
  };
  WALKIES_NO_UNROLL for (int end = 0; end < 4; end++) {
    const V sign = splat<V>(end & 1 ? -1 : 1);
    const Meeting<V> m = end < 2 ? at(sign, unit_clamp((v - sign * mb) / mc)) : at(unit_clamp((u - sign * mb) / ma), sign);
    const auto touches = parallel & (m.distance <= splat<V>(margin));
    keep_where(touches & (found == zero), m, one);
    keep_where(touches & (found == splat<V>(1)), m, two);
    found += touches ? splat<V>(1) : zero;
  }
  return any(found > splat<V>(1));
}

}  // namespace walkies::WALKIES_NS
