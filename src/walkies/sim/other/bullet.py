"""PyBullet: Bullet's multibodies (articulated-body algorithm, contacts by sequential impulses).

A world takes some 30 MB, and a robot's centres of mass are fixed once it is loaded. So worlds are kept for the most
recent robots, and loaded again (5 ms) for others.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from walkies.files import write_text
from walkies.sim.base import Params
from walkies.sim.other.contacts import error_reduction
from walkies.sim.other.install import needed
from walkies.sim.other.urdf import Bodies, hinges, joint_name, urdf
from walkies.sim.principal import principal_inertia, quaternion_from_matrix

WORLDS = 16
"""Robots of different inertias that are kept ready."""
FAR = 1e4
"""m above the ground: where the robot touches nothing."""
FASTEST = 1e5
"""rad/s: Bullet would cut speeds of joints at 100."""


class World:
    """A ground and a robot."""

    def __init__(self, pybullet: Any, model: mujoco.MjModel, bodies: Bodies) -> None:
        self._bullet = pybullet
        with _quiet():
            self.client = pybullet.connect(pybullet.DIRECT)
        at = {"physicsClientId": self.client}
        pybullet.setTimeStep(float(model.opt.timestep), **at)
        plane = pybullet.createCollisionShape(pybullet.GEOM_PLANE, **at)
        self.ground = pybullet.createMultiBody(0, plane, **at)
        moments, axes = principal_inertia(bodies.inertia)
        # Bullet sets an inertia that no rigid body can have to zero, and one with a rotor in it may be such; so it
        # reads any, in the right axes, and gets the moments afterwards.
        any_inertia = np.tile([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], (len(axes), 1))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "robot.urdf"
            write_text(file, urdf(model, bodies._replace(inertia=any_inertia, iquat=axes)))
            # Without the flag Bullet would make inertias from the shapes of collision.
            self.robot = pybullet.loadURDF(str(file), [0, 0, FAR], flags=pybullet.URDF_USE_INERTIA_FROM_FILE, **at)
        names = [pybullet.getJointInfo(self.robot, k, **at)[1].decode() for k in range(model.njnt - 1)]
        self.joints = [names.index(joint_name(model, joint)) for joint in hinges(model)]
        self.links = {-1: 1} | {link: int(model.jnt_bodyid[joint]) for joint, link in enumerate(self.joints, start=1)}
        """Bullet's links and the model's bodies."""
        # A call with one of these speaks of the base, whatever link it names.
        pybullet.changeDynamics(self.robot, -1, linearDamping=0, angularDamping=0, maxJointVelocity=FASTEST, **at)
        for link, body in self.links.items():
            pybullet.changeDynamics(
                self.robot, link, localInertiaDiagonal=moments[body - 1].tolist(), jointDamping=0, lateralFriction=1,
                rollingFriction=0, spinningFriction=0, restitution=0, **at,
            )  # fmt: skip
        self.centre, self.axes = bodies.ipos[0] - model.jnt_pos[0], _rotation(axes[0])
        """Centre of mass (3,) m and principal axes (3, 3) of the base, in its frame: Bullet's base is there."""

    def close(self) -> None:
        self._bullet.disconnect(self.client)


