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

// Axes of capsules count as parallel where the squared sine of their angle is below this (of MuJoCo 4.0.0, found by trial).
constexpr double kParallel = 1e-8;

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

// Two capsules: the nearest points of their axes, or, where these are parallel, the two ends of the stretch along which
// they lie side by side (twice the same point, where there is none). Returns whether some lane has a second point.
template <class V>
WALKIES_INLINE bool meet_capsules(const Collider<Scalar<V>>& a, const Placed<V>& pa, const Collider<Scalar<V>>& b,
                                  const Placed<V>& pb, Meeting<V>& one, Meeting<V>& two) {
  using S = Scalar<V>;
  const Vec3<V> axis1 = splat<V>(a.size[1]) * pa.z, axis2 = splat<V>(b.size[1]) * pb.z, apart = pa.center - pb.center;
  const S ma = a.size[1] * a.size[1], mc = b.size[1] * b.size[1];
  const V mb = -dot(axis1, axis2), u = -dot(axis1, apart), v = dot(axis2, apart);
  // ma mc − mb² as a squared cross product, which keeps its digits between axes that are almost parallel.
  const Vec3<V> across = cross(axis1, axis2);
  const V determinant = dot(across, across);
  const auto parallel = determinant < S(kParallel) * ma * mc;
  const auto at = [&](V x1, V x2) {
    return meet_spheres(pa.center + x1 * axis1, a.size[0], pa.z, pb.center + x2 * axis2, b.size[0], pb.z);
  };
  V x1 = unit_clamp(dot(cross(axis2, apart), across) / (parallel ? splat<V>(1) : determinant));
  const V free = (v - mb * x1) / mc;
  V x2 = unit_clamp(free);
  x1 = x2 == free ? x1 : unit_clamp((u - mb * x2) / ma);
  const bool any_parallel = any(parallel);
  if (any_parallel) {
    // Where an end of the second axis is beside the first one; or else that axis's own end, and the second one beside it.
    const auto beside = [&](S end, V& first, V& second) {
      const V place = (u - end * mb) / ma;
      first = unit_clamp(place);
      second = first == place ? splat<V>(end) : unit_clamp((v - mb * first) / mc);
    };
    V first, second;
    beside(-1, first, second);
    two = at(first, second);
    two.distance = parallel ? two.distance : splat<V>(S(kFar));
    beside(1, first, second);
    x1 = parallel ? first : x1, x2 = parallel ? second : x2;
  }
  one = at(x1, x2);
  return any_parallel;
}

}  // namespace walkies::WALKIES_NS
