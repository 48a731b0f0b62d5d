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
  S spring, rest;
};

// What a collider and static geoms of one kind are to one another.
template <class S>
struct Touch {
  int surface, condim;
  S margin, spin, roll;
};

template <class S>
struct Collider {
  int joint;
  Shape shape;
  S position[3], rotation[9], size[3];
  Touch<S> ground;
};

// Static boxes of one kind, found through a grid: see KindNumbers and StaticBox.
template <class S>
struct Boxes {
  int near, columns, rows;
  S left, front, inverse_cell;
  const S* top;
  const StaticBox<S>* box;
  const int32_t *start, *list;
};

// A height field. Heights are those of the corners of its cells; row r lies at y = r · step_y − half_y.
template <class S>
struct Field {
  int kind, columns, rows;
  int across, along;  // cells along x and along y that lie below one sphere at most
  S position[3], rotation[9], half_x, half_y, bottom, top, step_x, step_y;
  const S* height;
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
  bool springs;  // some joint has one
  bool servos;  // every joint has a position servo without a gear, with a symmetric limit
  Implicit implicit;
  int colliders, surfaces;
  Collider<S> collider[kMaxColliders];
  int contacts, columns;  // of all contacts that there can be; columns of their Jacobians
  int twists, frames;     // of them, those with torsional friction, and those with a frame of their own
  bool plane;             // there is the ground z = 0
  int kinds, fields;      // of static geoms
  Boxes<S> boxes[kMaxKinds];
  Field<S> field[kMaxFields];
  Touch<S> touch[kMaxKinds][kMaxColliders];
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

// Points at which a collider may touch `boxes` static boxes.
constexpr int most_points(Shape shape, int boxes) { return shape == kCapsule ? 2 * boxes : boxes; }

template <class S>
Touch<S> convert(const TouchNumbers& t) {
  return {int(t.surface), int(t.condim), S(t.margin), S(t.spin), S(t.roll)};
}

// Makes room for `points` contacts of a collider with static geoms of one kind.
template <class S>
void make_room(Model<S>& m, const Collider<S>& c, const Touch<S>& touch, int points, bool framed) {
  m.contacts += points;
  m.columns += points * (c.joint < 0 ? 0 : m.tree.depth[c.joint] + 1);
  m.twists += touch.condim > 3 ? points : 0;
  m.frames += framed || touch.condim > 3 ? points : 0;
}

// Fills in what static geoms there are; the numbers are those after the colliders'.
template <class S>
void load_static(const double* numbers, const ColliderNumbers* colliders, const S* terrain, const int32_t* cells,
                 Model<S>& m) {
  const auto* kinds = reinterpret_cast<const KindNumbers*>(numbers);
  const auto* touches = reinterpret_cast<const TouchNumbers*>(kinds + m.kinds);
  const auto* fields = reinterpret_cast<const FieldNumbers*>(touches + m.kinds * m.colliders);
  for (int k = 0; k < m.kinds; k++) {
    const KindNumbers& from = kinds[k];
    Boxes<S>& b = m.boxes[k];
    b.near = int(from.near), b.columns = int(from.columns), b.rows = int(from.rows);
    b.left = S(from.left), b.front = S(from.front), b.inverse_cell = S(from.inverse_cell);
    const int count = b.columns * b.rows;
    b.top = terrain, b.box = reinterpret_cast<const StaticBox<S>*>(terrain + count);
    terrain += count + int(from.boxes) * kBoxNumbers;
    b.start = cells, b.list = cells + count + 1;
    if (count) cells = b.list + b.start[count];
    for (int i = 0; i < m.colliders; i++) {
      m.touch[k][i] = convert<S>(touches[k * m.colliders + i]);
      if (meets(touches[k * m.colliders + i])) make_room(m, m.collider[i], m.touch[k][i], most_points(m.collider[i].shape, b.near), true);
    }
  }
  for (int f = 0; f < m.fields; f++) {
    const FieldNumbers& from = fields[f];
    Field<S>& to = m.field[f];
    to.kind = int(from.kind), to.columns = int(from.columns), to.rows = int(from.rows);
    for (int i = 0; i < 3; i++) to.position[i] = S(from.position[i]);
    for (int i = 0; i < 9; i++) to.rotation[i] = S(from.rotation[i]);
    const double step_x = 2 * from.half_x / (from.columns - 1), step_y = 2 * from.half_y / (from.rows - 1);
    to.half_x = S(from.half_x), to.half_y = S(from.half_y), to.bottom = S(from.bottom);
    to.top = S(from.top);
    to.step_x = S(step_x), to.step_y = S(step_y);
    to.height = terrain, terrain += to.columns * to.rows;
    to.across = to.along = 0;
    for (int i = 0; i < m.colliders; i++) {
      if (!meets(touches[to.kind * m.colliders + i])) continue;
      const int across = cells_below(colliders[i], touches[to.kind * m.colliders + i], step_x);
      const int along = cells_below(colliders[i], touches[to.kind * m.colliders + i], step_y);
      if (across > to.across) to.across = across;
      if (along > to.along) to.along = along;
      make_room(m, m.collider[i], m.touch[to.kind][i], 2 * across * along, true);
    }
  }
}

// Fills in a model; the constants are those of a robot that fits.
template <class S>
void load_model(const double* constants, const S* terrain, const int32_t* cells, void* storage) {
  auto& m = *static_cast<Model<S>*>(storage);
  const auto& all = *reinterpret_cast<const ModelNumbers*>(constants);
  const auto* joints = reinterpret_cast<const JointNumbers*>(constants + kModelNumbers);
  const int n = int(all.joints);
  const auto* colliders = reinterpret_cast<const ColliderNumbers*>(joints + n);
  m.timestep = S(all.timestep), m.inverse_impratio = S(1 / all.impratio);
  m.implicit = Implicit(int(all.implicit)), m.servos = true, m.springs = false;
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
    c.spring = S(from.spring), c.rest = S(from.rest);
    m.springs = m.springs || from.spring != 0;
  }
  make_tree(n, parent, m.tree);
  m.colliders = int(all.colliders), m.surfaces = int(all.surfaces);
  m.contacts = m.columns = m.twists = m.frames = 0;
  for (int i = 0; i < m.colliders; i++) {
    const ColliderNumbers& from = colliders[i];
    Collider<S>& c = m.collider[i];
    c.joint = int(from.joint), c.shape = Shape(int(from.shape));
    for (int k = 0; k < 3; k++) c.position[k] = S(from.position[k]), c.size[k] = S(from.size[k]);
    for (int k = 0; k < 9; k++) c.rotation[k] = S(from.rotation[k]);
    c.ground = convert<S>(from.ground);
    make_room(m, c, c.ground, contact_points(c.shape), c.shape == kCapsule);
  }
  const auto* pairs = reinterpret_cast<const PairNumbers*>(colliders + m.colliders);
  m.pairs = int(all.pairs), m.pair_slots = m.pair_rows = 0;
  for (int i = 0; i < m.pairs; i++) {
    Pair<S>& p = m.pair[i];
    load_pair(pairs[i], m, p);
    m.pair_slots += p.slots;
    m.pair_rows += p.slots * p.condim * (p.branch[0] + p.branch[1]);
  }
  m.plane = all.plane != 0, m.kinds = int(all.kinds), m.fields = int(all.fields);
  load_static(reinterpret_cast<const double*>(pairs + m.pairs), colliders, terrain, cells, m);
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
