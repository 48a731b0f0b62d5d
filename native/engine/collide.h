// Colliders against the ground z = 0 by MuJoCo's rules: which points touch, how deep, and along which tangents friction
// acts (engine_collision_primitive.c). Every lane has a point of its own; where a lane has none, it lies far above the ground.
#pragma once

#include "contact.h"

namespace walkies::WALKIES_NS {

// m; not infinite, for a row of no weight must not have an infinite residual.
constexpr double kFar = 1e3;

// A collider's pose: its centre from the base origin, and its axes in the world.
template <class V>
struct Placed {
  Vec3<V> center, x, y, z;
};

template <class V>
WALKIES_INLINE Vec3<V> center_of(const Collider<Scalar<V>>& c, const Link<V>& link) {
  return link.origin + rotate(link.rotation, c.position);
}

template <class V>
WALKIES_INLINE Placed<V> place(const Collider<Scalar<V>>& c, const Link<V>& link) {
  const auto* r = c.rotation;
  const Scalar<V> x[3] = {r[0], r[3], r[6]}, y[3] = {r[1], r[4], r[7]}, z[3] = {r[2], r[5], r[8]};
  return {center_of(c, link), rotate(link.rotation, x), rotate(link.rotation, y), rotate(link.rotation, z)};
}

// Calls f(point, distance) for every point of a collider that may touch: the point on its surface, from the base origin,
// and its height above the ground; `height` is the base origin's.
template <class V, class F>
WALKIES_INLINE void over_sphere(const Collider<Scalar<V>>& c, Vec3<V> center, V height, F&& f) {
  const Vec3<V> lowest{center.x, center.y, center.z - c.size[0]};
  f(lowest, lowest.z + height);
}

template <class V, class F>
WALKIES_INLINE void over_capsule(const Collider<Scalar<V>>& c, const Placed<V>& p, V height, F&& f) {
  const Vec3<V> half = splat<V>(c.size[1]) * p.z;
  WALKIES_NO_UNROLL for (int end = 0; end < 2; end++) {
    over_sphere(c, end ? p.center - half : p.center + half, height, f);
  }
}

// The corners below the centre that touch, in their order, and at most four of them.
template <class V, class F>
WALKIES_INLINE void over_box(const Collider<Scalar<V>>& c, const Placed<V>& p, V height, F&& f) {
  const Vec3<V> x = splat<V>(c.size[0]) * p.x, y = splat<V>(c.size[1]) * p.y, z = splat<V>(c.size[2]) * p.z;
  const V zero = V{}, far = splat<V>(Scalar<V>(kFar));
  V found = zero;
  WALKIES_NO_UNROLL for (int corner = 0; corner < 8; corner++) {
    Vec3<V> arm = corner & 1 ? x : splat<V>(-1) * x;
    arm = corner & 2 ? arm + y : arm - y;
    arm = corner & 4 ? arm + z : arm - z;
    const Vec3<V> point = p.center + arm;
    const V distance = point.z + height;
    const auto touches = (arm.z <= zero) & (distance <= splat<V>(c.ground.margin)) & (found < Scalar<V>(4));
    found += touches ? splat<V>(1) : zero;
    f(point, touches ? distance : far);
  }
}

// The lowest point of either end, and two more of the lower end, at a third of its edge from the first.
template <class V, class F>
WALKIES_INLINE void over_cylinder(const Collider<Scalar<V>>& c, const Placed<V>& p, V height, F&& f) {
  using S = Scalar<V>;
  const V zero = V{}, far = splat<V>(S(kFar)), radius = splat<V>(c.size[0]);
  const V down = p.z.z > zero ? splat<V>(-1) : splat<V>(1);
  const Vec3<V> axis = (down * splat<V>(c.size[1])) * p.z;  // from the centre to the lower end
  // From the axis to the lowest point of a disk: −z without its part along the axis.
  Vec3<V> arm = {p.z.z * p.z.x, p.z.z * p.z.y, p.z.z * p.z.z - S(1)};
  const V length = sqrt(dot(arm, arm));
  const auto upright = length < S(1e-15);
  const V scale = radius / (upright ? splat<V>(1) : length);
  arm = {upright ? radius * p.x.x : scale * arm.x, upright ? radius * p.x.y : scale * arm.y,
         upright ? radius * p.x.z : scale * arm.z};
  Vec3<V> side = cross(arm, axis);
  const V across = S(0.8660254037844386) * radius / sqrt(max(dot(side, side), splat<V>(S(1e-30))));
  side = across * side;
  const Vec3<V> lowest = p.center + axis + arm, third = p.center + axis - splat<V>(S(0.5)) * arm;
  const V distance = lowest.z + height;
  const auto touches = distance <= splat<V>(c.ground.margin);
  const auto point = [&](Vec3<V> at) { f(at, touches ? at.z + height : far); };
  point(lowest), point(p.center - axis + arm), point(third + side), point(third - side);
}

// Height above the ground of a collider's lowest point.
template <class V>
WALKIES_INLINE V lowest_height(const Collider<Scalar<V>>& c, const Link<V>& link, V height) {
  const Placed<V> p = place(c, link);
  const V center = p.center.z + height;
  if (c.shape == kSphere) return center - c.size[0];
  if (c.shape == kCapsule) return center - (c.size[0] + c.size[1] * abs(p.z.z));
  if (c.shape == kBox) return center - (c.size[0] * abs(p.x.z) + c.size[1] * abs(p.y.z) + c.size[2] * abs(p.z.z));
  const V tilt = sqrt(max(Scalar<V>(1) - p.z.z * p.z.z, V{}));
  return center - (c.size[1] * abs(p.z.z) + c.size[0] * tilt);
}

}  // namespace walkies::WALKIES_NS
