// One physics step, as mj_step does it with the integrators Euler and implicitfast.
#pragma once

#include "../common/transpose.h"
#include "collide_static.h"
#include "pair_collide.h"
#include "solver.h"

namespace walkies::WALKIES_NS {

// One robot per lane, in the midst of a call: everything that a physics step reads and writes.
template <class V>
struct Physics {
  const Model<Scalar<V>>& model;
  const RobotParams<V> params;
  bool pushed;   // some lane has a force on its base
  Vec3<V> push;  // that force: N, world axes, at the base's centre of mass
  bool slows;    // some motor's torque falls with speed
  RobotState<V> state;
  V* acceleration;  // the last one, its angular part in body axes (as MuJoCo's qacc)
  V* torque;        // of the motors, in the last step
  V* drag;          // N m s/rad of each joint: damping that is integrated implicitly
  Motion<V> motion;
  Newton<V> newton;
  Rows<V> rows;
  // Memory for the contacts; what is left of it while they are made.
  Vec3<V>* columns;
  Twist<V>* twists;
  Frame<V>* frames;
  V* pair_rows;
  Vec3<V>* centers;  // of colliders, from the base origin
};

// A motor's torque. As in a DC motor, the torque to be had falls linearly with the speed in its own direction; against
// it, it stays.
template <bool Servos, class V>
WALKIES_INLINE V motor_torque(const JointConstants<Scalar<V>>& c, const JointParams<V>& p, bool slows, V target, V q,
                              V qd, V& low, V& high) {
  const V zero = V{}, one = splat<V>(1);
  V control = clamp(target, splat<V>(c.control_lower), splat<V>(c.control_upper));
  low = -p.torque_limit, high = p.torque_limit;
  if (!Servos) low = c.low_share * low, high = c.high_share * high;
  if (slows) {
    V share = p.slowing * qd;
    low = low * clamp(one + share, zero, one), high = high * clamp(one - share, zero, one);
  }
  if (Servos) return clamp(p.kp * (control - q) - p.kd * qd, low, high);
  V push = c.control_gain != 0 ? c.control_gain * control : p.kp * control;
  return clamp(push - c.gear * (p.kp * q + p.kd * qd), low, high);
}

// Motor torques, passive damping, springs; dry friction and joint limits as constraint rows.
template <bool Servos, class V>
WALKIES_NOINLINE void start_joints(Physics<V>& w, const V* target) {
  const V zero = V{}, one = splat<V>(1);
  const int n = w.model.tree.joints;
  Mask<V> any_limit = zero < zero;
  WALKIES_NO_UNROLL for (int j = 0; j < n; j++) {
    const JointConstants<Scalar<V>>& c = w.model.joint[j];
    const JointParams<V>& p = w.params.joint[j];
    V q = w.state.q[j], qd = w.state.qd[j];
    V low, high, torque = motor_torque<Servos>(c, p, w.slows, target[j], q, qd, low, high);
    w.torque[j] = torque;
    if (w.model.implicit) {
      // Of a motor at its limit the torque does not fall with speed.
      V servo = keep((torque > low) & (torque < high), c.gear * c.gear * p.kd);
      w.drag[j] = w.model.implicit == kPassiveAndServo ? p.damping + servo : p.damping;
    }
    if (!Servos) torque = clamp(c.gear * torque, splat<V>(c.torque_lower), splat<V>(c.torque_upper));
    w.newton.force[6 + j] += torque - p.damping * qd;
    if (w.model.springs) w.newton.force[6 + j] -= c.spring * (q - c.rest);

    FrictionRow<V>& f = w.rows.friction[j];
    f.weight = c.friction_ratio * p.inverse_weight;
    f.scaled = f.weight * (c.friction_damping * qd);
    f.loss = p.friction;

    V below = q - c.lower, above = c.upper - q;
    V distance = min(below, above);
    LimitRow<V>& l = w.rows.limit[j];
    l.sign = below < above ? splat<V>(1) : splat<V>(-1);
    l.change = distance;
    any_limit = any_limit | (distance < zero);
  }
  w.rows.limits = any(any_limit);
  if (!w.rows.limits) return;
  WALKIES_NO_UNROLL for (int j = 0; j < n; j++) {
    const JointConstants<Scalar<V>>& c = w.model.joint[j];
    const auto& i = c.limit_impedance;
    LimitRow<V>& l = w.rows.limit[j];
    V distance = l.change;
    V imp = impedance(distance, ImpedanceCurve<V>{splat<V>(i.low), splat<V>(i.high), splat<V>(i.inverse_width),
                                                  splat<V>(i.middle), splat<V>(i.gain_low), splat<V>(i.gain_high),
                                                  splat<V>(i.power)});
    l.weight = keep(distance < zero, imp / (one - imp) * w.params.joint[j].inverse_weight);
    l.residual = c.limit_damping * l.sign * w.state.qd[j] + c.limit_stiffness * imp * distance;
  }
}

// Whether a contact has edges beyond the fourth in some lane. One of condim 4 has none, and costs no more than one of
// condim 3, while no robot of the block has torsional friction.
template <class V>
WALKIES_INLINE bool twists(const Physics<V>& w, const Touch<Scalar<V>>& touch) {
  return touch.condim > 4 || (touch.condim == 4 && any(w.params.surface[touch.surface].torsion > V{}));
}

// The frame of a contact with the ground: a capsule's first tangent lies along its axis.
template <class V>
WALKIES_NOINLINE const Frame<V>* ground_frame(Physics<V>& w, const Collider<Scalar<V>>& s, const Placed<V>* placed) {
  const V zero = V{}, one = splat<V>(1);
  V tx = zero, ty = one;
  if (s.shape == kCapsule) {
    const V length = sqrt(placed->z.x * placed->z.x + placed->z.y * placed->z.y);
    const auto upright = length < Scalar<V>(1e-15);
    tx = upright ? one : placed->z.x / length, ty = upright ? zero : placed->z.y / length;
  }
  *w.frames = {{zero, zero, one}, {tx, ty, zero}, {-ty, tx, zero}};
  return w.frames++;
}

// Edges beyond the fourth. turns: how fast the link turns about their axes.
template <class V>
WALKIES_NOINLINE void start_twist(Physics<V>& w, const Touch<Scalar<V>>& touch, V torsion, Contact<V>& c, V turns[3]) {
  Twist<V>& twist = *w.twists++;
  c.twist = &twist;
  twist.axes = touch.condim == 4 ? 1 : 3;
  twist.link = w.motion.link;
  twist.axis[0] = c.frame->normal, twist.axis[1] = c.frame->first, twist.axis[2] = c.frame->second;
  twist.mu[0] = torsion * touch.spin, twist.mu[1] = twist.mu[2] = splat<V>(touch.roll);
  const Vec3<V> omega = w.motion.velocity[0].angular;
  for (int i = 0; i < twist.axes; i++) {
    turns[i] = dot(twist.axis[i], omega);
    for (int k = 0; k < c.count; k++) {
      turns[i] += w.state.qd[c.path[k]] * dot(twist.link[c.path[k] + 1].axis.angular, twist.axis[i]);
    }
  }
}

// Makes the contact rows of a point, from the base origin, of collider i.
template <class V>
WALKIES_INLINE Contact<V>& start_rows(Physics<V>& w, int i, const Touch<Scalar<V>>& touch, Vec3<V> point, V depth,
                                      const Frame<V>* frame) {
  const Collider<Scalar<V>>& s = w.model.collider[i];
  const Tree& t = w.model.tree;
  Contact<V>& c = w.rows.contact[w.rows.contacts++];
  c.collider = i;
  c.count = s.joint < 0 ? 0 : t.depth[s.joint] + 1;
  c.path = t.path[s.joint < 0 ? 0 : s.joint];
  c.column = w.columns, w.columns += c.count;
  c.point = point;
  c.frame = frame, c.twist = nullptr;
  Vec3<V> velocity = w.state.velocity + cross(w.motion.velocity[0].angular, c.point);
  with_columns(c.count, [&]<int C>() WALKIES_INLINED {
    over_columns<C>(c.count, [&](int k) WALKIES_INLINED {
      const Spatial<V>& axis = w.motion.link[c.path[k] + 1].axis;
      c.column[k] = axis.linear + cross(axis.angular, c.point);
      velocity = velocity + w.state.qd[c.path[k]] * c.column[k];
    });
  });
  V turns[3];
  const SurfaceParams<V>& surface = w.params.surface[touch.surface];
  if (twists(w, touch)) start_twist(w, touch, surface.torsion, c, turns);
  start_contact(w.model, surface, w.params.collider[i].inverse_weight, touch.condim, depth,
                velocity, turns, c);
  return c;
}

// Makes the contact rows of a point of collider i and the ground, if it touches in some lane.
template <class V>
WALKIES_INLINE void start_point(Physics<V>& w, int i, const Placed<V>* placed, Vec3<V> at, V distance) {
  const Collider<Scalar<V>>& s = w.model.collider[i];
  const V depth = distance - s.ground.margin;
  if (!any(depth < V{})) return;
  const bool framed = s.shape == kCapsule || twists(w, s.ground);
  start_rows(w, i, s.ground, {at.x, at.y, at.z - Scalar<V>(0.5) * distance}, depth,
             framed ? ground_frame(w, s, placed) : nullptr);
}

// Makes the contact rows of a collider's points with static geoms other than the plane.
template <class V>
WALKIES_NOINLINE void start_static(Physics<V>& w, int i) {
  const Collider<Scalar<V>>& s = w.model.collider[i];
  const Link<V>& link = w.motion.link[s.joint + 1];
  const Vec3<V> along = splat<V>(s.size[1]) * place(s, link).z;
  const Vec3<V> middle = center_of(s, link);
  over_static(w.model, i, w.state.position + middle, along, [&](const Touch<Scalar<V>>& touch, const Near<V>& near) {
    for (int k = 0; k < near.used; k++) {
      // A lane has points as many as its count; beyond them it touches nothing.
      const V distance = to_number(near.count) > Scalar<V>(k) ? near.distance[k] : splat<V>(Scalar<V>(kFar));
      Frame<V>& frame = *w.frames++;
      frame = frame_of(near.normal[k]);
      const Vec3<V> center = middle + near.at[k] * along;
      const Vec3<V> point = center - (s.size[0] + Scalar<V>(0.5) * distance) * frame.normal;
      Contact<V>& c = start_rows<V>(w, i, touch, point, distance - touch.margin, &frame);
      c.weight = near.copies[k] * c.weight;
    }
  });
}

template <class V>
WALKIES_NOINLINE void start_other_shape(Physics<V>& w, int i) {
  const Collider<Scalar<V>>& s = w.model.collider[i];
  const Placed<V> placed = place(s, w.motion.link[s.joint + 1]);
  const V height = w.state.position.z;
  const auto start = [&](Vec3<V> at, V distance) { start_point(w, i, &placed, at, distance); };
  if (s.shape == kCapsule) over_capsule(s, placed, height, start);
  if (s.shape == kBox) over_box(s, placed, height, start);
  if (s.shape == kCylinder) over_cylinder(s, placed, height, start);
}

// Finds the points that touch in some lane, and makes their contact rows.
template <class V>
WALKIES_NOINLINE void start_contacts(Physics<V>& w) {
  Vec3<V>* const columns = w.columns;
  Twist<V>* const twists = w.twists;
  Frame<V>* const frames = w.frames;
  w.rows.contacts = 0;
  WALKIES_NO_UNROLL for (int i = 0; i < w.model.colliders; i++) {
    const Collider<Scalar<V>>& s = w.model.collider[i];
    const Link<V>& link = w.motion.link[s.joint + 1];
    if (s.shape == kSphere) {
      over_sphere(s, center_of(s, link), w.state.position.z, [&](Vec3<V> at, V distance) WALKIES_INLINED {
        start_point(w, i, static_cast<const Placed<V>*>(nullptr), at, distance);
      });
    } else {
      start_other_shape(w, i);
    }
  }
  if (w.model.kinds) {
    for (int i = 0; i < w.model.colliders; i++) start_static(w, i);
  }
  w.columns = columns, w.twists = twists, w.frames = frames;
}

// Makes the rows of one contact of a pair, if it touches in some lane.
template <class V>
WALKIES_NOINLINE void start_meeting(Physics<V>& w, const Pair<Scalar<V>>& p, const Meeting<V>& at, V*& memory) {
  PairRows<V>& rows = w.rows.pairs;
  const V depth = at.distance - p.margin, zero = V{};
  const auto touches = depth < zero;
  if (!any(touches)) return;
  rows.touching = rows.touching | touches;
  PairContact<V>& c = rows.contact[rows.contacts++];
  c.rows = p.condim, c.count = 0, c.row = memory;
  const int count = p.branch[0] + p.branch[1];
  memory += c.rows * count;
  Vec3<V> axis[3] = {at.normal};
  tangents(axis[0], axis[1], axis[2]);
  const Tree& t = w.model.tree;
  const auto column = [&](int joint, Scalar<V> side) {
    const Spatial<V>& s = w.motion.link[joint + 1].axis;
    const Vec3<V> moves = s.linear + cross(s.angular, at.point);
    V* to = c.row + c.count;
    for (int i = 0; i < c.rows; i++, to += count) *to = side * (i < 3 ? dot(axis[i], moves) : dot(axis[i - 3], s.angular));
    c.joint[c.count++] = joint;
  };
  const int first = w.model.collider[p.first].joint, second = w.model.collider[p.second].joint;
  const int *a = t.path[first < 0 ? 0 : first] + p.shared, *b = t.path[second < 0 ? 0 : second] + p.shared;
  const int *a_end = a + p.branch[0], *b_end = b + p.branch[1];
  while (a < a_end || b < b_end) {
    if (b == b_end || (a < a_end && *a < *b)) column(*a++, -1);
    else column(*b++, 1);
  }
  couple(*rows.pattern, c.count, c.joint);
  const V one = w.params.collider[p.first].inverse_weight, other = w.params.collider[p.second].inverse_weight;
  start_pair_contact(w.model, p, w.params.surface[p.surface], one * other / (one + other), depth, w.state.qd, c);
}

template <class V>
WALKIES_NOINLINE void start_pair(Physics<V>& w, const Pair<Scalar<V>>& p, V*& memory) {
  const Collider<Scalar<V>>&a = w.model.collider[p.first], &b = w.model.collider[p.second];
  const Placed<V> pa = place(a, w.motion.link[a.joint + 1]), pb = place(b, w.motion.link[b.joint + 1]);
  if (b.shape == kSphere) {
    return start_meeting(w, p, meet_spheres(pa.center, a.size[0], pa.z, pb.center, b.size[0], pb.z), memory);
  }
  if (a.shape == kSphere) {
    // The sphere and the nearest point of the capsule's axis.
    const V half = splat<V>(b.size[1]), x = clamp(dot(pb.z, pa.center - pb.center), -half, half);
    return start_meeting(w, p, meet_spheres(pa.center, a.size[0], pa.z, pb.center + x * pb.z, b.size[0], pb.z), memory);
  }
  Meeting<V> one, two;
  const bool twice = meet_capsules(a, pa, b, pb, one, two);
  start_meeting(w, p, one, memory);
  if (twice) start_meeting(w, p, two, memory);
}

// Finds the contacts of the robot's own parts, and makes their rows.
template <class V>
WALKIES_NOINLINE void start_pairs(Physics<V>& w) {
  const Model<Scalar<V>>& m = w.model;
  PairRows<V>& rows = w.rows.pairs;
  rows.contacts = 0, rows.touching = V{} < V{};
  V* memory = w.pair_rows;
  WALKIES_NO_UNROLL for (int i = 0; i < m.colliders; i++) {
    const Collider<Scalar<V>>& c = m.collider[i];
    w.centers[i] = center_of(c, w.motion.link[c.joint + 1]);
  }
  WALKIES_NO_UNROLL for (int i = 0; i < m.pairs; i++) {
    const Pair<Scalar<V>>& p = m.pair[i];
    const Vec3<V> apart = w.centers[p.first] - w.centers[p.second];
    if (!any(dot(apart, apart) < p.reach * p.reach)) continue;
    if (!rows.contacts) start_pattern(m.tree, *rows.pattern);
    start_pair(w, p, memory);
  }
  if (rows.contacts) finish_pattern(m.tree, *rows.pattern);
}

// The acceleration that changes the velocities: where damping is integrated implicitly, that of (M + dt · drag) a = M x.
template <class V>
WALKIES_NOINLINE const V* damped(Physics<V>& w) {
  const Newton<V>& s = w.newton;
  const Tree& t = w.model.tree;
  WALKIES_NO_UNROLL for (int i = 0; i < t.size; i++) s.hessian[i] = s.mass[i];
  WALKIES_NO_UNROLL for (int j = 0; j < t.joints; j++) {
    s.hessian[t.row[j] + 6 + t.depth[j]] += w.model.timestep * w.drag[j];
  }
  factor(t, s.hessian);
  multiply(t, s.mass, s.x, s.step);
  solve(t, s.hessian, s.step);
  return s.step;
}

// Semi-implicit Euler: velocities first, then positions with the new velocities.
template <class V>
WALKIES_NOINLINE void integrate(Physics<V>& w) {
  const Scalar<V> dt = w.model.timestep, one = 1, half = 0.5, tiny = 1e-20;
  RobotState<V>& s = w.state;
  const V* x = w.newton.x;
  const int n = w.model.tree.joints;
  Vec3<V> alpha = rotate_back(w.motion.link[0].rotation, Vec3<V>{x[0], x[1], x[2]});
  w.acceleration[0] = alpha.x, w.acceleration[1] = alpha.y, w.acceleration[2] = alpha.z;
  WALKIES_NO_UNROLL for (int i = 3; i < 6 + n; i++) w.acceleration[i] = x[i];
  if (w.model.implicit != kNothing) {
    x = damped(w);
    alpha = rotate_back(w.motion.link[0].rotation, Vec3<V>{x[0], x[1], x[2]});
  }
  Vec3<V> linear{x[3], x[4], x[5]};
  s.velocity = s.velocity + splat<V>(dt) * linear;
  s.omega = s.omega + splat<V>(dt) * alpha;
  s.position = s.position + splat<V>(dt) * s.velocity;
  WALKIES_NO_UNROLL for (int j = 0; j < n; j++) {
    s.qd[j] += dt * x[6 + j];
    s.q[j] += dt * s.qd[j];
  }
  // Exact rotation by ω dt: quaternion (cos ½θ, ω/|ω| sin ½θ).
  V speed = sqrt(dot(s.omega, s.omega));
  SinCos<V> turn = sincos(half * dt * speed);
  V scale = speed > tiny ? turn.sin / speed : splat<V>(half * dt);
  V c = turn.cos, a = scale * s.omega.x, b = scale * s.omega.y, d = scale * s.omega.z;
  V qw = s.quaternion[0], qx = s.quaternion[1], qy = s.quaternion[2], qz = s.quaternion[3];
  V nw = qw * c - qx * a - qy * b - qz * d;
  V nx = qw * a + qx * c + qy * d - qz * b;
  V ny = qw * b - qx * d + qy * c + qz * a;
  V nz = qw * d + qx * b - qy * a + qz * c;
  V norm = one / sqrt(nw * nw + nx * nx + ny * ny + nz * nz);
  s.quaternion[0] = nw * norm, s.quaternion[1] = nx * norm, s.quaternion[2] = ny * norm, s.quaternion[3] = nz * norm;
}

template <class V>
WALKIES_INLINE void smooth_dynamics(Physics<V>& w) {
  dynamics(w.model, w.params, w.state, w.motion, w.newton.mass, w.newton.force);
  if (!w.pushed) return;
  Vec3<V> torque = cross(w.motion.link[0].rotation * w.params.body[0].center, w.push);
  V* base = w.newton.force;
  base[0] += torque.x, base[1] += torque.y, base[2] += torque.z;
  base[3] += w.push.x, base[4] += w.push.y, base[5] += w.push.z;
}

template <class V>
WALKIES_INLINE void physics_step(Physics<V>& w, const SolverSettings& solver, const V* target) {
  const V* last = w.acceleration;
  V* x = w.newton.x;
  smooth_dynamics(w);
  if (w.model.servos) start_joints<true>(w, target);
  else start_joints<false>(w, target);
  start_contacts(w);
  if (w.model.pairs) start_pairs(w);
  Vec3<V> alpha = w.motion.link[0].rotation * Vec3<V>{last[0], last[1], last[2]};
  x[0] = alpha.x, x[1] = alpha.y, x[2] = alpha.z;
  WALKIES_NO_UNROLL for (int i = 3; i < 6 + w.model.tree.joints; i++) x[i] = last[i];
  newton(w.newton, solver, w.model, w.rows);
  integrate(w);
}

}  // namespace walkies::WALKIES_NS
