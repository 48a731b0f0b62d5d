// One physics step, as mj_step with the Euler integrator does it.
#pragma once

#include "../common/transpose.h"
#include "solver.h"

namespace walkies::WALKIES_NS {

// What the last physics step leaves for the readings.
template <class V, int L, int J>
struct LastStep {
  V torque[L][J];
  Vec3<V> force[kMaxSpheres];
};

template <class V, int L, int J>
struct Physics {
  const Model<Scalar<V>, L, J>& model;
  const RobotParams<V, L, J>& params;
  bool pushed;   // some lane has a force on its base
  Vec3<V> push;  // that force: N, world axes, at the base's centre of mass
  bool slows;    // some motor's torque falls with speed
  RobotState<V, L, J> state;
  Generalized<V, L, J> acceleration;  // the last one, its angular part in body axes (as MuJoCo's qacc)
  LastStep<V, L, J> last;

  Pose<V, L, J> pose;
  Arrow<V, L, J> mass;
  Generalized<V, L, J> force, x;
  Rows<V, L, J> rows;
};

// Motor torques, passive damping; dry friction and joint limits as constraint rows. As in a DC motor, the torque to be
// had falls linearly with the speed in its own direction; against it, it stays.
template <class V, int L, int J>
WALKIES_NOINLINE void start_joints(Physics<V, L, J>& w, const V target[L][J]) {
  const V zero = V{}, one = splat<V>(1);
  Mask<V> any_limit = zero < zero;
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      const JointConstants<Scalar<V>>& c = w.model.joints[l][k];
      const JointParams<V>& p = w.params.joint[l][k];
      V q = w.state.q[l][k], qd = w.state.qd[l][k];
      V control = clamp(target[l][k], splat<V>(c.control_lower), splat<V>(c.control_upper));
      V low = -p.torque_limit, high = p.torque_limit;
      if (w.slows) {
        V share = p.slowing * qd;
        low = low * clamp(one + share, zero, one), high = high * clamp(one - share, zero, one);
      }
      V torque = clamp(p.kp * (control - q) - p.kd * qd, low, high);
      w.last.torque[l][k] = torque;
      w.force.leg[l][k] += torque - p.damping * qd;

      V weight = c.friction_ratio * p.inverse_weight;
      w.rows.friction_weight[l][k] = weight;
      w.rows.friction_scaled[l][k] = weight * (c.friction_damping * qd);
      w.rows.friction_loss[l][k] = p.friction;
      w.rows.friction_decay[l][k] = splat<V>(c.friction_damping * w.model.timestep);

      V below = q - c.lower, above = c.upper - q;
      V distance = min(below, above);
      V sign = below < above ? splat<V>(1) : splat<V>(-1);
      w.rows.limit_sign[l][k] = sign;
      w.rows.limit_change[l][k] = distance;
      any_limit = any_limit | (distance < zero);
    }
  }
  w.rows.limits = any(any_limit);
  if (!w.rows.limits) return;
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_NO_UNROLL for (int k = 0; k < J; k++) {
      const JointConstants<Scalar<V>>& c = w.model.joints[l][k];
      const auto& i = c.limit_impedance;
      V distance = w.rows.limit_change[l][k];
      V imp = impedance(distance, splat<V>(i.low), splat<V>(i.high), splat<V>(i.inverse_width), splat<V>(i.middle),
                        splat<V>(i.gain_low), splat<V>(i.gain_high), splat<V>(i.power));
      w.rows.limit_weight[l][k] = keep(distance < zero, imp / (one - imp) * w.params.joint[l][k].inverse_weight);
      w.rows.limit_residual[l][k] =
          c.limit_damping * w.rows.limit_sign[l][k] * w.state.qd[l][k] + c.limit_stiffness * imp * distance;
    }
  }
}

