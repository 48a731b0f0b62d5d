"""Where a robot's feet are, and which joint angles bring them somewhere: kinematics of any robot's legs.

Forward kinematics is MuJoCo's own, on the foot sites of the robot's model; inverse kinematics is damped Gauss–Newton on
it (Levenberg 1944, Marquardt 1963), so that no robot needs formulas of its own. Points are in the trunk's frame, m.
"""

from __future__ import annotations

import numpy as np

from walkies.errors import UserError
from walkies.later import mujoco
from walkies.robots import load_model
from walkies.robots.base import Robot

TOLERANCE = 1e-10
"""m from the point at which a foot has arrived."""
REACHED = 1e-6
"""m from it within which the point counts as reached where rounding allows no better."""
STEPS = 60
"""Gauss–Newton steps from one start. From near the solution 4 do; at the end of a leg's reach it is slower."""
DAMPING = 1e-6
"""m²/rad², to begin with. A step that helps divides it by DAMPING_FACTOR, one that does not multiplies it."""
DAMPING_FACTOR = 8.0
LEAST_DAMPING = 1e-12
"""m²/rad²: J Jᵀ of a stretched leg has no inverse."""
RESTARTS = 40
"""Starts drawn between the joint limits, where neither the given start nor the default pose leads there."""


class Legs:
    """The legs of one robot, from the trunk outwards; joints and feet as its record lists them."""

    def __init__(self, robot: Robot, model: mujoco.MjModel | None = None) -> None:
        """model: of this robot, if there is one already; it is not changed."""
        self.robot = robot
        self._model = load_model(robot, visuals=False) if model is None else model
        self._data = mujoco.MjData(self._model)
        joints = [self._model.joint(name) for name in robot.joint_names]
        self._angles = np.array([joint.qposadr[0] for joint in joints])
        self._speeds = np.array([joint.dofadr[0] for joint in joints])
        self._hinges = np.array([joint.id for joint in joints])
        self._feet = [self._model.site(name).id for name in robot.foot_sites]
        self._legs = len(robot.leg_names)
        self._parts = [np.array(part) for part in robot.legs]
        self._leg_of = np.full(robot.num_joints, self._legs)
        """Of each joint its leg; one more: of none."""
        for leg, part in enumerate(self._parts):
            self._leg_of[part] = leg
        self._data.qpos[:] = self._model.qpos0
        if self._model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:  # the trunk in the origin, level
            self._data.qpos[:7] = [0, 0, 0, 1, 0, 0, 0]
        self._lower, self._upper = np.array(robot.lower_limits), np.array(robot.upper_limits)
        self._default = np.array(robot.default_pose, float)

    @property
    def per_leg(self) -> int:
        """Joints of a leg."""
        return self.robot.num_joints // self._legs

    def feet(self, angles: np.ndarray) -> np.ndarray:
        """Centres of the feet (legs, 3) under joint angles (nu,), rad."""
        self._move(angles)
        return self._data.site_xpos[self._feet].reshape(self._legs, -1, 3).mean(axis=1)

    def points(self, angles: np.ndarray) -> np.ndarray:
        """Every joint of a leg, then its foot, (legs, joints of a leg + 1, 3): what a picture of the legs joins."""
        self._move(angles)
        hinges = self._data.xanchor[self._hinges].reshape(len(self._feet), self.per_leg, 3)
        return np.concatenate([hinges, self._data.site_xpos[self._feet][:, None]], axis=1)

    def angles(
        self, feet: np.ndarray, start: np.ndarray | None = None, within: np.ndarray | float = REACHED
    ) -> np.ndarray:
        """Joint angles (nu,), rad, within the joint limits, that bring the feet to `feet` (legs, 3), or as near as they
        can.

        Args:
            feet: m, frame of the trunk.
            start: (nu,) rad; of several solutions it is the one to which this leads. Default: the default pose.
            within: m, (legs,) or one for all: a foot that ends so near to its point has reached it.

        Raises:
            UserError: a foot cannot get there; which, where, and how far away it ends.
        """
        start = self._default if start is None else np.asarray(start, float)
        best, error = self._solve(feet, np.clip(start, self._lower, self._upper))
        rng = np.random.default_rng(0)  # the same starts for everybody
        for attempt in range(1 + RESTARTS):
            if (error <= within).all():
                return best
            other = self._default if attempt == 0 else rng.uniform(self._lower, self._upper)
            found, distance = self._solve(feet, other)
            nearer = self._of_joints(distance < error)
            best, error = np.where(nearer, found, best), np.minimum(distance, error)
        if (error <= within).all():
            return best
        worst = int(np.argmax(error - within))
        point = ", ".join(f"{value:.3f}" for value in feet[worst])
        raise UserError(
            f"leg {self.robot.leg_names[worst]} of {self.robot.name} cannot bring its foot to ({point}) m in the frame "
            f"of the trunk: within its joint limits it stays {error[worst]:.3f} m away; expected points within reach: "
            "take a shorter stride, another height or less lift"
        )

    def _of_joints(self, of_legs: np.ndarray) -> np.ndarray:
        """(nu,) bool for (legs,) bool; joints of no leg stay where they are."""
        return np.append(of_legs, False)[self._leg_of]

    def _move(self, angles: np.ndarray) -> None:
        self._data.qpos[self._angles] = angles
        mujoco.mj_kinematics(self._model, self._data)

    def _solve(self, feet: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angles (nu,) as near as one start leads, and how far (legs,) m each foot is then; legs move independently."""
        best, damping = start.copy(), np.full(self._legs, DAMPING)
        miss = feet - self.feet(best)
        error = np.linalg.norm(miss, axis=1)
        for _ in range(STEPS):
            if (error <= TOLERANCE).all():
                break
            tried = best + self._step(best, miss, damping)
            tried = np.clip(tried, self._lower, self._upper)
            now = feet - self.feet(tried)
            distance = np.linalg.norm(now, axis=1)
            helps = distance < error
            best = np.where(self._of_joints(helps), tried, best)
            miss, error = np.where(helps[:, None], now, miss), np.minimum(distance, error)
            damping = np.where(helps, np.maximum(damping / DAMPING_FACTOR, LEAST_DAMPING), damping * DAMPING_FACTOR)
        return best, error

    def _step(self, angles: np.ndarray, miss: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """(nu,) rad: for each leg Jᵀ(J Jᵀ + λ)⁻¹ miss, without joints that it would drive beyond a limit."""
        self._move(angles)
        mujoco.mj_comPos(self._model, self._data)
        step = np.zeros_like(angles)
        for leg, (part, sites) in enumerate(
            zip(self._parts, np.array(self._feet).reshape(self._legs, -1), strict=True)
        ):
            whole = np.mean([self._jacobian(site) for site in sites], axis=0)[:, self._speeds[part]]
            free = np.ones(len(part))
            for _ in range(len(part)):
                own = whole * free
                step[part] = own.T @ np.linalg.solve(own @ own.T + damping[leg] * np.eye(3), miss[leg])
                ahead = angles[part] + step[part]
                beyond = ((angles[part] <= self._lower[part]) & (ahead < self._lower[part])) | (
                    (angles[part] >= self._upper[part]) & (ahead > self._upper[part])
                )
                if not beyond.any():
                    break
                free = free * ~beyond
        return step

    def _jacobian(self, site: int) -> np.ndarray:
        """(3, nv) of a site's place, as the robot was moved last."""
        jacobian = np.zeros((3, self._model.nv))
        mujoco.mj_jacSite(self._model, self._data, jacobian, None, site)
        return jacobian


def path(legs: Legs, feet: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Joint angles (N, nu), rad, of feet (N, legs, 3) on their way, each solved from the one before.

    within: (N, legs) m, as of `Legs.angles`.

    Raises:
        UserError: a point is out of reach.
    """
    rows: list[np.ndarray] = []
    for place, near in zip(feet, within, strict=True):
        rows.append(legs.angles(place, rows[-1] if rows else None, near))
    return np.array(rows)
