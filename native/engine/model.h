// A robot as the kernel sees it: constants of the model, and the packed physical parameters of each robot.
#pragma once

#include "call.h"
#include "spatial.h"
#include "tree.h"

namespace walkies::WALKIES_NS {

template <class S>
struct JointConstants {
  S position[3];
  S rotation[9];
  S lower, upper;
  S control_lower, control_upper;
  S control_gain, gear, low_share, high_share, torque_lower, torque_upper;
  S limit_stiffness, limit_damping;
  ImpedanceCurve<S> limit_impedance;
  S friction_damping, friction_ratio;
  S friction_decay;  // of a row of dry friction in one step
};

template <class S>
struct Collider {
  int joint, surface, condim;
  Shape shape;
  S position[3], rotation[9], size[3], margin, spin, roll;
};

// Two colliders that may touch one another. What moves one against the other are the joints of their two paths beyond
// the part that both share: motions of the base and of shared joints cancel.
template <class S>
struct Pair {
  int first, second, surface, condim;
  S margin, spin, roll;
  S reach;     // m, of the centres: no contact beyond
  int shared;  // joints that both paths begin with
  int branch[2];  // joints of either path after those
  int slots;   // contacts that there may be
};

// Points at which a collider may touch a plane; of a box's eight corners four do so at most.
constexpr int contact_points(Shape shape) {
  return shape == kSphere ? 1 : shape == kCapsule ? 2 : shape == kBox ? 8 : 4;
}

template <class S>
struct Model {
  S timestep, inverse_impratio;
  Tree tree;
  JointConstants<S> joint[kMaxJoints];
  bool servos;  // every joint has a position servo without a gear, with a symmetric limit
  Implicit implicit;
  int colliders, surfaces;
  Collider<S> collider[kMaxColliders];
  int contacts, columns;  // of all contacts that there can be; columns of their Jacobians
  int twists;             // of them, those with torsional friction
  int pairs;
  Pair<S> pair[kMaxPairs];
  int pair_slots, pair_rows;  // of all contacts of pairs that there can be; numbers in their Jacobians
};

template <class S>
ImpedanceCurve<S> convert(const ImpedanceCurve<double>& c) {
  return {S(c.low), S(c.high), S(c.inverse_width), S(c.middle), S(c.gain_low), S(c.gain_high), S(c.power)};
}

// How far from its centre the surface of a sphere or capsule may be.
template <class S>
S reach_of(const Collider<S>& c) {
  return c.shape == kCapsule ? c.size[0] + c.size[1] : c.size[0];
}

template <class S>
void load_pair(const PairNumbers& from, const Model<S>& m, Pair<S>& p) {
  p.first = int(from.first), p.second = int(from.second), p.surface = int(from.surface), p.condim = int(from.condim);
  p.margin = S(from.margin), p.spin = S(from.spin), p.roll = S(from.roll);
  const Collider<S>&a = m.collider[p.first], &b = m.collider[p.second];
  p.reach = reach_of(a) + reach_of(b) + p.margin;
  p.slots = a.shape == kCapsule && b.shape == kCapsule ? 2 : 1;
  const Tree& t = m.tree;
  const int first = a.joint < 0 ? 0 : t.depth[a.joint] + 1, second = b.joint < 0 ? 0 : t.depth[b.joint] + 1;
  p.shared = 0;
  while (p.shared < first && p.shared < second && t.path[a.joint][p.shared] == t.path[b.joint][p.shared]) p.shared++;
  p.branch[0] = first - p.shared, p.branch[1] = second - p.shared;
}

// Fills in a model; the constants are those of a robot that fits.
template <class S>
void load_model(const double* constants, void* storage) {
  auto& m = *static_cast<Model<S>*>(storage);
  const auto& all = *reinterpret_cast<const ModelNumbers*>(constants);
  const auto* joints = reinterpret_cast<const JointNumbers*>(constants + kModelNumbers);
  const int n = int(all.joints);
  const auto* colliders = reinterpret_cast<const ColliderNumbers*>(joints + n);
  m.timestep = S(all.timestep), m.inverse_impratio = S(1 / all.impratio);
  m.implicit = Implicit(int(all.implicit)), m.servos = true;
  int parent[kMaxJoints];
  for (int j = 0; j < n; j++) {
    const JointNumbers& from = joints[j];
    JointConstants<S>& c = m.joint[j];
    parent[j] = int(from.parent);
    for (int i = 0; i < 3; i++) c.position[i] = S(from.position[i]);
    for (int i = 0; i < 9; i++) c.rotation[i] = S(from.rotation[i]);
    c.lower = S(from.lower), c.upper = S(from.upper);
    c.control_lower = S(from.control_lower), c.control_upper = S(from.control_upper);
    c.control_gain = S(from.control_gain), c.gear = S(from.gear);
    c.low_share = S(from.low_share), c.high_share = S(from.high_share);
    c.torque_lower = S(from.torque_lower), c.torque_upper = S(from.torque_upper);
    m.servos = m.servos && from.control_gain == 0 && from.gear == 1 && from.low_share == 1 && from.high_share == 1 &&
               from.torque_lower == -__builtin_inf() && from.torque_upper == __builtin_inf();
    c.limit_stiffness = S(from.limit_stiffness), c.limit_damping = S(from.limit_damping);
    c.limit_impedance = convert<S>(from.limit_impedance);
    c.friction_damping = S(from.friction_damping), c.friction_ratio = S(from.friction_ratio);
    c.friction_decay = c.friction_damping * m.timestep;
  }
  make_tree(n, parent, m.tree);
  m.colliders = int(all.colliders), m.surfaces = int(all.surfaces);
  m.contacts = m.columns = m.twists = 0;
  for (int i = 0; i < m.colliders; i++) {
    const ColliderNumbers& from = colliders[i];
    Collider<S>& c = m.collider[i];
    c.joint = int(from.joint), c.surface = int(from.surface), c.condim = int(from.condim);
    c.shape = Shape(int(from.shape));
    for (int k = 0; k < 3; k++) c.position[k] = S(from.position[k]), c.size[k] = S(from.size[k]);
    for (int k = 0; k < 9; k++) c.rotation[k] = S(from.rotation[k]);
    c.margin = S(from.margin), c.spin = S(from.spin), c.roll = S(from.roll);
    const int points = contact_points(c.shape);
    m.contacts += points;
    m.columns += points * (c.joint < 0 ? 0 : m.tree.depth[c.joint] + 1);
    m.twists += c.condim > 3 ? points : 0;
  }
  const auto* pairs = reinterpret_cast<const PairNumbers*>(colliders + m.colliders);
  m.pairs = int(all.pairs), m.pair_slots = m.pair_rows = 0;
  for (int i = 0; i < m.pairs; i++) {
    Pair<S>& p = m.pair[i];
    load_pair(pairs[i], m, p);
    m.pair_slots += p.slots;
    m.pair_rows += p.slots * p.condim * (p.branch[0] + p.branch[1]);
  }
}

// As BodyNumbers, in the terms of spatial.h.
template <class V>
struct BodyParams {
  V mass;
  Vec3<V> center;
  Symmetric<V> inertia;
};
static_assert(sizeof(BodyParams<double>) == sizeof(BodyNumbers<double>));

// Where the parameters of the robots of one block lie: one flat array.
template <class V>
struct RobotParams {
  const BodyParams<V>* body;  // the base, then every joint's link
  const JointParams<V>* joint;
  const ColliderParams<V>* collider;
  Vec3<V> gravity;
  const SurfaceParams<V>* surface;

  RobotParams(const Model<Scalar<V>>& m, const V* at) {
    body = reinterpret_cast<const BodyParams<V>*>(at), at += (m.tree.joints + 1) * kBodyParams;
    joint = reinterpret_cast<const JointParams<V>*>(at), at += m.tree.joints * kJointParams;
    collider = reinterpret_cast<const ColliderParams<V>*>(at), at += m.colliders * kColliderParams;
    gravity = {at[0], at[1], at[2]}, at += kWorldParams;
    surface = reinterpret_cast<const SurfaceParams<V>*>(at);
  }
};

template <class V>
struct RobotState {
  Vec3<V> position;
  V quaternion[4];
  Vec3<V> velocity;  // world
  Vec3<V> omega;     // body
  V *q, *qd;         // joints
};

}  // namespace walkies::WALKIES_NS
