// A robot as the kernel sees it: constants of the model, and the packed physical parameters of each robot.
#pragma once

#include "call.h"
#include "spatial.h"

namespace walkies::WALKIES_NS {

template <class S>
struct ImpedanceCurve {
  S low, high, inverse_width, middle, gain_low, gain_high, power;
};

template <class S>
struct JointConstants {
  S position[3];  // of the joint in the parent link's frame
  S rotation[9];  // parent link's frame from this link's at zero angle, row-major; the hinge axis is this link's z
  S lower, upper;
  S control_lower, control_upper;
  S limit_stiffness, limit_damping;
  ImpedanceCurve<S> limit_impedance;
  S friction_damping, friction_ratio;  // ratio = imp / (1 − imp)
};

template <class S>
struct Sphere {
  int index;  // in the order of the readings
  int link;   // within its leg, from the base outwards
  S position[3], radius;
};

template <class S, int L, int J>
struct Model {
  S timestep, inverse_impratio;
  JointConstants<S> joints[L][J];
  int spheres, base_count, leg_count[L];
  Sphere<S> base[kMaxBaseSpheres], leg[L][kMaxLegSpheres];
};

// Numbers before the spheres; the Python side writes them in this order.
template <int L, int J>
constexpr size_t constants_before_spheres() {
  return 2 + L * J * 27 + 1;
}

template <class S, int L, int J>
void load_model(const double* c, size_t, void* storage) {
  auto& m = *static_cast<Model<S, L, J>*>(storage);
  auto next = [&c]() { return S(*c++); };
  m.timestep = next();
  m.inverse_impratio = S(1) / next();
  for (auto& leg : m.joints) {
    for (auto& j : leg) {
      for (S& p : j.position) p = next();
      for (S& r : j.rotation) r = next();
      j.lower = next(), j.upper = next(), j.control_lower = next(), j.control_upper = next();
      j.limit_stiffness = next(), j.limit_damping = next();
      auto& i = j.limit_impedance;
      i.low = next(), i.high = next(), i.inverse_width = next(), i.middle = next();
      i.gain_low = next(), i.gain_high = next(), i.power = next();
      j.friction_damping = next(), j.friction_ratio = next();
    }
  }
  m.spheres = int(*c++);
  m.base_count = 0;
  for (int& n : m.leg_count) n = 0;
  for (int i = 0; i < m.spheres; i++) {
    int leg = int(*c++), link = int(*c++);
    Sphere<S>& s = leg < 0 ? m.base[m.base_count++] : m.leg[leg][m.leg_count[leg]++];
    s.index = i;
    s.link = link;
    for (S& p : s.position) p = next();
    s.radius = next();
  }
}

// Physical parameters, one lane per robot. Only members of type V: it is also read as a flat array.
template <class V>
struct BodyParams {
  V mass;
  Vec3<V> center;
  Symmetric<V> inertia;  // about the centre of mass, axes of the link
  V inverse_weight;      // 1 / body_invweight0
};

template <class V>
struct JointParams {
  V kp, kd, torque_limit;
  V slowing;  // 1 / torque_speed
  V damping, friction, armature;
  V inverse_weight;  // 1 / dof_invweight0
};

template <class V, int L, int J>
struct RobotParams {
  BodyParams<V> base;
  BodyParams<V> body[L][J];
  JointParams<V> joint[L][J];
  V friction;
  Vec3<V> gravity;
  V contact_stiffness, contact_damping;
  ImpedanceCurve<V> contact_impedance;
};

template <class V, int L, int J>
struct RobotState {
  Vec3<V> position;
  V quaternion[4];
  V q[L][J];
  Vec3<V> velocity;  // world
  Vec3<V> omega;     // body
  V qd[L][J];
};

}  // namespace walkies::WALKIES_NS
