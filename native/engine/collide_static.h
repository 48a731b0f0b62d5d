// Spheres against static boxes and height fields by MuJoCo's rules (mjraw_SphereBox, mjc_ConvexHField). Which boxes and
// cells are looked at differs from lane to lane, and the points that a lane finds are its first ones: a block of robots
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

// Calls f(mask, nearest) for every box that a sphere may touch: nearest to its centre, with the box's rotation applied.
// far_above: whether boxes that the sphere is too high above for are left out.
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
    V rotation[9];
    WALKIES_UNROLL for (int i = 0; i < 9; i++) rotation[i] = gather(numbers + 3 + i, box);
    const Vec3<V> origin{gather(numbers, box), gather(numbers + 1, box), gather(numbers + 2, box)};
    const Vec3<V> half{gather(numbers + 12, box), gather(numbers + 13, box), gather(numbers + 14, box)};
    Nearest<V> found = nearest_of_box(into(rotation, center - origin), half);
    found.normal = out_of(rotation, found.normal);
    f(there, found);
  }
}

// Likewise, for every prism of a height field below a sphere's bounding box. MuJoCo raises the prisms by the margin, and
// adds half of it to the radius; `radius` is without it.
template <bool FarAbove, class V, class F>
WALKIES_INLINE void over_prisms(const Field<Scalar<V>>& field, Vec3<V> center, Scalar<V> radius, Scalar<V> margin, F&& f) {
  using S = Scalar<V>;
  const V zero = V{};
  const Vec3<V> from{center.x - field.position[0], center.y - field.position[1], center.z - field.position[2]};
  const Vec3<V> at = into(field.rotation, from);
  // Cells from the one in which the sphere's box begins to the one in which it ends, of those that there are.
  const auto begin_of = [&](V x, S half, S step, int points) {
    return to_index(clamp((x - radius + half) / step, zero, splat<V>(S(points - 1))));
  };
  const auto end_of = [&](V x, S half, S step, int points) {
    const V end = clamp((x + radius + half) / step, zero, splat<V>(S(points - 1)));
    const V whole = to_number(to_index(end));
    return to_index(whole < end ? whole + S(1) : whole);
  };
  const Index<V> column = begin_of(at.x, field.half_x, field.step_x, field.columns);
  const Index<V> row = begin_of(at.y, field.half_y, field.step_y, field.rows);
  const Index<V> across = end_of(at.x, field.half_x, field.step_x, field.columns) - column;
  const Index<V> along = end_of(at.y, field.half_y, field.step_y, field.rows) - row;
  const Mask<V> above_bottom = at.z + (radius + margin) >= field.bottom;
  const V left = to_number(column) * field.step_x - field.half_x - at.x;
  const V front = to_number(row) * field.step_y - field.half_y - at.y;
  const V bottom = field.bottom - at.z, lowest = splat<V>(-radius);
  for (int r = 0; r < field.along; r++) {
    if (!any(r < along)) return;
    for (int c = 0; c < field.across; c++) {
      const Mask<V> there = above_bottom & (r < along) & (c < across);
      if (!any(there)) break;
      const Index<V> none = {};
      const Index<V> corner = there ? (row + r) * field.columns + column + c : none;
      const auto top = [&](int dr, int dc) {
        const V height = gather(field.height + dr * field.columns + dc, corner);
        return Vec3<V>{left + S(c + dc) * field.step_x, front + S(r + dr) * field.step_y, height + margin - at.z};
      };
      const Vec3<V> p00 = top(0, 0), p01 = top(0, 1), p10 = top(1, 0), p11 = top(1, 1);
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

constexpr int kMaxPoints = kMaxPrisms > kMaxNear ? kMaxPrisms : kMaxNear;

// Points at which a sphere touches static things, every lane's own.
template <class V>
struct Near {
  int used;  // of the lane that has most
  Index<V> count;
  V distance[kMaxPoints];
  Vec3<V> normal[kMaxPoints];
  V copies[kMaxPoints];  // how many equal ones it stands for

  // Adds a point in some lanes. Merge: it may be one of those that are there. Prisms that have the nearest point in
  // common give MuJoCo as many equal contacts, which act as one of so many times the weight.
  template <bool Merge>
  WALKIES_NOINLINE void add(Mask<V> touches, V distance_, Vec3<V> normal_, Scalar<V> radius) {
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
      if (k == used) distance[k] = zero, normal[k] = {zero, zero, zero}, copies[k] = one, used++;
      const Mask<V> here = touches & (count == k);
      distance[k] = here ? distance_ : distance[k], normal[k] = select(here, normal_, normal[k]);
      copies[k] = here ? one : copies[k];
      touches = touches & lanes_not(here);
      count = here ? count + 1 : count;
      if (!any(touches)) return;
    }
  }
};

// Finds the points at which collider i, a sphere with its centre there in the world, touches static things, and calls
// f(touch, near, radius) for each of those that touch somewhere.
template <class V, class F>
WALKIES_INLINE void over_static(const Model<Scalar<V>>& m, int i, Vec3<V> center, F&& f) {
  using S = Scalar<V>;
  const S radius = m.collider[i].size[0];
  for (int kind = 0; kind < m.kinds; kind++) {
    const Touch<S>& touch = m.touch[kind][i];
    if (touch.margin == -S(__builtin_inf())) continue;
    Near<V> near;
    near.used = 0, near.count = Index<V>{};
    over_boxes<false>(m.boxes[kind], center, radius + touch.margin, [&](Mask<V> there, const Nearest<V>& found) {
      const V distance = found.distance - radius;
      const Mask<V> touches = there & (distance < touch.margin);
      if (any(touches)) near.template add<false>(touches, distance, found.normal, radius);
    });
    if (near.used) f(touch, near, splat<V>(radius));
    for (int n = 0; n < m.fields; n++) {
      if (m.field[n].kind != kind) continue;
      const S wide = radius + S(0.5) * touch.margin;
      near.used = 0, near.count = Index<V>{};
      over_prisms<false>(m.field[n], center, radius, touch.margin, [&](Mask<V> there, const Nearest<V>& found) {
        const V distance = found.distance - wide;
        const Mask<V> touches = there & (distance < S(0));
        if (any(touches)) near.template add<true>(touches, distance, found.normal, radius);
      });
      if (near.used) f(touch, near, splat<V>(wide));
    }
  }
}

// Distance of collider i, a sphere, to the nearest of the static boxes and prisms over or under which it is; kFar where
// there is none.
template <class V>
WALKIES_NOINLINE V static_distance(const Model<Scalar<V>>& m, int i, Vec3<V> center) {
  using S = Scalar<V>;
  const S radius = m.collider[i].size[0];
  V least = splat<V>(S(kFar));
  for (int kind = 0; kind < m.kinds; kind++) {
    if (m.touch[kind][i].margin == -S(__builtin_inf())) continue;
    const auto nearer = [&](Mask<V> there, const Nearest<V>& found) {
      least = there ? min(least, found.distance - radius) : least;
    };
    over_boxes<true>(m.boxes[kind], center, radius, nearer);
    for (int n = 0; n < m.fields; n++) {
      if (m.field[n].kind == kind) over_prisms<true>(m.field[n], center, radius, S(0), nearer);
    }
  }
  return least;
}

}  // namespace walkies::WALKIES_NS
