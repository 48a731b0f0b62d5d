// One call's work for a block of robots, one robot per lane: load, step, check, store.
#pragma once

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "step.h"

namespace walkies::WALKIES_NS {

// walkies.sim.base says what they mean.
constexpr double kMaxSpeed = 1e3;
constexpr double kMaxNumber = 1e6;

// Physics steps between which targets are fetched and readings of the IMU written.
constexpr int kBatch = 8;

// Lanes in which every number is at most `bound` in size; comparisons with NaN are false.
template <class V>
WALKIES_INLINE Mask<V> within(const V* numbers, int count, Scalar<V> bound) {
  Mask<V> ok = abs(numbers[0]) <= bound;
  WALKIES_NO_UNROLL for (int i = 1; i < count; i++) ok = ok & (abs(numbers[i]) <= bound);
  return ok;
}

// Hands out pieces of one stretch of memory; without any it only counts what they take. AddressSanitizer knows nothing
// of the pieces, so it is told of gaps between them that nobody may touch.
struct Memory {
  char* begin;
  size_t used = 0;

  template <class T>
  T* take(int count) {
    used = (used + alignof(T) - 1) / alignof(T) * alignof(T);
    T* piece = begin ? reinterpret_cast<T*>(begin + used) : nullptr;
    used += size_t(count) * sizeof(T);
#if defined(__SANITIZE_ADDRESS__)
    constexpr size_t gap = 1024;
    if (begin) ASAN_POISON_MEMORY_REGION(begin + used, gap);
    used += gap;
#endif
    return piece;
  }

  // Before the stretch is given back.
  void release() {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(begin, used);
#endif
  }
};

// A block's memory is some 100 kB for a quadruped: on the stack, where the next block finds it in the cache. Robots of
// very many contact points get theirs from the heap.
constexpr size_t kMaxStack = size_t(1) << 20;

// Everything of a block that depends on the robot's size.
template <class V>
struct Workspace {
  V *params, *qpos, *qvel, *warmstart, *target;
  Motion<V> motion;
  Newton<V> newton;
  Rows<V> rows;
  Vec3<V>* columns;
  Twist<V>* twists;
  Frame<V>* frames;
  V* pair_rows;
  Vec3<V>* centers;
  V *q, *qd, *acceleration, *torque, *drag;
  Vec3<V> *force, *position, *velocity;  // of colliders
  V* distance;

