// One control step of a block of robots, one robot per lane: load, step, check, store.
#pragma once

#include "step.h"

namespace walkies::WALKIES_NS {

// walkies.sim.base says what they mean.
constexpr double kMaxSpeed = 1e3;
constexpr double kMaxNumber = 1e6;

// Lanes in which every number is at most `bound` in size; comparisons with NaN are false.
template <class V>
WALKIES_INLINE Mask<V> within(const V* numbers, int count, Scalar<V> bound) {
  Mask<V> ok = abs(numbers[0]) <= bound;
  for (int i = 1; i < count; i++) ok = ok & (abs(numbers[i]) <= bound);
  return ok;
}

template <class V, int L, int J>
struct Outputs {
  Vec3<V> position[kMaxSpheres], velocity[kMaxSpheres];
  V distance[kMaxSpheres];
  Vec3<V> gyro, gravity;
};

template <class V>
WALKIES_INLINE void read_imu(Mask<V> when, Vec3<V> omega, const V q[4], Vec3<V> world_down, Vec3<V>& gyro,
                             Vec3<V>& gravity) {
  if (!any(when)) return;
  Vec3<V> down = rotate_back(from_quaternion(q[0], q[1], q[2], q[3]), world_down);
  gyro = {when ? omega.x : gyro.x, when ? omega.y : gyro.y, when ? omega.z : gyro.z};
  gravity = {when ? down.x : gravity.x, when ? down.y : gravity.y, when ? down.z : gravity.z};
}

// Where the spheres are, and how they move, at the end of the control step.
template <class V, int L, int J>
WALKIES_NOINLINE void read_spheres(Physics<V, L, J>& w, Outputs<V, L, J>& out) {
  forward_kinematics(w.model, w.state, w.pose);
  Vec3<V> omega = w.pose.base * w.state.omega;
  auto read = [&](const Sphere<Scalar<V>>& s, Vec3<V> center, const Spatial<V>& velocity) {
    out.distance[s.index] = center.z + w.state.position.z - s.radius;
    out.position[s.index] = w.state.position + center;
    out.velocity[s.index] = w.state.velocity + velocity.linear + cross(velocity.angular, center);
  };
  Spatial<V> base{omega, {V{}, V{}, V{}}};
  for (int n = 0; n < w.model.base_count; n++) {
    const auto& s = w.model.base[n];
    read(s, rotate(w.pose.base, s.position), base);
  }
  for (int l = 0; l < L; l++) {
    Spatial<V> velocity[J];
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      velocity[k] = (k ? velocity[k > 0 ? k - 1 : 0] : base) + w.state.qd[l][k] * w.pose.link[l][k].axis;
    }
    for (int n = 0; n < w.model.leg_count[l]; n++) {
      const auto& s = w.model.leg[l][n];
      const Link<V>& link = w.pose.link[l][s.link];
      read(s, link.origin + rotate(link.rotation, s.position), velocity[s.link]);
    }
  }
}

// Lanes whose state is that of a robot.
template <class V, int L, int J>
WALKIES_INLINE Mask<V> is_sane(const RobotState<V, L, J>& s) {
  const Scalar<V> fast = kMaxSpeed, far = kMaxNumber;
  return within(&s.position.x, 3, far) & within(s.quaternion, 4, Scalar<V>(2)) & within(s.q[0], L * J, far) &
         within(&s.velocity.x, 3, fast) & within(&s.omega.x, 3, fast) & within(s.qd[0], L * J, fast);
}

template <class V, int L, int J>
WALKIES_INLINE void select_state(Mask<V> m, const RobotState<V, L, J>& other, RobotState<V, L, J>& s) {
  constexpr int size = sizeof(RobotState<V, L, J>) / sizeof(V);
  V* to = reinterpret_cast<V*>(&s);
  const V* from = reinterpret_cast<const V*>(&other);
  for (int i = 0; i < size; i++) to[i] = m ? to[i] : from[i];
}

