// Kinematics, joint-space inertia and bias forces of a floating base with a tree of joints, chain by chain.
//
// Everything is referred to the base origin and written in world axes. The generalized acceleration is then
// (Rω̇, v̇, q̈): MuJoCo's qacc with its angular part turned into world axes. Arrays of links begin with the base: joint
// j's link has number j + 1.
#pragma once

#include "model.h"

namespace walkies::WALKIES_NS {

template <class V>
struct Link {
  Rotation<V> rotation;
  Vec3<V> origin;   // of the joint, from the base origin
  Spatial<V> axis;  // motion of the link per unit of joint velocity; not of the base
};

// What the chains of one robot hand to one another.
template <class V>
struct Motion {
  Link<V>* link;
  // Of the base and of links that carry chains; inertia and bias of all that hangs from a link, with it.
  Spatial<V> *velocity, *acceleration;
  Inertia<V>* inertia;
  Spatial<V>* bias;
};

template <class V>
WALKIES_INLINE Link<V> next_link(const Link<V>& parent, const JointConstants<Scalar<V>>& joint, V q) {
  const Rotation<V>& r = parent.rotation;
  const auto* c = joint.rotation;
  const Scalar<V> cx[3] = {c[0], c[3], c[6]}, cy[3] = {c[1], c[4], c[7]}, cz[3] = {c[2], c[5], c[8]};
  Vec3<V> origin = parent.origin + rotate(r, joint.position);
  Vec3<V> x = rotate(r, cx), y = rotate(r, cy), z = rotate(r, cz);
  SinCos<V> a = sincos(q);
  return {{a.cos * x + a.sin * y, a.cos * y - a.sin * x, z}, origin, {z, cross(origin, z)}};
}

// Links, velocities and accelerations of a chain from its parent's; of every link its own inertia and bias force.
template <class V, int J>
WALKIES_INLINE void forward_chain(const Model<Scalar<V>>& m, const Chain& c, const RobotParams<V>& p,
                                  const RobotState<V>& s, const Motion<V>& w, Inertia<V>* inertia, Spatial<V>* bias) {
  const int up = c.parent + 1;
  Link<V>* link = w.link + c.first + 1;
  Spatial<V> velocity = w.velocity[up], acceleration = w.acceleration[up];
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    const int j = c.first + k;
    link[k] = next_link(k ? link[k - 1] : w.link[up], m.joint[j], s.q[j]);
  }
  WALKIES_UNROLL for (int k = 0; k < J; k++) {
    const int j = c.first + k;
    const BodyParams<V>& body = p.body[j + 1];
    inertia[k] = move_inertia(body.mass, link[k].origin + link[k].rotation * body.center, body.inertia,
                              link[k].rotation);
    Spatial<V> joint_velocity = s.qd[j] * link[k].axis;
    velocity = velocity + joint_velocity;
    acceleration = acceleration + cross_motion(velocity, joint_velocity);
    bias[k] = inertia[k] * acceleration + cross_force(velocity, inertia[k] * velocity);
  }
  if (!c.leaf) w.velocity[c.first + J] = velocity, w.acceleration[c.first + J] = acceleration;
}

// Rows of the mass matrix and forces of a chain (composite rigid bodies; recursive Newton–Euler), whose sums then go to
// its parent.
template <class V, int J, bool Deep>
WALKIES_INLINE void backward_chain(const Chain& c, const RobotParams<V>& p, const Motion<V>& w, Inertia<V>* inertia,
                                   Spatial<V>* bias, V* mass, V* force) {
  const int depth = Deep ? c.depth : 0;
  const Link<V>* link = w.link + c.first + 1;
  WALKIES_UNROLL for (int k = J - 1; k >= 0; k--) {
    if (k + 1 < J) {
      inertia[k] = inertia[k] + inertia[k + 1];
      bias[k] = bias[k] + bias[k + 1];
    }
    const int j = c.first + k;
    const Spatial<V>& axis = link[k].axis;
    Spatial<V> f = inertia[k] * axis;
    V* row = mass + row_of<Deep>(c, k);
    row[0] = f.angular.x, row[1] = f.angular.y, row[2] = f.angular.z;
    row[3] = f.linear.x, row[4] = f.linear.y, row[5] = f.linear.z;
    if (Deep) {
      WALKIES_NO_UNROLL for (int i = 0; i < depth; i++) row[6 + i] = dot(w.link[c.path[i] + 1].axis, f);
    }
    V* own = row + 6 + depth;
    WALKIES_UNROLL for (int i = 0; i <= k; i++) own[i] = dot(link[i].axis, f);
    own[k] += p.joint[j].armature;
    force[6 + j] = dot(p.gravity, f.linear) - dot(axis, bias[k]);
  }
  const int up = c.parent + 1;
  w.inertia[up] = w.inertia[up] + inertia[0];
  w.bias[up] = w.bias[up] + bias[0];
}

