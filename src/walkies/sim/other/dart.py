"""DART: Featherstone's algorithms, and contacts with Coulomb's cones by nonsmooth Gauss–Seidel."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from walkies.sim.base import Params
from walkies.sim.conditions import symmetric
from walkies.sim.other.install import needed
from walkies.sim.other.urdf import Bodies, hinges, joint_name, link_name, sphere_name, urdf
from walkies.sim.principal import quaternion_from_matrix

ROUGH = 1e6
"""Friction of the ground: DART takes the smaller of two."""


class Dart:
    """The engine `dart` (`walkies.sim.other.simulator.Engine`)."""

    def __init__(self, model: mujoco.MjModel, spheres: list[int]) -> None:
        dart = self._dart = needed("dart")
        loader = dart.utils.DartLoader()
        robot = self._robot = loader.parseSkeletonString(urdf(model), dart.common.Uri(""))
        robot.disableSelfCollisionCheck()
        self._world = dart.simulation.World()
        self._world.setTimeStep(float(model.opt.timestep))
        self._detector = dart.simulation.CollisionDetectorType.DART
        self._world.setCollisionDetector(self._detector)
        # The default solver fixes bounds of friction before it knows all normal forces: off by 6% on a slope.
        self._world.getConstraintSolver().setBoxedLcpSolver(dart.constraint.NsgsFrictionSolver())
        self._world.addSkeleton(_ground(dart))
        self._world.addSkeleton(robot)
        self._links = [robot.getBodyNode(link_name(model, body)) for body in range(1, model.nbody)]
        self._base = self._links[0]
        self._root = robot.getRootJoint()
        self._joints = [robot.getJoint(joint_name(model, joint)) for joint in hinges(model)]
        self._dofs = np.array([joint.getIndexInSkeleton(0) for joint in self._joints])
        for joint in self._joints:
            joint.setLimitEnforcement(True)
        self._zero = model.qpos0[model.jnt_qposadr[1:]]
        self._anchors = model.jnt_pos[model.body_jntadr[1:]]
        shapes = {node.getName(): node for link in self._links for node in link.getShapeNodes()}
        self._shapes = [shapes[sphere_name(geom)].getDynamicsAspect() for geom in spheres]
        self._spheres = {sphere_name(geom): index for index, geom in enumerate(spheres)}

    def start(self, params: Params, bodies: Bodies, frictionloss: np.ndarray) -> None:
        inertia = self._dart.dynamics.Inertia
        centres = bodies.ipos - self._anchors
        for link, mass, centre, six in zip(self._links, bodies.mass, centres, bodies.inertia, strict=True):
            link.setInertia(inertia(float(mass), centre, symmetric(six)))
        for joint, loss in zip(self._joints, frictionloss, strict=True):
            joint.setCoulombFriction(0, float(loss))
        for shape in self._shapes:
            shape.setFrictionCoeff(float(params.friction))
        self._world.setGravity(np.asarray(params.gravity))

    def place(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        robot, pose = self._robot, self._dart.math.Isometry3()
        # A detector remembers in which order it found contacts, and the solver's last bit depends on it.
        self._world.setCollisionDetector(self._detector)
        robot.resetGeneralizedForces()
        robot.clearExternalForces()
        robot.clearConstraintImpulses()
        positions, velocities = np.zeros(robot.getNumDofs()), np.zeros(robot.getNumDofs())
        positions[self._dofs], velocities[self._dofs] = qpos[7:] - self._zero, qvel[6:]
        robot.setPositions(positions)
        robot.setVelocities(velocities)
        turned = np.zeros(9)
        mujoco.mju_quat2Mat(turned, qpos[3:7] / np.linalg.norm(qpos[3:7]))
        pose.set_rotation(turned.reshape(3, 3))
        pose.set_translation(qpos[:3])
        self._root.setTransform(pose)
        self._root.setLinearVelocity(qvel[:3])
        self._root.setAngularVelocity(turned.reshape(3, 3) @ qvel[3:6])

    def step(self, torque: np.ndarray, force: np.ndarray) -> None:
        forces = np.zeros(self._robot.getNumDofs())
        forces[self._dofs] = torque
        self._robot.setForces(forces)
        if force.any():
            self._base.addExtForce(force, self._base.getLocalCOM())
        self._world.step()

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        pose, positions, velocities = self._base.getTransform(), self._robot.getPositions(), self._robot.getVelocities()
        turned = pose.rotation()
        spin = turned.T @ self._base.getAngularVelocity()
        angles = positions[self._dofs] + self._zero
        qpos = np.concatenate([pose.translation(), quaternion_from_matrix(turned), angles])
        return qpos, np.concatenate([self._base.getLinearVelocity(), spin, velocities[self._dofs]])

    def contact_force(self) -> np.ndarray:
        found = np.zeros((len(self._spheres), 3))
        for contact in self._world.getLastCollisionResult().getContacts():
            names = [side.getShapeFrame().getName() for side in (contact.collisionObject1, contact.collisionObject2)]
            first = names[0] in self._spheres
            # The force is that on the first of the two.
            found[self._spheres[names[0 if first else 1]]] += contact.force if first else -contact.force
        return found

    def discard(self) -> None:
        """Nothing: `place` writes all there is."""


def _ground(dart: Any) -> Any:
    ground = dart.dynamics.Skeleton("ground")
    _, body = ground.createWeldJointAndBodyNodePair()
    shape = body.createShapeNode(dart.dynamics.PlaneShape(np.array([0.0, 0.0, 1.0]), 0.0))
    shape.createCollisionAspect()
    shape.createDynamicsAspect()
    shape.getDynamicsAspect().setFrictionCoeff(ROUGH)
    ground.setMobile(False)
    return ground
