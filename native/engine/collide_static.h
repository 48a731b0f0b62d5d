// Spheres against static boxes and height fields, and capsules against static boxes, by MuJoCo's rules (mjraw_SphereBox,
// mjc_ConvexHField, mjraw_CapsuleBox). Which boxes and cells are looked at differs from lane to lane, and the points that a lane finds are its first ones: a block of robots
// has as many contacts as the robot of it that has most, wherever they stand.
#pragma once

#include "collide.h"

namespace walkies::WALKIES_NS {

// Where a point is nearest to something: its distance, negative inside; and the direction from there to the point.
template <class V>
struct Nearest {
  V distance;
  Vec3<V> normal;
};

// The rows of a rotation that a static geom has, times a vector; and the columns: from the geom's axes to the world's.
template <class V, class R>
WALKIES_INLINE Vec3<V> into(const R rotation[9], Vec3<V> a) {
  return {rotation[0] * a.x + rotation[3] * a.y + rotation[6] * a.z, rotation[1] * a.x + rotation[4] * a.y + rotation[7] * a.z,
          rotation[2] * a.x + rotation[5] * a.y + rotation[8] * a.z};
}
template <class V, class R>
WALKIES_INLINE Vec3<V> out_of(const R rotation[9], Vec3<V> a) {
  return {rotation[0] * a.x + rotation[1] * a.y + rotation[2] * a.z, rotation[3] * a.x + rotation[4] * a.y + rotation[5] * a.z,
          rotation[6] * a.x + rotation[7] * a.y + rotation[8] * a.z};
}

template <class V>
WALKIES_INLINE Vec3<V> select(Mask<V> m, Vec3<V> a, Vec3<V> b) {
  return {m ? a.x : b.x, m ? a.y : b.y, m ? a.z : b.z};
}

// The frame of a contact with normal n: mju_makeFrame's, but for the sign of the second tangent, which turns around with
// the normal.
template <class V>
WALKIES_NOINLINE Frame<V> frame_of(Vec3<V> n) {
  const V zero = V{}, one = splat<V>(1);
  const Mask<V> flat = abs(n.y) < Scalar<V>(0.5);
  Vec3<V> t{zero, flat ? one : zero, flat ? zero : one};
  t = t - dot(n, t) * n;
  t = (one / sqrt(dot(t, t))) * t;
  return {n, t, cross(n, t)};
}

// A box, in its own axes and around its centre. From inside it is left through the nearest face, the first of those that
// are equally near.
template <class V>
WALKIES_INLINE Nearest<V> nearest_of_box(Vec3<V> at, Vec3<V> half) {
  using S = Scalar<V>;
  const V zero = V{}, one = splat<V>(1);
  const Vec3<V> gap{at.x - clamp(at.x, -half.x, half.x), at.y - clamp(at.y, -half.y, half.y),
                    at.z - clamp(at.z, -half.z, half.z)};
  const V distance = sqrt(dot(gap, gap));
  const Mask<V> inside = distance <= S(1e-15);
  Nearest<V> found{distance, (one / (inside ? one : distance)) * gap};
  if (!any(inside)) return found;
  Nearest<V> face{S(2) * (half.x + half.y + half.z), {zero, zero, zero}};
  const auto leave = [&](V depth, Vec3<V> normal) {
    const Mask<V> nearer = face.distance > depth;
    face = {nearer ? depth : face.distance, select(nearer, normal, face.normal)};
  };
  leave(half.x + at.x, {-one, zero, zero}), leave(half.x - at.x, {one, zero, zero});
  leave(half.y + at.y, {zero, -one, zero}), leave(half.y - at.y, {zero, one, zero});
  leave(half.z + at.z, {zero, zero, -one}), leave(half.z - at.z, {zero, zero, one});
  return {inside ? -face.distance : distance, select(inside, face.normal, found.normal)};
}

// The two points of a capsule's segment, from −1 to 1, at which MuJoCo places spheres that touch a box.
struct SegmentPoints {
  int count;
  double first, second;
};

// MuJoCo's choice, one robot at a time. In the box's axes: the segment's centre, its direction and its half of it; the
// first point is nearest to the box, the second one as far along the segment as the box goes below it. `apart`: more than
// any distance that matters, as a start for squares of distances (which MuJoCo compares with it).
inline SegmentPoints touch_box(const double center[3], const double direction[3], const double along[3], double length2,
                               const double half[3], double apart) {
  enum { kNone, kEnd, kEdge } kind = kNone;
  double best = apart, at = 0, at_edge = 0;
  int face = -1, corner = 0, edge = 0;
  bool at_corner = false;
  for (int end = -1; end <= 1; end += 2) {
    int outside = 0, last = -1;
    double d2 = 0;
    for (int i = 0; i < 3; i++) {
      const double x = center[i] + end * along[i], beyond = x < -half[i] ? x + half[i] : x > half[i] ? x - half[i] : 0;
      if (beyond != 0) outside++, last = i;
      d2 += beyond * beyond;
    }
    if (outside <= 1 && d2 < best) best = d2, at = end, kind = kEnd, face = last;
  }
  // The nearest points of the segment and of each edge: x along the edge, y along the segment.
  for (int j = 0; j < 3; j++) {
    for (int c = 0; c < 8; c++) {
      if (c & 1 << j) continue;
      double gap[3], u, v = 0;
      for (int i = 0; i < 3; i++) gap[i] = (i == j ? 0 : c & 1 << i ? half[i] : -half[i]) - center[i];
      u = -half[j] * gap[j];
      for (int i = 0; i < 3; i++) v += along[i] * gap[i];
      const double edge2 = half[j] * half[j], both = -half[j] * along[j], det = edge2 * length2 - both * both;
      if (__builtin_fabs(det) < 1e-15) continue;
      double x = (length2 * u - both * v) / det, y = (edge2 * v - both * u) / det;
      const auto clipped = [](double& t) {
        const int part = t > 1 ? 2 : t < -1 ? 0 : 1;
        t = t > 1 ? 1 : t < -1 ? -1 : t;
        return part;
      };
      int part = clipped(x);
      if (part != 1) y = (v - x * both) / length2;
      if (clipped(y) != 1) {
        // An end of the edge that x comes back from still counts as such.
        x = (u - y * both) / edge2;
        if (const int again = clipped(x); again != 1) part = again;
      }
      double d2 = 0;
      for (int i = 0; i < 3; i++) {
        const double d = gap[i] - y * along[i] + (i == j ? x * half[j] : 0);
        d2 += d * d;
      }
      if (d2 < best - 1e-15) {
        best = d2, at = y, at_edge = x, kind = kEdge, edge = j, at_corner = part != 1;
        corner = c | (part == 2 ? 1 << j : 0);
      }
    }
  }
  if (kind == kNone) return {0, 0, 0};
  const SegmentPoints one{1, at, 0};
  int up = 0;  // axes along which the segment rises
  for (int i = 0; i < 3; i++) up |= along[i] > 0 ? 1 << i : 0;
  const auto span = [&](int i) { return 2 * half[i] / __builtin_fabs(along[i]); };
  const auto least = [](double a, double b) { return b < a ? b : a; };
  if (kind == kEnd) {
    if (face < 0) return one;
    double step = 2;
    for (int i = 0; i < 3; i++) {
      if (i == face) continue;
      for (int side = 1; side >= -1; side -= 2) {
        const double e = (side * half[i] - center[i] - at * along[i]) / along[i] * -at;
        if (e > 0) step = least(step, e);
      }
    }
    return {2, at, at - at * step};
  }
  int leans = up ^ corner;
  if (at_corner) {
    if (leans == 0 || leans == 7) return one;
    double sign = 1;
    if (leans == 3 || leans == 5 || leans == 6) sign = -1, leans = 7 - leans;
    const int i = leans == 1 ? 0 : leans == 2 ? 1 : 2;
    if (direction[i] * direction[i] > 0.5) return {2, at, at + sign * least(1 - sign * at, span(i))};
    return {2, at, at - sign * least(least(1 + sign * at, span((i + 1) % 3)), span((i + 2) % 3))};
  }
  leans &= 7 - (1 << edge);
  if (leans != 1 && leans != 2 && leans != 4) return one;
  int flat = (edge + 1) % 3, steep = (edge + 2) % 3;
  if (__builtin_fabs(direction[flat]) > __builtin_fabs(direction[steep])) flat = steep;
  steep = 3 - edge - flat;
  const double sign = leans & 1 << steep ? 1 : -1;
  double step = least(1 - sign * at, span(steep));
  const bool ahead = ((up >> edge & 1) != 0) == (sign > 0);
  step = least(step, half[edge] * (ahead ? 1 - at_edge : 1 + at_edge) / __builtin_fabs(along[edge]));
  return {2, at, at + sign * step};
}

// m: MuJoCo's ccd_tolerance; so near to a prism, a point counts as inside it.
constexpr double kInside = 1e-6;

// The solid between a triangle a b c, counterclockwise when seen from above, and the height `bottom` below it; all of them
// as seen from the point. From inside it is left through the nearest face.
template <class V>
WALKIES_INLINE Nearest<V> nearest_of_prism(Vec3<V> a, Vec3<V> b, Vec3<V> c, V bottom) {
  using S = Scalar<V>;
  const V zero = V{}, one = splat<V>(1), far = splat<V>(S(1e30));
  const Vec3<V> n = cross(b - a, c - a);
  const V above = -dot(a, n);  // of the plane through a, b and c, times |n|
  // Nearest points of the triangle, in space, and of its outline, in the horizontal plane through the point.
  V top2 = far, wall2 = far, level = zero;
  Vec3<V> top{zero, zero, zero}, wall{zero, zero, zero};
  Mask<V> over = zero == zero, outside = zero != zero;
  const auto edge = [&](Vec3<V> u, Vec3<V> v) {
    const Vec3<V> e = v - u;
    const Vec3<V> p = u + clamp(-dot(u, e) / dot(e, e), zero, one) * e;
    const V p2 = dot(p, p);
    const Mask<V> nearer = p2 < top2;
    top2 = nearer ? p2 : top2, top = select(nearer, p, top);
    over = over & (dot(cross(n, e), u) <= zero);
    outside = outside | (e.y * u.x - e.x * u.y < zero);
    const Vec3<V> w = u + clamp(-(u.x * e.x + u.y * e.y) / (e.x * e.x + e.y * e.y), zero, one) * e;
    const V w2 = w.x * w.x + w.y * w.y;
    const Mask<V> closer = w2 < wall2;
    wall2 = closer ? w2 : wall2, level = closer ? w.z : level;
    wall = select(closer, Vec3<V>{w.x, w.y, max(bottom, zero)}, wall);
  };
  edge(a, b), edge(b, c), edge(c, a);
  const V n2 = dot(n, n), share = -above / n2;
  const Mask<V> on_face = over & (above > zero);
  top2 = on_face ? -above * share : top2, top = select(on_face, share * n, top);
  // Beside the prism and not above the edge there, a wall is nearest; below the triangle and the bottom, the bottom.
  const Mask<V> beside = outside & (level >= zero), below = lanes_not(outside) & (above <= zero);
  const Mask<V> under = below & (bottom > zero);
  Vec3<V> point = select(beside, wall, top);
  point = select(under, Vec3<V>{zero, zero, bottom}, point);
  const V distance = sqrt(dot(point, point));
  const Mask<V> inside = (below & lanes_not(under)) | (distance <= S(kInside));
  const V inverse = -one / (inside ? one : distance);
  Nearest<V> found{distance, inverse * point};
  if (!any(inside)) return found;
  const V scale = one / sqrt(n2);
  Nearest<V> face{-above * scale, scale * n};
  const auto leave = [&](V depth, Vec3<V> normal) {
    const Mask<V> nearer = depth < face.distance;
    face = {nearer ? depth : face.distance, select(nearer, normal, face.normal)};
  };
  const auto leave_beside = [&](Vec3<V> u, Vec3<V> v) {
    const Vec3<V> e = v - u;
    const V inverse_length = one / sqrt(e.x * e.x + e.y * e.y);
    leave((e.y * u.x - e.x * u.y) * inverse_length, {inverse_length * e.y, -inverse_length * e.x, zero});
  };
  leave_beside(a, b), leave_beside(b, c), leave_beside(c, a);
  leave(-bottom, {zero, zero, -one});
  return {inside ? -face.distance : distance, select(inside, face.normal, found.normal)};
}

// A static box of every lane's own.
template <class V>
struct PlacedBox {
  V rotation[9];
  Vec3<V> center, half;