class Bullet:
    """The engine `bullet` (`walkies.sim.other.simulator.Engine`)."""

    def __init__(self, model: mujoco.MjModel, spheres: list[int]) -> None:
        self._bullet = needed("bullet")
        self._model = model
        self._bodies = model.geom_bodyid[spheres]
        self._places = model.geom_pos[spheres] - model.jnt_pos[model.body_jntadr[self._bodies]]
        self._radii = model.geom_size[spheres, 0]
        self._zero = model.qpos0[model.jnt_qposadr[1:]]
        self._worlds: OrderedDict[bytes, World] = OrderedDict()
        self._key = b""

    def start(self, params: Params, bodies: Bodies, frictionloss: np.ndarray) -> None:
        bullet = self._bullet
        self._key = b"".join(np.ascontiguousarray(part).tobytes() for part in bodies)
        if self._key not in self._worlds:
            while len(self._worlds) >= WORLDS:
                self._worlds.popitem(last=False)[1].close()
            self._worlds[self._key] = World(bullet, self._model, bodies)
        self._worlds.move_to_end(self._key)
        world = self._world = self._worlds[self._key]
        self._at = {"physicsClientId": world.client}
        bullet.setGravity(*map(float, params.gravity), **self._at)
        reduction = error_reduction(params.contact_solref, self._model.opt.timestep)
        bullet.setPhysicsEngineParameter(contactERP=reduction, **self._at)
        # Friction of a contact is the product of both sides.
        bullet.changeDynamics(world.ground, -1, lateralFriction=float(params.friction), **self._at)
        # A motor that wants to stand still and has little force is dry friction.
        still = [0.0] * len(frictionloss)
        bullet.setJointMotorControlArray(
            world.robot, world.joints, bullet.VELOCITY_CONTROL, targetVelocities=still, forces=frictionloss.tolist(),
            **self._at,
        )  # fmt: skip

    def place(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        bullet, world = self._bullet, self._world
        # Contacts and their impulses are remembered until two bodies part.
        bullet.resetBasePositionAndOrientation(world.robot, [0, 0, FAR], [0, 0, 0, 1], **self._at)
        bullet.performCollisionDetection(**self._at)
        turned = _rotation(qpos[3:7] / np.linalg.norm(qpos[3:7]))
        lever, spin = turned @ world.centre, turned @ qvel[3:6]
        orientation = quaternion_from_matrix(turned @ world.axes)[[1, 2, 3, 0]]
        bullet.resetBasePositionAndOrientation(
            world.robot, (qpos[:3] + lever).tolist(), orientation.tolist(), **self._at
        )
        velocity = qvel[:3] + np.cross(spin, lever)
        bullet.resetBaseVelocity(world.robot, velocity.tolist(), spin.tolist(), **self._at)
        angles, speeds = (qpos[7:] - self._zero)[:, None].tolist(), qvel[6:, None].tolist()
        bullet.resetJointStatesMultiDof(world.robot, world.joints, angles, targetVelocities=speeds, **self._at)

    def step(self, torque: np.ndarray, force: np.ndarray) -> None:
        bullet, world = self._bullet, self._world
        bullet.setJointMotorControlArray(
            world.robot, world.joints, bullet.TORQUE_CONTROL, forces=torque.tolist(), **self._at
        )
        if force.any():
            centre = bullet.getBasePositionAndOrientation(world.robot, **self._at)[0]
            bullet.applyExternalForce(world.robot, -1, force.tolist(), centre, bullet.WORLD_FRAME, **self._at)
        bullet.stepSimulation(**self._at)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        bullet, world = self._bullet, self._world
        centre, orientation = bullet.getBasePositionAndOrientation(world.robot, **self._at)
        velocity, spin = (np.array(part) for part in bullet.getBaseVelocity(world.robot, **self._at))
        turned = _rotation(_wxyz(orientation)) @ world.axes.T
        lever = turned @ world.centre
        joints = bullet.getJointStates(world.robot, world.joints, **self._at)
        angles, speeds = np.array([joint[:2] for joint in joints]).T
        position = np.array(centre) - lever
        qpos = np.concatenate([position, quaternion_from_matrix(turned), angles + self._zero])
        return qpos, np.concatenate([velocity - np.cross(spin, lever), turned.T @ spin, speeds])

    def contact_force(self) -> np.ndarray:
        bullet, world, found = self._bullet, self._world, np.zeros((len(self._bodies), 3))
        # Contacts are of links: of a link's spheres it is the one whose surface is there.
        contacts = bullet.getContactPoints(bodyA=world.robot, bodyB=world.ground, **self._at)
        for contact in contacts:
            body = world.links[contact[3]]
            mine = np.flatnonzero(self._bodies == body)
            sphere = mine[0] if len(mine) == 1 else self._nearest(mine, contact)
            press, drag, along, rub, across = contact[9:14]
            found[sphere] += press * np.array(contact[7]) + drag * np.array(along) + rub * np.array(across)
        return found

    def _nearest(self, spheres: np.ndarray, contact: Any) -> int:
        bullet, world, link = self._bullet, self._world, contact[3]
        if link == -1:
            qpos, _ = self.state()
            place, turned = qpos[:3], _rotation(qpos[3:7])
        else:
            frame = bullet.getLinkState(world.robot, link, computeForwardKinematics=1, **self._at)
            place, turned = np.array(frame[4]), _rotation(_wxyz(frame[5]))
        points = place + self._places[spheres] @ turned.T - self._radii[spheres, None] * np.array([0, 0, 1.0])
        return int(spheres[np.argmin(np.linalg.norm(points - np.array(contact[5]), axis=1))])

    def discard(self) -> None:
        self._worlds.pop(self._key).close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Bullet's C code prints when it starts."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _wxyz(quaternion: Any) -> np.ndarray:
    x, y, z, w = quaternion
    return np.array([w, x, y, z])


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, quaternion)
    return flat.reshape(3, 3)
