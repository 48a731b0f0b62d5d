// The numbers that Python hands to the engine (walkies.sim.engine.model writes them in this order): first the constants
// of a model, one ModelNumbers, a JointNumbers per joint, a ColliderNumbers per collider and a PairNumbers per pair of
// colliders that may touch one another, and what static geoms other than the ground plane there are: a KindNumbers per
// kind, a TouchNumbers per kind and collider, a FieldNumbers per height field; then, for every robot, the physical
// parameters. A test holds the sizes to Python's.
#pragma once

namespace walkies {

constexpr int kMaxJoints = 40;
constexpr int kMaxColliders = 64;
constexpr int kMaxSurfaces = 16;
constexpr int kMaxPairs = 1024;
constexpr int kMaxKinds = 8;    // of static geoms
constexpr int kMaxBoxes = 4096;  // static ones, of one kind
constexpr int kMaxNear = 16;     // of them, over one cell of their grid
constexpr int kMaxCells = 1 << 14;
constexpr int kMaxFields = 4;
constexpr int kMaxPrisms = 50;  // of a height field, below one sphere; more than these MuJoCo does not look at either

enum Implicit { kNothing = 0, kPassive = 1, kPassiveAndServo = 2 };  // MuJoCo's Euler with eulerdamp; implicitfast

struct ModelNumbers {
  double timestep, impratio;
  double joints, colliders, surfaces;  // how many
  double implicit;                     // what of a joint's damping is integrated implicitly: an Implicit
  double plane;                        // 1: there is the ground z = 0
  double kinds, fields;                // how many, of static geoms
  double pairs;                        // how many
};

// A curve of MuJoCo's solimp: impedance by penetration or violation.
template <class V>
struct ImpedanceCurve {
  V low, high, inverse_width, middle, gain_low, gain_high, power;
};

struct JointNumbers {
  double parent;       // the joint that its link hangs from, −1: the base; smaller than the joint's own number
  double position[3];  // of the joint in the parent link's frame
  double rotation[9];  // parent link's frame from this link's at zero angle, row-major; the hinge axis is this link's z
  double lower, upper;  // beyond which its limit acts
  double control_lower, control_upper;
  double control_gain;               // torque per unit of control, 0: kp
  double gear;                       // the motor's angle is gear times the joint's
  double low_share, high_share;      // of torque_limit: the motor's torque lies within −low … high
  double torque_lower, torque_upper;  // of the joint, behind the gear
  double limit_stiffness, limit_damping;
  ImpedanceCurve<double> limit_impedance;
  double friction_damping, friction_ratio;  // ratio = imp / (1 − imp)
  double spring, rest;                      // N m/rad, and the angle at which the spring pulls nowhere
};

enum Shape { kSphere = 0, kCapsule = 1, kBox = 2, kCylinder = 3 };

// What a collider and static geoms of one kind are to one another.
struct TouchNumbers {
  double margin;  // m, the distance at which a contact begins; −∞: there is none
  double surface;
  double condim;      // 1, 3, 4 or 6: no friction, sliding, also torsional, also rolling
  double spin, roll;  // m, torsional and rolling friction
};

struct ColliderNumbers {
  double joint;  // whose link it is part of, −1: the base
  double shape;  // a Shape
  double position[3], rotation[9];  // in the link's frame; capsules and cylinders lie along their z
  double size[3];                   // radius; radius and half-length; half-sizes along x, y and z
  TouchNumbers ground;              // with the plane
};

// Two colliders, spheres or capsules, whose contact with one another counts; a sphere comes before a capsule.
struct PairNumbers {
  double first, second;  // colliders
  double surface, condim;
  double margin;      // m
  double spin, roll;  // m
};

// Static geoms whose contacts have the same parameters, whatever they touch. Its boxes are found through a horizontal grid:
// a collider whose centre is over a cell can touch the cell's boxes alone. The outermost cells have none.
struct KindNumbers {
  double boxes;
  double near;           // at most so many over one cell
  double columns, rows;  // cells along x and along y
  double left, front;    // m, where they begin: the smallest x and y
  double inverse_cell;   // 1/m
};

inline bool meets(const TouchNumbers& t) { return t.margin != -__builtin_inf(); }

struct FieldNumbers {
  double kind;
  double position[3], rotation[9];
  double half_x, half_y;  // m
  double bottom, top;     // m, of the prisms: their lower end, below 0, and the highest of all
  double columns, rows;   // heights along x and along y
};

// A static box, in the numbers of the engine: one array of them, `terrain`, holds for every kind the height of the
// highest point of each cell's boxes, and the boxes; then the heights of every field, a row of equal y after the other.
// Another array, `cells`, holds for every kind where each cell's boxes begin, and where the last one's end, in the list of
// boxes by cell that follows.
template <class S>
struct StaticBox {
  S position[3], rotation[9], half[3];
};

// Cells of a height field, `step` m long, along x or along y below a sphere and its margin, at most.
inline int cells_below(const ColliderNumbers& sphere, const TouchNumbers& touch, double step) {
  const double cells = 2 * (sphere.size[0] + touch.margin) / step;
  return cells >= 0 && cells < kMaxPrisms ? int(cells) + 2 : kMaxPrisms;
}

// Physical parameters of one robot, in this order; V is a number, or a vector with a robot in every lane. Only members
// of type V: they are also read as a flat array.
template <class V>
struct BodyNumbers {  // the base, then every joint's link
  V mass;
  V center[3];
  V inertia[6];  // about the centre of mass, axes of the link: xx yy zz xy xz yz
};

template <class V>
struct JointParams {
  V kp, kd, torque_limit;
  V slowing;  // 1 / torque_speed
  V damping, friction, armature;
  V inverse_weight;  // 1 / dof_invweight0
};

template <class V>
struct ColliderParams {
  V inverse_weight;  // 1 / body_invweight0 of its body
};

template <class V>
struct WorldParams {
  V gravity[3];
};

// What a collider and the ground, or two colliders, are to one another.
template <class V>
struct SurfaceParams {
  V friction;
  V torsion;  // × the torsional friction of who touches
  V stiffness, damping;
  ImpedanceCurve<V> impedance;
};

// Counts of numbers.
constexpr int kModelNumbers = sizeof(ModelNumbers) / sizeof(double);
constexpr int kJointNumbers = sizeof(JointNumbers) / sizeof(double);
constexpr int kColliderNumbers = sizeof(ColliderNumbers) / sizeof(double);
constexpr int kPairNumbers = sizeof(PairNumbers) / sizeof(double);
constexpr int kKindNumbers = sizeof(KindNumbers) / sizeof(double);
constexpr int kTouchNumbers = sizeof(TouchNumbers) / sizeof(double);
constexpr int kFieldNumbers = sizeof(FieldNumbers) / sizeof(double);
constexpr int kBoxNumbers = sizeof(StaticBox<double>) / sizeof(double);
constexpr int kBodyParams = sizeof(BodyNumbers<double>) / sizeof(double);
constexpr int kJointParams = sizeof(JointParams<double>) / sizeof(double);
constexpr int kColliderParams = sizeof(ColliderParams<double>) / sizeof(double);
constexpr int kWorldParams = sizeof(WorldParams<double>) / sizeof(double);
constexpr int kSurfaceParams = sizeof(SurfaceParams<double>) / sizeof(double);

constexpr int count_constants(int joints, int colliders, int pairs, int kinds, int fields) {
  return kModelNumbers + joints * kJointNumbers + colliders * kColliderNumbers + pairs * kPairNumbers +
         kinds * kKindNumbers + kinds * colliders * kTouchNumbers + fields * kFieldNumbers;
}

constexpr int count_params(int joints, int colliders, int surfaces) {
  return (joints + 1) * kBodyParams + joints * kJointParams + colliders * kColliderParams + kWorldParams +
         surfaces * kSurfaceParams;
}

}  // namespace walkies
