// One call's work for a block of robots, one robot per lane: load, step, check, store.
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
};

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

// Physics steps between which targets are fetched and readings of the IMU written.
constexpr int kBatch = 8;

// Runs the call's physics steps; returns the lanes in which no target was unusable.
template <class V, int L, int J>
WALKIES_INLINE Mask<V> run_steps(Physics<V, L, J>& w, const Call<Scalar<V>>& call, const int64_t row[], int used) {
  constexpr int joints = L * J;
  const Scalar<V> far = kMaxNumber;
  const RobotState<V, L, J>& s = w.state;
  const V weight = sqrt(dot(w.params.gravity, w.params.gravity));
  const Vec3<V> down = Scalar<V>(1) / max(weight, splat<V>(Scalar<V>(1e-15))) * w.params.gravity;
  Mask<V> given = weight == weight;
  for (int begun = 0; begun < call.substeps; begun += kBatch) {
    const int steps = call.substeps - begun < kBatch ? call.substeps - begun : kBatch;
    V target[kBatch][L][J];
    Vec3<V> imu[kBatch][2];  // gyro, gravity
    load_rows(call.targets + begun * joints, row, steps * joints, target[0][0], int64_t(call.substeps) * joints);
    given = given & within(target[0][0], steps * joints, far);
    for (int i = 0; i < steps; i++) {
      physics_step(w, call.solver, target[i]);
      imu[i][0] = s.omega;
      imu[i][1] = rotate_back(from_quaternion(s.quaternion[0], s.quaternion[1], s.quaternion[2], s.quaternion[3]), down);
    }
    store_rows(&imu[0][0].x, 6 * steps, row[0], used, call.imu + begun * 6, int64_t(call.substeps) * 6);
  }
  return given;
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
  V qpos[nq], qvel[nv], warmstart[nv], push[3] = {};
  load_rows(call.qpos, row, nq, qpos, nq);
  load_rows(call.qvel, row, nv, qvel, nv);
  load_rows(call.warmstart, row, nv, warmstart, nv);
  if (call.push) load_rows(call.push, row, 3, push, 3);

  const V zero = V{};
  // Of broken parameters every number is NaN. In other numbers min, max and comparisons would hide a NaN before it
  // reached the new state: a motor clamped to its limit looks like any other.
  const S far = kMaxNumber;
  const Mask<V> given = (params.friction == params.friction) & within(qpos, nq, far) & within(qvel, nv, far) &
                        within(warmstart, nv, far) & within(push, 3, far);
  const bool pushed = any((push[0] != zero) | (push[1] != zero) | (push[2] != zero));
  Mask<V> falls = zero > zero;
  for (int i = 0; i < joints; i++) falls = falls | (params.joint[i / J][i % J].slowing > zero);
  Physics<V, L, J> w{model, params, pushed, {push[0], push[1], push[2]}, any(falls)};
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

  const Mask<V> targets_given = run_steps(w, call, row, used);
  keep_forces(w);
  const Mask<V> ok = given & targets_given & is_sane<V, L, J>(s) & within(w.acceleration.base, 6, far) &
                     within(w.acceleration.leg[0], joints, far);
  Outputs<V, L, J> out;
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
  store_rows(out.distance, model.spheres, first, used, call.distance);
  store_rows(&w.last.force[0].x, 3 * model.spheres, first, used, call.force);
  store_rows(&out.position[0].x, 3 * model.spheres, first, used, call.position);
  store_rows(&out.velocity[0].x, 3 * model.spheres, first, used, call.velocity);
  store_rows(&w.last.torque[0][0], joints, first, used, call.torque);
  store_rows(&w.acceleration.base[3], 3, first, used, call.acceleration);
  V flags = ok ? splat<V>(1) : zero;
  const S* flag = reinterpret_cast<const S*>(&flags);
  for (int i = 0; i < used; i++) call.ok[first + i] = flag[i] != S(0);
}

}  // namespace walkies::WALKIES_NS