template <class V, int L, int J>
void run_block(const void* model_storage, const Call<Scalar<V>>& call, int64_t block) {
  using S = Scalar<V>;
  constexpr int lanes = Number<V>::lanes, joints = L * J, nq = 7 + joints, nv = 6 + joints;
  constexpr int param_count = sizeof(RobotParams<V, L, J>) / sizeof(V);
  const auto& model = *static_cast<const Model<S, L, J>*>(model_storage);
  const int64_t first = block * lanes;
  const int used = call.robots - first < lanes ? int(call.robots - first) : lanes;

  // Lanes past the last robot repeat it; they are computed and thrown away.
  int64_t row[lanes], param_row[lanes];
  for (int i = 0; i < lanes; i++) {
    row[i] = first + (i < used ? i : used - 1);
    param_row[i] = call.param_rows == 1 ? 0 : row[i];
  }

  RobotParams<V, L, J> params;
  load_rows(call.params, param_row, param_count, reinterpret_cast<V*>(&params), param_count);
  V qpos[nq], qvel[nv], warmstart[nv], old_targets[kTargetMemory * joints], target[joints];
  load_rows(call.qpos, row, nq, qpos, nq);
  load_rows(call.qvel, row, nv, qvel, nv);
  load_rows(call.warmstart, row, nv, warmstart, nv);
  load_rows(call.targets, row, kTargetMemory * joints, old_targets, kTargetMemory * joints);
  load_rows(call.target, row, joints, target, joints);

  const V zero = V{};
  V disturbance[kDisturbance] = {};
  if (call.disturbance) load_rows(call.disturbance, row, kDisturbance, disturbance, kDisturbance);
  const Vec3<V> push{disturbance[0], disturbance[1], disturbance[2]};
  const V* lateness = disturbance + 3;
  // Of broken parameters every number is NaN. In other numbers min, max and comparisons would hide a NaN before it
  // reached the new state: a motor clamped to its limit looks like any other.
  const S far = kMaxNumber;
  Mask<V> given = (params.command_delay == params.command_delay) & within(qpos, nq, far) & within(qvel, nv, far) &
                  within(warmstart, nv, far) & within(old_targets, kTargetMemory * joints, far) &
                  within(target, joints, far) & within(disturbance, kDisturbance, far);
  for (int n = 0; n < kTargetMemory; n++) given = given & (lateness[n] >= zero);
  const bool pushed = any((push.x != zero) | (push.y != zero) | (push.z != zero));
  const V weight = sqrt(dot(params.gravity, params.gravity));
  const Vec3<V> down = S(1) / max(weight, splat<V>(S(1e-15))) * params.gravity;
  Physics<V, L, J> w{model, params, pushed, push};
  RobotState<V, L, J>& s = w.state;
  s.position = {qpos[0], qpos[1], qpos[2]};
  V norm = S(1) / sqrt(qpos[3] * qpos[3] + qpos[4] * qpos[4] + qpos[5] * qpos[5] + qpos[6] * qpos[6]);
  for (int i = 0; i < 4; i++) s.quaternion[i] = qpos[3 + i] * norm;
  s.velocity = {qvel[0], qvel[1], qvel[2]};
  s.omega = {qvel[3], qvel[4], qvel[5]};
  for (int i = 0; i < joints; i++) {
    s.q[i / J][i % J] = qpos[7 + i];
    s.qd[i / J][i % J] = qvel[6 + i];
    w.acceleration.leg[i / J][i % J] = warmstart[6 + i];
  }
  for (int i = 0; i < 3; i++) {
    w.acceleration.base[i] = warmstart[3 + i];
    w.acceleration.base[3 + i] = warmstart[i];
  }

  const RobotState<V, L, J> before = s;
  Outputs<V, L, J> out;
  out.gyro = {zero, zero, zero};
  out.gravity = {zero, zero, zero};
  for (int step = 0; step < call.substeps; step++) {
    read_imu<V>(params.imu_delay == S(call.substeps - step), s.omega, s.quaternion, down, out.gyro, out.gravity);
    // The newest target that has been on its way for `command_delay` steps and its own lateness; target number n came n
    // control steps ago. Once one is in force no older one comes back, however late it is.
    V current[L][J];
    const bool on_time = !any(params.command_delay + lateness[0] > S(step));
    for (int i = 0; i < joints; i++) {
      if (on_time) {
        current[i / J][i % J] = target[i];
        continue;
      }
      V t = old_targets[(kTargetMemory - 2) * joints + i];
      for (int n = kTargetMemory - 2; n >= 0; n--) {
        auto arrived = params.command_delay + lateness[n] <= S(step + n * call.substeps);
        t = arrived ? (n == 0 ? target[i] : old_targets[(n > 0 ? n - 1 : 0) * joints + i]) : t;
      }
      current[i / J][i % J] = t;
    }
    physics_step(w, call.solver, current);
  }
  read_imu<V>(params.imu_delay <= zero, s.omega, s.quaternion, down, out.gyro, out.gravity);
  keep_forces(w);

  // A robot that blew up, or was given what is unusable, comes back where it was, at rest; if that was no sane state, in
  // the model's own pose.
  const Mask<V> ok = given & is_sane<V, L, J>(s) & within(w.acceleration.base, 6, far) &
                     within(w.acceleration.leg[0], joints, far);
  const bool all_ok = !any(lanes_not(ok));
  if (!all_ok) {
    RobotState<V, L, J> rest = before, home;
    const S* q0 = model.fallback_qpos;
    home.position = {splat<V>(q0[0]), splat<V>(q0[1]), splat<V>(q0[2])};
    for (int i = 0; i < 4; i++) home.quaternion[i] = splat<V>(model.fallback_qpos[3 + i]);
    for (int i = 0; i < joints; i++) {
      home.q[i / J][i % J] = splat<V>(model.fallback_qpos[7 + i]);
      home.qd[i / J][i % J] = zero;
      rest.qd[i / J][i % J] = zero;
    }
    home.velocity = home.omega = rest.velocity = rest.omega = {zero, zero, zero};
    select_state<V, L, J>(is_sane<V, L, J>(rest), home, rest);
    select_state<V, L, J>(ok, rest, s);
    for (int i = 0; i < 6; i++) w.acceleration.base[i] = keep(ok, w.acceleration.base[i]);
    for (int i = 0; i < joints; i++) {
      w.acceleration.leg[i / J][i % J] = keep(ok, w.acceleration.leg[i / J][i % J]);
      w.last.torque[i / J][i % J] = keep(ok, w.last.torque[i / J][i % J]);
      // A target that is unusable must not stay in the memory.
      for (int n = 0; n < kTargetMemory - 1; n++) {
        V& t = old_targets[n * joints + i];
        t = abs(t) <= far ? t : s.q[i / J][i % J];
      }
      target[i] = abs(target[i]) <= far ? target[i] : s.q[i / J][i % J];
    }
    for (int i = 0; i < model.spheres; i++) {
      Vec3<V>& f = w.last.force[i];
      f = {keep(ok, f.x), keep(ok, f.y), keep(ok, f.z)};
    }
    const auto falls = within(&down.x, 3, S(2));
    const Vec3<V> somewhere{keep(falls, down.x), keep(falls, down.y), falls ? down.z : splat<V>(S(-1))};
    read_imu<V>(lanes_not(ok), s.omega, s.quaternion, somewhere, out.gyro, out.gravity);
  }
  read_spheres(w, out);

  for (int i = 0; i < 3; i++) {
    const V* p = &s.position.x;
    const V* v = &s.velocity.x;
    const V* o = &s.omega.x;
    qpos[i] = p[i], qvel[i] = v[i], qvel[3 + i] = o[i];
    warmstart[i] = w.acceleration.base[3 + i], warmstart[3 + i] = w.acceleration.base[i];
  }
  for (int i = 0; i < 4; i++) qpos[3 + i] = s.quaternion[i];
  for (int i = 0; i < joints; i++) {
    qpos[7 + i] = s.q[i / J][i % J];
    qvel[6 + i] = s.qd[i / J][i % J];
    warmstart[6 + i] = w.acceleration.leg[i / J][i % J];
  }
  store_rows(qpos, nq, first, used, call.qpos_out);
  store_rows(qvel, nv, first, used, call.qvel_out);
  store_rows(warmstart, nv, first, used, call.warmstart_out);
  V memory[kTargetMemory * joints];
  for (int i = 0; i < joints; i++) memory[i] = target[i];
  for (int i = 0; i < (kTargetMemory - 1) * joints; i++) memory[joints + i] = old_targets[i];
  store_rows(memory, kTargetMemory * joints, first, used, call.targets_out);
  store_rows(out.distance, model.spheres, first, used, call.distance);
  store_rows(&w.last.force[0].x, 3 * model.spheres, first, used, call.force);
  store_rows(&out.position[0].x, 3 * model.spheres, first, used, call.position);
  store_rows(&out.velocity[0].x, 3 * model.spheres, first, used, call.velocity);
  store_rows(&w.last.torque[0][0], joints, first, used, call.torque);
  store_rows(&w.acceleration.base[3], 3, first, used, call.acceleration);
  store_rows(&out.gyro.x, 3, first, used, call.gyro);
  store_rows(&out.gravity.x, 3, first, used, call.gravity);
  V flags = ok ? splat<V>(1) : zero;
  const S* flag = reinterpret_cast<const S*>(&flags);
  for (int i = 0; i < used; i++) call.ok[first + i] = flag[i] != S(0);
}

}  // namespace walkies::WALKIES_NS