template <class V, int J, bool Deep>
WALKIES_NOINLINE void leaf_dynamics(const Model<Scalar<V>>& m, const Chain& c, const RobotParams<V>& p,
                                    const RobotState<V>& s, const Motion<V>& w, V* WALKIES_RESTRICT mass,
                                    V* WALKIES_RESTRICT force) {
  Inertia<V> inertia[J];
  Spatial<V> bias[J];
  forward_chain<V, J>(m, c, p, s, w, inertia, bias);
  backward_chain<V, J, Deep>(c, p, w, inertia, bias, mass, force);
}

template <class V, int J>
WALKIES_NOINLINE void inner_forward(const Model<Scalar<V>>& m, const Chain& c, const RobotParams<V>& p,
                                    const RobotState<V>& s, const Motion<V>& w) {
  forward_chain<V, J>(m, c, p, s, w, w.inertia + c.first + 1, w.bias + c.first + 1);
}

template <class V, int J, bool Deep>
WALKIES_NOINLINE void inner_backward(const Chain& c, const RobotParams<V>& p, const Motion<V>& w, V* WALKIES_RESTRICT mass,
                                     V* WALKIES_RESTRICT force) {
  backward_chain<V, J, Deep>(c, p, w, w.inertia + c.first + 1, w.bias + c.first + 1, mass, force);
}

template <class V>
WALKIES_INLINE void place_base(const RobotState<V>& s, Link<V>& base) {
  const V zero = V{};
  base.rotation = from_quaternion(s.quaternion[0], s.quaternion[1], s.quaternion[2], s.quaternion[3]);
  base.origin = {zero, zero, zero};
}

// Joint-space inertia `mass` and `force`: gravity minus velocity-dependent forces. Neither depends on the base's linear
// velocity, so it is taken as zero (Galilei).
template <class V>
WALKIES_INLINE void dynamics(const Model<Scalar<V>>& m, const RobotParams<V>& p, const RobotState<V>& s,
                             const Motion<V>& w, V* mass, V* force) {
  const V zero = V{};
  const Vec3<V> none{zero, zero, zero};
  place_base(s, w.link[0]);
  const Rotation<V>& r = w.link[0].rotation;
  w.velocity[0] = {r * s.omega, none};
  w.acceleration[0] = {none, none};
  w.inertia[0] = move_inertia(p.body[0].mass, r * p.body[0].center, p.body[0].inertia, r);
  w.bias[0] = cross_force(w.velocity[0], w.inertia[0] * w.velocity[0]);
  outwards(m.tree, [&]<int J, bool Deep>(const Chain& c) {
    if (c.leaf) leaf_dynamics<V, J, Deep>(m, c, p, s, w, mass, force);
    else inner_forward<V, J>(m, c, p, s, w);
  });
  inwards(m.tree, [&]<int J, bool Deep>(const Chain& c) {
    if (!c.leaf) inner_backward<V, J, Deep>(c, p, w, mass, force);
  });
  const Inertia<V> total = w.inertia[0];
  const Vec3<V> torque = cross(total.moment, p.gravity) - w.bias[0].angular;
  const Vec3<V> linear = total.mass * p.gravity - w.bias[0].linear;
  force[0] = torque.x, force[1] = torque.y, force[2] = torque.z;
  force[3] = linear.x, force[4] = linear.y, force[5] = linear.z;

  const Symmetric<V>& i = total.rotational;
  const Vec3<V>& h = total.moment;
  const V& mb = total.mass;
  const V block[triangle(6)] = {i.xx,                                //
                                i.xy, i.yy,                          //
                                i.xz, i.yz, i.zz,                    //
                                zero, h.z,  -h.y, mb,                //
                                -h.z, zero, h.x,  zero, mb,          //
                                h.y,  -h.x, zero, zero, zero, mb};
  for (int n = 0; n < triangle(6); n++) mass[n] = block[n];
}

}  // namespace walkies::WALKIES_NS
