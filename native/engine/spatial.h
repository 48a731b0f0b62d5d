// Vectors, rotations and rigid-body inertias over any number type.
#pragma once

#include "../common/number.h"

namespace walkies::WALKIES_NS {

template <class V>
struct Vec3 {
  V x, y, z;
};

template <class V>
WALKIES_INLINE Vec3<V> operator+(Vec3<V> a, Vec3<V> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class V>
WALKIES_INLINE Vec3<V> operator-(Vec3<V> a, Vec3<V> b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class V>
WALKIES_INLINE Vec3<V> operator*(V s, Vec3<V> a) {
  return {s * a.x, s * a.y, s * a.z};
}
template <class V>
WALKIES_INLINE V dot(Vec3<V> a, Vec3<V> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class V>
WALKIES_INLINE Vec3<V> cross(Vec3<V> a, Vec3<V> b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// A rotation by its columns: the axes of a body frame in world components.
template <class V>
struct Rotation {
  Vec3<V> x, y, z;
};

template <class V>
WALKIES_INLINE Vec3<V> operator*(const Rotation<V>& r, Vec3<V> a) {
  return a.x * r.x + a.y * r.y + a.z * r.z;
}
// The same for a vector of plain numbers, equal in every lane.
template <class V>
WALKIES_INLINE Vec3<V> rotate(const Rotation<V>& r, const Scalar<V> a[3]) {
  return {a[0] * r.x.x + a[1] * r.y.x + a[2] * r.z.x, a[0] * r.x.y + a[1] * r.y.y + a[2] * r.z.y,
          a[0] * r.x.z + a[1] * r.y.z + a[2] * r.z.z};
}
template <class V>
WALKIES_INLINE Vec3<V> rotate_back(const Rotation<V>& r, Vec3<V> a) {
  return {dot(r.x, a), dot(r.y, a), dot(r.z, a)};
}

template <class V>
WALKIES_INLINE Rotation<V> from_quaternion(V w, V x, V y, V z) {
  const Scalar<V> one = 1, two = 2;
  return {{one - two * (y * y + z * z), two * (x * y + w * z), two * (x * z - w * y)},
          {two * (x * y - w * z), one - two * (x * x + z * z), two * (y * z + w * x)},
          {two * (x * z + w * y), two * (y * z - w * x), one - two * (x * x + y * y)}};
}

// Symmetric 3×3 matrix.
template <class V>
struct Symmetric {
  V xx, yy, zz, xy, xz, yz;
};

template <class V>
WALKIES_INLINE Vec3<V> operator*(const Symmetric<V>& a, Vec3<V> b) {
  return {a.xx * b.x + a.xy * b.y + a.xz * b.z, a.xy * b.x + a.yy * b.y + a.yz * b.z,
          a.xz * b.x + a.yz * b.y + a.zz * b.z};
}
template <class V>
WALKIES_INLINE Symmetric<V> operator+(Symmetric<V> a, Symmetric<V> b) {
  return {a.xx + b.xx, a.yy + b.yy, a.zz + b.zz, a.xy + b.xy, a.xz + b.xz, a.yz + b.yz};
}

// Rigid-body inertia about a reference point: mass, mass times centre of mass, rotational inertia about that point.
// Inertias about one point simply add up.
template <class V>
struct Inertia {
  V mass;
  Vec3<V> moment;
  Symmetric<V> rotational;
};

template <class V>
WALKIES_INLINE Inertia<V> operator+(const Inertia<V>& a, const Inertia<V>& b) {
  return {a.mass + b.mass, a.moment + b.moment, a.rotational + b.rotational};
}

// From mass, centre of mass `c` (from the reference point, world axes) and inertia about c in the axes of frame `r`.
template <class V>
WALKIES_INLINE Inertia<V> move_inertia(V mass, Vec3<V> c, const Symmetric<V>& body, const Rotation<V>& r) {
  // Rows of the rotation, since (R I Rᵀ)ᵢⱼ = rowᵢ · I rowⱼ.
  Vec3<V> rx{r.x.x, r.y.x, r.z.x}, ry{r.x.y, r.y.y, r.z.y}, rz{r.x.z, r.y.z, r.z.z};
  Vec3<V> tx = body * rx, ty = body * ry, tz = body * rz, h = mass * c;
  V hx = h.x * c.x, hy = h.y * c.y, hz = h.z * c.z;
  return {mass, h,
          {dot(rx, tx) + (hy + hz), dot(ry, ty) + (hx + hz), dot(rz, tz) + (hx + hy), dot(rx, ty) - h.x * c.y,
           dot(rx, tz) - h.x * c.z, dot(ry, tz) - h.y * c.z}};
}

// A motion or a force as a pair of vectors referred to one point: (angular, linear) or (torque, force).
template <class V>
struct Spatial {
  Vec3<V> angular, linear;
};

template <class V>
WALKIES_INLINE Spatial<V> operator+(const Spatial<V>& a, const Spatial<V>& b) {
  return {a.angular + b.angular, a.linear + b.linear};
}
template <class V>
WALKIES_INLINE Spatial<V> operator*(V s, const Spatial<V>& a) {
  return {s * a.angular, s * a.linear};
}
template <class V>
WALKIES_INLINE V dot(const Spatial<V>& a, const Spatial<V>& b) {
  return dot(a.angular, b.angular) + dot(a.linear, b.linear);
}
template <class V>
WALKIES_INLINE Spatial<V> operator*(const Inertia<V>& i, const Spatial<V>& a) {
  return {i.rotational * a.angular + cross(i.moment, a.linear), i.mass * a.linear - cross(i.moment, a.angular)};
}
// Motion cross motion, and motion cross force (Featherstone 2008, eqs. 2.31 and 2.32).
template <class V>
WALKIES_INLINE Spatial<V> cross_motion(const Spatial<V>& a, const Spatial<V>& b) {
  return {cross(a.angular, b.angular), cross(a.angular, b.linear) + cross(a.linear, b.angular)};
}
template <class V>
WALKIES_INLINE Spatial<V> cross_force(const Spatial<V>& a, const Spatial<V>& f) {
  return {cross(a.angular, f.angular) + cross(a.linear, f.linear), cross(a.angular, f.linear)};
}

}  // namespace walkies::WALKIES_NS