// Finds the spheres that touch in some lane, and makes their contact rows.
template <class V, int L, int J>
WALKIES_NOINLINE void start_contacts(Physics<V, L, J>& w, Vec3<V> omega) {
  const V zero = V{};
  const Scalar<V> half = 0.5;
  w.rows.mu = w.params.friction;
  w.rows.base_contacts = 0;
  for (int n = 0; n < w.model.base_count; n++) {
    const Sphere<Scalar<V>>& s = w.model.base[n];
    Vec3<V> center = rotate(w.pose.base, s.position);
    V distance = center.z + w.state.position.z - s.radius;
    if (!any(distance < zero)) continue;
    Contact<V, 0>& c = w.rows.base[w.rows.base_contacts++];
    c.sphere = s.index;
    c.point = {center.x, center.y, center.z - (half * distance + s.radius)};
    Vec3<V> velocity = w.state.velocity + cross(omega, c.point);
    start_contact(w.model, w.params, w.params.base.inverse_weight, distance, velocity, c);
  }
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    w.rows.leg_contacts[l] = 0;
    for (int n = 0; n < w.model.leg_count[l]; n++) {
      const Sphere<Scalar<V>>& s = w.model.leg[l][n];
      const Link<V>& link = w.pose.link[l][s.link];
      Vec3<V> center = link.origin + rotate(link.rotation, s.position);
      V distance = center.z + w.state.position.z - s.radius;
      if (!any(distance < zero)) continue;
      Contact<V, J>& c = w.rows.leg[l][w.rows.leg_contacts[l]++];
      c.sphere = s.index;
      c.point = {center.x, center.y, center.z - (half * distance + s.radius)};
      Vec3<V> velocity = w.state.velocity + cross(omega, c.point);
      WALKIES_UNROLL for (int k = 0; k < J; k++) {
        const Spatial<V>& axis = w.pose.link[l][k].axis;
        c.column[k] = k <= s.link ? axis.linear + cross(axis.angular, c.point) : Vec3<V>{zero, zero, zero};
        velocity = velocity + w.state.qd[l][k] * c.column[k];
      }
      start_contact(w.model, w.params, w.params.body[l][s.link].inverse_weight, distance, velocity, c);
    }
  }
}

// Semi-implicit Euler: velocities first, then positions with the new velocities.
template <class V, int L, int J>
WALKIES_NOINLINE void integrate(Physics<V, L, J>& w) {
  const Scalar<V> dt = w.model.timestep, one = 1, half = 0.5, tiny = 1e-20;
  RobotState<V, L, J>& s = w.state;
  Vec3<V> alpha = rotate_back(w.pose.base, Vec3<V>{w.x.base[0], w.x.base[1], w.x.base[2]});
  Vec3<V> linear{w.x.base[3], w.x.base[4], w.x.base[5]};
  w.acceleration = w.x;
  w.acceleration.base[0] = alpha.x, w.acceleration.base[1] = alpha.y, w.acceleration.base[2] = alpha.z;
  s.velocity = s.velocity + splat<V>(dt) * linear;
  s.omega = s.omega + splat<V>(dt) * alpha;
  s.position = s.position + splat<V>(dt) * s.velocity;
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      s.qd[l][k] += dt * w.x.leg[l][k];
      s.q[l][k] += dt * s.qd[l][k];
    }
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

template <class V, int L, int J>
WALKIES_NOINLINE void smooth_dynamics(Physics<V, L, J>& w, Vec3<V> omega) {
  forward_kinematics(w.model, w.state, w.pose);
  dynamics(w.params, w.state, w.pose, omega, w.mass, w.force);
  if (!w.pushed) return;
  Vec3<V> torque = cross(w.pose.base * w.params.base.center, w.push);
  V* base = w.force.base;
  base[0] += torque.x, base[1] += torque.y, base[2] += torque.z;
  base[3] += w.push.x, base[4] += w.push.y, base[5] += w.push.z;
}

template <class V, int L, int J>
WALKIES_INLINE void physics_step(Physics<V, L, J>& w, const SolverSettings& solver, const V target[L][J]) {
  const RobotState<V, L, J>& s = w.state;
  Rotation<V> base = from_quaternion(s.quaternion[0], s.quaternion[1], s.quaternion[2], s.quaternion[3]);
  Vec3<V> omega = base * s.omega;
  smooth_dynamics(w, omega);
  start_joints(w, target);
  start_contacts(w, omega);
  w.x = w.acceleration;
  Vec3<V> alpha = base * Vec3<V>{w.x.base[0], w.x.base[1], w.x.base[2]};
  w.x.base[0] = alpha.x, w.x.base[1] = alpha.y, w.x.base[2] = alpha.z;
  newton(solver, w.mass, w.force, w.rows, w.x);
  integrate(w);
}

template <class V, int L, int J>
WALKIES_INLINE void keep_forces(Physics<V, L, J>& w) {
  for (int i = 0; i < w.model.spheres; i++) w.last.force[i] = {V{}, V{}, V{}};
  for (int n = 0; n < w.rows.base_contacts; n++) {
    w.last.force[w.rows.base[n].sphere] = contact_force(w.rows.base[n], w.rows.mu);
  }
  for (int l = 0; l < L; l++) {
    for (int n = 0; n < w.rows.leg_contacts[l]; n++) {
      w.last.force[w.rows.leg[l][n].sphere] = contact_force(w.rows.leg[l][n], w.rows.mu);
    }
  }
}

}  // namespace walkies::WALKIES_NS