  // Nearest to a point of the world.
  WALKIES_INLINE Nearest<V> nearest(Vec3<V> point) const {
    Nearest<V> found = nearest_of_box(into(rotation, point - center), half);
    found.normal = out_of(rotation, found.normal);
    return found;
  }
};

// Calls f(mask, box) for every box that may be within reach of a point. FarAbove: also for those far below it.
template <bool FarAbove, class V, class F>
WALKIES_INLINE void over_boxes(const Boxes<Scalar<V>>& boxes, Vec3<V> center, Scalar<V> reach, F&& f) {
  using S = Scalar<V>;
  if (boxes.near == 0) return;
  const auto cell_of = [&](V x, S begin, int cells) {
    return to_index(clamp((x - begin) * boxes.inverse_cell, V{}, splat<V>(S(cells - 1))));
  };
  const Index<V> cell = cell_of(center.y, boxes.front, boxes.rows) * boxes.columns + cell_of(center.x, boxes.left, boxes.columns);
  if (!FarAbove && !any(center.z - reach < gather(boxes.top, cell))) return;
  const Index<V> first = gather(boxes.start, cell), count = gather(boxes.start + 1, cell) - first;
  for (int k = 0; k < boxes.near; k++) {
    const Mask<V> there = k < count;
    if (!any(there)) return;
    const Index<V> none = {};
    const Index<V> box = gather(boxes.list, there ? first + k : none) * kBoxNumbers;
    const S* const numbers = boxes.box->position;
    PlacedBox<V> at;
    WALKIES_UNROLL for (int i = 0; i < 9; i++) at.rotation[i] = gather(numbers + 3 + i, box);
    at.center = {gather(numbers, box), gather(numbers + 1, box), gather(numbers + 2, box)};
    at.half = {gather(numbers + 12, box), gather(numbers + 13, box), gather(numbers + 14, box)};
    f(there, at);
  }
}

// Calls f(mask, nearest) for every prism of a height field below a sphere's bounding box; reach: the radius and the margin.
template <bool FarAbove, class V, class F>
WALKIES_INLINE void over_prisms(const Field<Scalar<V>>& field, Vec3<V> center, Scalar<V> reach, F&& f) {
  using S = Scalar<V>;
  const V zero = V{};
  const Vec3<V> from{center.x - field.position[0], center.y - field.position[1], center.z - field.position[2]};
  const Vec3<V> at = into(field.rotation, from);
  if (!FarAbove && !any(at.z - reach <= field.top)) return;
  // Cells from the one in which the sphere's box begins to the one in which it ends, of those that there are.
  const auto begin_of = [&](V x, S half, S step, int points) {
    return to_index(clamp((x - reach + half) / step, zero, splat<V>(S(points - 1))));
  };
  const auto end_of = [&](V x, S half, S step, int points) {
    const V end = clamp((x + reach + half) / step, zero, splat<V>(S(points - 1)));
    const V whole = to_number(to_index(end));
    return to_index(whole < end ? whole + S(1) : whole);
  };
  const Index<V> column = begin_of(at.x, field.half_x, field.step_x, field.columns);
  const Index<V> row = begin_of(at.y, field.half_y, field.step_y, field.rows);
  const Index<V> across = end_of(at.x, field.half_x, field.step_x, field.columns) - column;
  const Index<V> along = end_of(at.y, field.half_y, field.step_y, field.rows) - row;
  const Mask<V> above_bottom = at.z + reach >= field.bottom;
  const V left = to_number(column) * field.step_x - field.half_x - at.x;
  const V front = to_number(row) * field.step_y - field.half_y - at.y;
  const V bottom = field.bottom - at.z, lowest = splat<V>(-reach);
  for (int r = 0; r < field.along; r++) {
    const Mask<V> in_row = above_bottom & (r < along);
    if (!any(in_row)) return;
    const Index<V> none = {}, first = in_row ? (row + r) * field.columns + column : none;
    const auto top = [&](Index<V> corner, int dr, int c) {
      const V height = gather(field.height + dr * field.columns, corner);
      return Vec3<V>{left + S(c) * field.step_x, front + S(r + dr) * field.step_y, height - at.z};
    };
    Vec3<V> p00, p10, p01 = top(first, 0, 0), p11 = top(first, 1, 0);
    for (int c = 0; c < field.across; c++) {
      const Mask<V> there = in_row & (c < across);
      if (!any(there)) break;
      const Index<V> corner = there ? first + (c + 1) : none;
      p00 = p01, p10 = p11, p01 = top(corner, 0, c + 1), p11 = top(corner, 1, c + 1);
      const auto prism = [&](Vec3<V> p, Vec3<V> q, Vec3<V> s) {
        const Mask<V> high = FarAbove ? there : there & (max(max(p.z, q.z), s.z) >= lowest);
        if (!any(high)) return;
        Nearest<V> found = nearest_of_prism(p, q, s, bottom);
        found.normal = out_of(field.rotation, found.normal);
        f(high, found);
      };
      prism(p00, p11, p10), prism(p00, p01, p11);
    }
  }
}

constexpr int kMaxPoints = kMaxPrisms;
static_assert(kMaxPoints >= most_points(kCapsule, kMaxNear));

// Points at which a collider touches static things, every lane's own.
template <class V>
struct Near {
  int used;  // of the lane that has most
  Index<V> count;
  V distance[kMaxPoints];
  Vec3<V> normal[kMaxPoints];
  V at[kMaxPoints];      // where on a capsule's segment the sphere is that touches, from −1 to 1
  V copies[kMaxPoints];  // how many equal ones it stands for

