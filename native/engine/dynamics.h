// Kinematics, joint-space inertia and bias forces of a floating base with legs.
//
// Everything is referred to the base origin and written in world axes. The generalized acceleration is then
// (Rω̇, v̇, q̈): MuJoCo's qacc with its angular part turned into world axes.
#pragma once

#include "arrow.h"
#include "model.h"

namespace walkies::WALKIES_NS {

template <class V>
struct Link {
  Rotation<V> rotation;
  Vec3<V> origin;   // of the joint, from the base origin
  Spatial<V> axis;  // motion of the link per unit of joint velocity
};

template <class V, int L, int J>
struct Pose {
  Rotation<V> base;
  Link<V> link[L][J];
};

template <class V, int L, int J>
WALKIES_INLINE void forward_kinematics(const Model<Scalar<V>, L, J>& m, const RobotState<V, L, J>& s,
                                       Pose<V, L, J>& pose) {
  pose.base = from_quaternion(s.quaternion[0], s.quaternion[1], s.quaternion[2], s.quaternion[3]);
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    Rotation<V> r = pose.base;
    Vec3<V> origin{V{}, V{}, V{}};
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      const auto& joint = m.joints[l][k];
      origin = origin + rotate(r, joint.position);
      const auto* c = joint.rotation;
      const Scalar<V> cx[3] = {c[0], c[3], c[6]}, cy[3] = {c[1], c[4], c[7]}, cz[3] = {c[2], c[5], c[8]};
      Vec3<V> x = rotate(r, cx), y = rotate(r, cy), z = rotate(r, cz);
      SinCos<V> a = sincos(s.q[l][k]);
      r = {a.cos * x + a.sin * y, a.cos * y - a.sin * x, z};
      pose.link[l][k] = {r, origin, {z, cross(origin, z)}};
    }
  }
}

// Joint-space inertia `mass` (composite rigid bodies) and `force`: gravity minus velocity-dependent forces (recursive
// Newton–Euler). Neither depends on the base's linear velocity, so it is taken as zero (Galilei).
template <class V, int L, int J>
WALKIES_INLINE void dynamics(const RobotParams<V, L, J>& p, const RobotState<V, L, J>& s, const Pose<V, L, J>& pose,
                             Vec3<V> omega, Arrow<V, L, J>& mass, Generalized<V, L, J>& force) {
  Inertia<V> total = move_inertia(p.base.mass, pose.base * p.base.center, p.base.inertia, pose.base);
  Spatial<V> base_velocity{omega, {V{}, V{}, V{}}};
  Spatial<V> bias = cross_force(base_velocity, total * base_velocity);
  WALKIES_NO_UNROLL for (int l = 0; l < L; l++) {
    Inertia<V> inertia[J];
    Spatial<V> link_bias[J];
    Spatial<V> velocity = base_velocity, acceleration{{V{}, V{}, V{}}, {V{}, V{}, V{}}};
    WALKIES_UNROLL for (int k = 0; k < J; k++) {
      const Link<V>& link = pose.link[l][k];
      const BodyParams<V>& body = p.body[l][k];
      inertia[k] = move_inertia(body.mass, link.origin + link.rotation * body.center, body.inertia, link.rotation);
      Spatial<V> joint_velocity = s.qd[l][k] * link.axis;
      velocity = velocity + joint_velocity;
      acceleration = acceleration + cross_motion(velocity, joint_velocity);
      link_bias[k] = inertia[k] * acceleration + cross_force(velocity, inertia[k] * velocity);
    }
    WALKIES_UNROLL for (int k = J - 1; k >= 0; k--) {
      if (k + 1 < J) {
        inertia[k] = inertia[k] + inertia[k + 1];
        link_bias[k] = link_bias[k] + link_bias[k + 1];
      }
      const Spatial<V>& axis = pose.link[l][k].axis;
      Spatial<V> f = inertia[k] * axis;
      V* c = mass.coupling[l][k];
      c[0] = f.angular.x, c[1] = f.angular.y, c[2] = f.angular.z;
      c[3] = f.linear.x, c[4] = f.linear.y, c[5] = f.linear.z;
      WALKIES_UNROLL for (int j = 0; j <= k; j++) mass.leg[l][packed(k, j)] = dot(pose.link[l][j].axis, f);
      mass.leg[l][packed(k, k)] += p.joint[l][k].armature;
      force.leg[l][k] = dot(p.gravity, f.linear) - dot(axis, link_bias[k]);
    }
    total = total + inertia[0];
    bias = bias + link_bias[0];
  }
  Vec3<V> torque = cross(total.moment, p.gravity) - bias.angular, linear = total.mass * p.gravity - bias.linear;
  force.base[0] = torque.x, force.base[1] = torque.y, force.base[2] = torque.z;
  force.base[3] = linear.x, force.base[4] = linear.y, force.base[5] = linear.z;

  const V zero = V{};
  const Symmetric<V>& i = total.rotational;
  const Vec3<V>& h = total.moment;
  const V& m = total.mass;
  const V block[triangle(6)] = {i.xx,                                //
                                i.xy, i.yy,                          //
                                i.xz, i.yz, i.zz,                    //
                                zero, h.z,  -h.y, m,                 //
                                -h.z, zero, h.x,  zero, m,           //
                                h.y,  -h.x, zero, zero, zero, m};
  for (int n = 0; n < triangle(6); n++) mass.base[n] = block[n];
}

}  // namespace walkies::WALKIES_NS