  Workspace(const Model<Scalar<V>>& m, Memory& memory) {
    const int n = m.tree.joints, c = m.colliders, nv = 6 + n;
    q = memory.take<V>(n), qd = memory.take<V>(n), acceleration = memory.take<V>(nv), torque = memory.take<V>(n);
    drag = memory.take<V>(n);
    motion.link = memory.take<Link<V>>(n + 1);
    motion.velocity = memory.take<Spatial<V>>(n + 1);
    motion.acceleration = memory.take<Spatial<V>>(n + 1);
    motion.inertia = memory.take<Inertia<V>>(n + 1);
    motion.bias = memory.take<Spatial<V>>(n + 1);
    newton.mass = memory.take<V>(m.tree.size), newton.force = memory.take<V>(nv), newton.x = memory.take<V>(nv);
    newton.hessian = memory.take<V>(m.tree.size), newton.mass_x = memory.take<V>(nv), newton.step = memory.take<V>(nv);
    newton.gradient = memory.take<V>(nv), newton.mass_step = memory.take<V>(nv);
    rows.friction = memory.take<FrictionRow<V>>(n);
    rows.limit = memory.take<LimitRow<V>>(n);
    rows.contact = memory.take<Contact<V>>(m.contacts);
    columns = memory.take<Vec3<V>>(m.columns), twists = memory.take<Twist<V>>(m.twists);
    frames = memory.take<Frame<V>>(m.frames);
    params = memory.take<V>(count_params(n, c, m.surfaces));
    target = memory.take<V>(kBatch * n);
    qpos = memory.take<V>(7 + n), qvel = memory.take<V>(nv), warmstart = memory.take<V>(nv);
    force = memory.take<Vec3<V>>(c), position = memory.take<Vec3<V>>(c);
    velocity = memory.take<Vec3<V>>(c), distance = memory.take<V>(c);
    // Last, for much of it is rarely used: robots touch themselves in few places at a time.
    rows.pairs.contacts = 0;
    rows.pairs.pattern = memory.take<Pattern>(m.pairs ? 1 : 0);
    centers = memory.take<Vec3<V>>(m.pairs ? c : 0);
    rows.pairs.matrix = memory.take<V>(m.pairs ? triangle(nv) : 0), rows.pairs.step = memory.take<V>(m.pairs ? nv : 0);
    pair_rows = memory.take<V>(m.pair_rows);
    rows.pairs.contact = memory.take<PairContact<V>>(m.pair_slots);
  }
};

// Forces of the ground on the colliders in the last step.
template <class V>
WALKIES_NOINLINE void read_forces(const Physics<V>& w, Vec3<V>* force) {
  for (int i = 0; i < w.model.colliders; i++) force[i] = {V{}, V{}, V{}};
  for (int i = 0; i < w.rows.contacts; i++) {
    Vec3<V>& sum = force[w.rows.contact[i].collider];
    sum = sum + contact_force(w.rows.contact[i]);
  }
}

// Where the colliders are, and how they move, at the end of the control step.
template <class V>
WALKIES_NOINLINE void read_colliders(Physics<V>& w, Workspace<V>& out) {
  const V zero = V{};
  const Tree& t = w.model.tree;
  Link<V>* link = w.motion.link;
  Spatial<V>* velocity = w.motion.velocity;
  place_base(w.state, link[0]);
  velocity[0] = {link[0].rotation * w.state.omega, {zero, zero, zero}};
  for (int j = 0; j < t.joints; j++) {
    const int up = t.depth[j] ? t.path[j][t.depth[j] - 1] + 1 : 0;
    link[j + 1] = next_link(link[up], w.model.joint[j], w.state.q[j]);
    velocity[j + 1] = velocity[up] + w.state.qd[j] * link[j + 1].axis;
  }
  for (int i = 0; i < w.model.colliders; i++) {
    const Collider<Scalar<V>>& c = w.model.collider[i];
    const Link<V>& on = link[c.joint + 1];
    const Spatial<V>& moves = velocity[c.joint + 1];
    Vec3<V> center = center_of(c, on);
    out.distance[i] = w.model.plane ? lowest_height(c, on, w.state.position.z) : splat<V>(Scalar<V>(kFar));
    if (w.model.kinds) out.distance[i] = min(out.distance[i], static_distance(w.model, i, w.state.position + center));
    out.position[i] = w.state.position + center;
    out.velocity[i] = w.state.velocity + moves.linear + cross(moves.angular, center);
  }
}

// Lanes whose state is that of a robot.
template <class V>
WALKIES_INLINE Mask<V> is_sane(const RobotState<V>& s, int joints) {
  const Scalar<V> fast = kMaxSpeed, far = kMaxNumber;
  return within(&s.position.x, 3, far) & within(s.quaternion, 4, Scalar<V>(2)) & within(s.q, joints, far) &
         within(&s.velocity.x, 3, fast) & within(&s.omega.x, 3, fast) & within(s.qd, joints, fast);
}

// Runs the call's physics steps; returns the lanes in which no target was unusable.
template <class V>
WALKIES_NOINLINE Mask<V> run_steps(Physics<V>& w, V* target, const Call<Scalar<V>>& call, const int64_t row[],
                                   int used) {
  const int joints = w.model.tree.joints;
  const Scalar<V> far = kMaxNumber;
  const RobotState<V>& s = w.state;
  const V weight = sqrt(dot(w.params.gravity, w.params.gravity));
  const Vec3<V> down = Scalar<V>(1) / max(weight, splat<V>(Scalar<V>(1e-15))) * w.params.gravity;
  Mask<V> given = weight == weight;
  for (int begun = 0; begun < call.substeps; begun += kBatch) {
    const int steps = call.substeps - begun < kBatch ? call.substeps - begun : kBatch;
    Vec3<V> imu[kBatch][2];  // gyro, gravity
    load_rows(call.targets + begun * joints, row, steps * joints, target, int64_t(call.substeps) * joints);
    given = given & within(target, steps * joints, far);
    for (int i = 0; i < steps; i++) {
      physics_step(w, call.solver, target + i * joints);
      imu[i][0] = s.omega;
      imu[i][1] = rotate_back(from_quaternion(s.quaternion[0], s.quaternion[1], s.quaternion[2], s.quaternion[3]), down);
    }
    store_rows(&imu[0][0].x, 6 * steps, row[0], used, call.imu + begun * 6, int64_t(call.substeps) * 6);
  }
  return given;
}

// The state of `s` and the warm start `acceleration` from rows of qpos, qvel and qacc_warmstart, and back.
template <class V>
WALKIES_INLINE void unpack(const Workspace<V>& from, int joints, RobotState<V>& s) {
  const V *p = from.qpos, *v = from.qvel, *a = from.warmstart;
  s.position = {p[0], p[1], p[2]};
  V norm = Scalar<V>(1) / sqrt(p[3] * p[3] + p[4] * p[4] + p[5] * p[5] + p[6] * p[6]);
  for (int i = 0; i < 4; i++) s.quaternion[i] = p[3 + i] * norm;
  s.velocity = {v[0], v[1], v[2]};
  s.omega = {v[3], v[4], v[5]};
  s.q = from.q, s.qd = from.qd;
  for (int j = 0; j < joints; j++) s.q[j] = p[7 + j], s.qd[j] = v[6 + j], from.acceleration[6 + j] = a[6 + j];
  for (int i = 0; i < 3; i++) from.acceleration[i] = a[3 + i], from.acceleration[3 + i] = a[i];
}

template <class V>
WALKIES_INLINE void pack(const RobotState<V>& s, int joints, const Workspace<V>& to) {
  const V *position = &s.position.x, *velocity = &s.velocity.x, *omega = &s.omega.x, *a = to.acceleration;
  for (int i = 0; i < 3; i++) {
    to.qpos[i] = position[i], to.qvel[i] = velocity[i], to.qvel[3 + i] = omega[i];
    to.warmstart[i] = a[3 + i], to.warmstart[3 + i] = a[i];
  }
  for (int i = 0; i < 4; i++) to.qpos[3 + i] = s.quaternion[i];
  for (int j = 0; j < joints; j++) to.qpos[7 + j] = s.q[j], to.qvel[6 + j] = s.qd[j], to.warmstart[6 + j] = a[6 + j];
}

template <class V>
WALKIES_INLINE void run_in(Workspace<V>& work, const Model<Scalar<V>>& model, const Call<Scalar<V>>& call,
                           int64_t block) {
  using S = Scalar<V>;
  constexpr int lanes = Number<V>::lanes;
  const int joints = model.tree.joints, nq = 7 + joints, nv = 6 + joints;
  const int param_count = count_params(joints, model.colliders, model.surfaces);
  const int64_t first = block * lanes;
  const int used = call.robots - first < lanes ? int(call.robots - first) : lanes;

  // Lanes past the last robot repeat it; they are computed and thrown away.
  int64_t row[lanes], param_row[lanes];
  for (int i = 0; i < lanes; i++) {
    row[i] = first + (i < used ? i : used - 1);
    param_row[i] = call.param_rows == 1 ? 0 : row[i];
  }

  V push[3] = {};
  load_rows(call.params, param_row, param_count, work.params, param_count);
  load_rows(call.qpos, row, nq, work.qpos, nq);
  load_rows(call.qvel, row, nv, work.qvel, nv);
  load_rows(call.warmstart, row, nv, work.warmstart, nv);
  if (call.push) load_rows(call.push, row, 3, push, 3);

  const V zero = V{};
  // Of broken parameters every number is NaN. In other numbers min, max and comparisons would hide a NaN before it
  // reached the new state: a motor clamped to its limit looks like any other.
  const S far = kMaxNumber;
  const RobotParams<V> params(model, work.params);
  const Mask<V> given = (params.gravity.x == params.gravity.x) & within(work.qpos, nq, far) &
                        within(work.qvel, nv, far) & within(work.warmstart, nv, far) & within(push, 3, far);
  const bool pushed = any((push[0] != zero) | (push[1] != zero) | (push[2] != zero));
  Mask<V> falls = zero > zero;
  for (int j = 0; j < joints; j++) falls = falls | (params.joint[j].slowing > zero);
  Physics<V> w{model,       params,      pushed,    {push[0], push[1], push[2]}, any(falls), {}, work.acceleration,
               work.torque, work.drag, work.motion, work.newton, work.rows, work.columns, work.twists, work.frames,
               work.pair_rows, work.centers};
  unpack(work, joints, w.state);
  for (int j = 0; j < joints; j++) work.torque[j] = zero;
  w.rows.contacts = 0;

  const Mask<V> targets_given = run_steps(w, work.target, call, row, used);
  read_forces(w, work.force);
  const Mask<V> ok = given & targets_given & is_sane(w.state, joints) & within(work.acceleration, nv, far);
  read_colliders(w, work);

  pack(w.state, joints, work);
  store_rows(work.qpos, nq, first, used, call.qpos_out);
  store_rows(work.qvel, nv, first, used, call.qvel_out);
  store_rows(work.warmstart, nv, first, used, call.warmstart_out);
  store_rows(work.distance, model.colliders, first, used, call.distance);
  store_rows(&work.force[0].x, 3 * model.colliders, first, used, call.force);
  store_rows(&work.position[0].x, 3 * model.colliders, first, used, call.position);
  store_rows(&work.velocity[0].x, 3 * model.colliders, first, used, call.velocity);
  store_rows(work.torque, joints, first, used, call.torque);
  store_rows(work.acceleration + 3, 3, first, used, call.acceleration);
  V flags = ok ? splat<V>(1) : zero;
  const S* flag = reinterpret_cast<const S*>(&flags);
  for (int i = 0; i < used; i++) call.ok[first + i] = flag[i] != S(0);
}

template <class V>
void run_block(const void* model_storage, const Call<Scalar<V>>& call, int64_t block) {
  const auto& model = *static_cast<const Model<Scalar<V>>*>(model_storage);
  Memory memory{nullptr};
  Workspace<V> work(model, memory);
  const size_t bytes = (memory.used + 63) / 64 * 64;
  const bool fits = bytes <= kMaxStack;
  memory = {static_cast<char*>(fits ? __builtin_alloca_with_align(bytes, 512) : aligned_alloc(64, bytes))};
  if (memory.begin) {
    work = Workspace<V>(model, memory);
    run_in(work, model, call, block);
    memory.release();
  } else {
    const int64_t first = block * Number<V>::lanes;
    for (int64_t i = first; i < first + Number<V>::lanes && i < call.robots; i++) call.ok[i] = 0;
  }
  if (!fits) free(memory.begin);
}

}  // namespace walkies::WALKIES_NS