  // Adds a point in some lanes. Merge: it may be one of those that are there. Prisms that have the nearest point in
  // common give MuJoCo as many equal contacts, which act as one of so many times the weight.
  template <bool Merge>
  WALKIES_NOINLINE void add(Mask<V> touches, V distance_, Vec3<V> normal_, V at_, Scalar<V> radius) {
    using S = Scalar<V>;
    const V zero = V{}, one = splat<V>(1);
    if (Merge) {
      const S equal = radius * S(sizeof(S) == 4 ? 1e-3 : 1e-9);
      for (int k = 0; k < used; k++) {
        const Vec3<V> turn = splat<V>(radius) * (normal[k] - normal_);
        const V off = distance[k] - distance_;
        const Mask<V> same = touches & (k < count) & (dot(turn, turn) + off * off < equal * equal);
        copies[k] += same ? one : zero;
        touches = touches & lanes_not(same);
      }
      if (!any(touches)) return;
    }
    for (int k = 0; k < kMaxPoints; k++) {
      if (k == used) distance[k] = zero, normal[k] = {zero, zero, zero}, at[k] = zero, copies[k] = one, used++;
      const Mask<V> here = touches & (count == k);
      distance[k] = here ? distance_ : distance[k], normal[k] = select(here, normal_, normal[k]);
      at[k] = here ? at_ : at[k], copies[k] = here ? one : copies[k];
      touches = touches & lanes_not(here);
      count = here ? count + 1 : count;
      if (!any(touches)) return;
    }
  }
};

// Adds the points at which a sphere touches a box in some lanes; at: as in Near.
template <class V>
WALKIES_INLINE void touch_with_sphere(const PlacedBox<V>& box, Mask<V> there, Vec3<V> center, V at, Scalar<V> radius,
                                      Scalar<V> margin, Near<V>& near) {
  const Nearest<V> found = box.nearest(center);
  const V distance = found.distance - radius;
  const Mask<V> touches = there & (distance < margin);
  if (any(touches)) near.template add<false>(touches, distance, found.normal, at, radius);
}

// Likewise, a capsule; along: from its centre to the end of its segment.
template <class V>
WALKIES_NOINLINE void touch_with_capsule(const PlacedBox<V>& box, Mask<V> there, Vec3<V> center, Vec3<V> along,
                                         const Scalar<V> size[3], Scalar<V> margin, Near<V>& near) {
  using S = Scalar<V>;
  constexpr int lanes = Number<V>::lanes;
  const V none = splat<V>(S(2));
  const Mask<V> close = there & (box.nearest(center).distance < size[0] + size[1] + margin);
  if (!any(close)) return;
  const Vec3<V> at = into(box.rotation, center - box.center), arm = into(box.rotation, along);
  const V flag = close ? splat<V>(S(1)) : V{};
  V first = none, second = none;
  const auto lane = [](const V& v, int i) { return double(reinterpret_cast<const S*>(&v)[i]); };
  const auto set = [](V& v, int i, double x) { reinterpret_cast<S*>(&v)[i] = S(x); };
  for (int i = 0; i < lanes; i++) {
    if (lane(flag, i) == 0) continue;
    const double c[3] = {lane(at.x, i), lane(at.y, i), lane(at.z, i)}, a[3] = {lane(arm.x, i), lane(arm.y, i), lane(arm.z, i)};
    const double half[3] = {lane(box.half.x, i), lane(box.half.y, i), lane(box.half.z, i)}, length = double(size[1]);
    const double unit[3] = {a[0] / length, a[1] / length, a[2] / length};
    const double apart = double(margin) + 2 * (double(size[0]) + length + half[0] + half[1] + half[2]);
    const SegmentPoints found = touch_box(c, unit, a, length * length, half, apart);
    if (found.count > 0) set(first, i, found.first);
    if (found.count > 1) set(second, i, found.second);
  }
  touch_with_sphere(box, close & (first < none), center + first * along, first, size[0], margin, near);
  touch_with_sphere(box, close & (second < none), center + second * along, second, size[0], margin, near);
}

// Finds the points at which collider i, with its centre there in the world, touches static things, and calls f(touch, near)
// for those of every kind, if some lane has any. along: from a capsule's centre to the end of its segment.
template <class V, class F>
WALKIES_INLINE void over_static(const Model<Scalar<V>>& m, int i, Vec3<V> center, Vec3<V> along, F&& f) {
  using S = Scalar<V>;
  const Collider<S>& collider = m.collider[i];
  const bool capsule = collider.shape == kCapsule;
  const S radius = collider.size[0], reach = capsule ? radius + collider.size[1] : radius;
  for (int kind = 0; kind < m.kinds; kind++) {
    const Touch<S>& touch = m.touch[kind][i];
    if (touch.margin == -S(__builtin_inf())) continue;
    Near<V> near;
    near.used = 0, near.count = Index<V>{};
    over_boxes<false>(m.boxes[kind], center, reach + touch.margin, [&](Mask<V> there, const PlacedBox<V>& box) {
      if (capsule) touch_with_capsule(box, there, center, along, collider.size, touch.margin, near);
      else touch_with_sphere(box, there, center, V{}, radius, touch.margin, near);
    });
    if (near.used) f(touch, near);
    for (int n = 0; n < m.fields; n++) {
      if (m.field[n].kind != kind) continue;
      near.used = 0, near.count = Index<V>{};
      over_prisms<false>(m.field[n], center, radius + touch.margin, [&](Mask<V> there, const Nearest<V>& found) {
        const V distance = found.distance - radius;
        const Mask<V> touches = there & (distance < touch.margin);
        if (any(touches)) near.template add<true>(touches, distance, found.normal, V{}, radius);
      });
      if (near.used) f(touch, near);
    }
  }
}

// Distance of collider i, if it is a sphere, to the nearest of the static boxes and prisms over or under which it is; kFar
// where there is none.
template <class V>
WALKIES_NOINLINE V static_distance(const Model<Scalar<V>>& m, int i, Vec3<V> center) {
  using S = Scalar<V>;
  const S radius = m.collider[i].size[0];
  V least = splat<V>(S(kFar));
  if (m.collider[i].shape != kSphere) return least;
  for (int kind = 0; kind < m.kinds; kind++) {
    if (m.touch[kind][i].margin == -S(__builtin_inf())) continue;
    const auto nearer = [&](Mask<V> there, const Nearest<V>& found) {
      least = there ? min(least, found.distance - radius) : least;
    };
    over_boxes<true>(m.boxes[kind], center, radius,
                     [&](Mask<V> there, const PlacedBox<V>& box) { nearer(there, box.nearest(center)); });
    for (int n = 0; n < m.fields; n++) {
      if (m.field[n].kind == kind) over_prisms<true>(m.field[n], center, radius, nearer);
    }
  }
  return least;
}

}  // namespace walkies::WALKIES_NS
