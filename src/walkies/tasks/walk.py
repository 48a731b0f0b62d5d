"""Walking under velocity commands, as a Markov decision process.

Action: joint targets around the default pose (`walkies.tasks.contract`). Observation: what the robot's own
controller would feed the policy. Reward: `walkies.tasks.rewards`. Differences between robots, disturbances and sensor
errors: `walkies.tasks.randomization`.

The state holds everything the future depends on, including the frames already sensed: sensor noise is drawn once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from walkies import renamed
from walkies.accel import random
from walkies.bounds import Between, refuse
from walkies.errors import UserError
from walkies.geometry import DOWN, quaternion_of, to_body, yaw_of
from walkies.later import Array, jax, jnp
from walkies.mdp import Box, Observation, Outcome
from walkies.sim import actuation
from walkies.sim.actuation import MAX_COMMAND_DELAY, TARGET_MEMORY, Delays, State, initial_state
from walkies.sim.base import Params, Readings, Simulator
from walkies.tasks import commands, curriculum, mirror, privileged, randomization, rewards, signal
from walkies.tasks.commands import Commands
from walkies.tasks.contract import ACTION_SCALE, OBSERVATION_CLIP, Contract, Damping, Stiffness
from walkies.tasks.curriculum import FULL, Curriculum, Ramp
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.feet import lowest
from walkies.tasks.gait.heading import HoldState, told
from walkies.tasks.gait.task import GaitConfig, GaitState
from walkies.tasks.hold import held
from walkies.tasks.mirror import Mirror
from walkies.tasks.motion import task as motion
from walkies.tasks.motion.task import MotionConfig, MotionState
from walkies.tasks.randomization import Randomization, disturbances
from walkies.tasks.randomization.disturbances import Force
from walkies.tasks.randomization.draw import Drawn, draw, longest_imu_delay
from walkies.tasks.rewards import Motion, RewardParams, RewardWeights
from walkies.tasks.scale.stature import stature
from walkies.tasks.signal import FRAME, Errors, Sensed
from walkies.tasks.start import Start

_GAIT_KEY, _MOTION_KEY = 5, 6
"""Folded into the key of new episodes for what belongs to their gait or movement; not below the number of keys that
`reset` splits it into, since those may be such folds too."""


@renamed.added(twisting=FULL)
@dataclass(frozen=True)
class WalkConfig:
    """The walking task as data."""

    commands: Commands = field(default_factory=Commands)
    rewards: RewardWeights = field(default_factory=RewardWeights)
    shape: RewardParams = field(default_factory=RewardParams)
    effort: Ramp = field(default_factory=Ramp)
    """How the costs of effort grow."""
    turning: Ramp = field(default_factory=lambda: Ramp(start=0.667))
    """How the weights of following the commanded yaw rate grow."""
    twisting: Ramp = field(default_factory=lambda: Ramp(start=0.0, steps=24_000_000, after=14_000_000))
    """How the torsional friction of `randomization` grows: on ground that holds its feet a robot learns to turn later.
    What counts in full from the start narrows and widens like the other ranges."""
    randomization: Randomization = field(default_factory=Randomization)
    curriculum: Curriculum = field(default_factory=Curriculum)
    start: Start = field(default_factory=Start)
    observation_history: Annotated[int, Between(1, 100)] = 3
    """Frames in an observation, newest first. A single frame does not show whether a servo is weak or strong."""
    observation: tuple[str, ...] = FRAME
    """Signals in a frame, in order. The controller of 2025 knows only the default."""
    gait: GaitConfig = field(default_factory=GaitConfig)
    """A reference gait, used if `observation` has gait_reference."""
    motion: MotionConfig = field(default_factory=MotionConfig)
    """A movement to follow, if `observation` has motion_command."""
    action_scale: Annotated[float | None, Between(0.0, 10.0, "(]")] = ACTION_SCALE
    """rad of joint target per unit of action. None: the robot's own, which may differ from joint to joint."""
    kp: Stiffness | None = None
    """Servo stiffness, N m/rad. Default: the robot's own."""
    kd: Damping | None = None
    """Servo damping, N m s/rad. Default: the robot's own."""
    hold: tuple[str, ...] = ()
    """Joints held at the default pose, for which the policy has no actions: joints or legs by name, patterns such as
    *elbow, or words: arms (limbs that are not legs), waist (from the base to where limbs branch), idle (both)."""
    fall_tilt: Annotated[float, Between(0.0, np.pi, "(]")] = 0.8
    """Tilt (rad) at which an episode ends."""
    episode_seconds: Annotated[float, Between(0.01, 1e5)] = 20.0
    """Time limit of an episode, s."""

    def ramps(self) -> dict[str, tuple[Ramp, tuple[str, ...]]]:
        """The weights that may grow during training: each ramp by its name here, and the terms it is for."""
        return {"effort": (self.effort, rewards.EFFORT), "turning": (self.turning, rewards.TURNING)}

    def files(self) -> dict[str, tuple[Path, Path]]:
        """The files that it names: by the name of a run's copy, what it calls the file, and where that is."""
        found = {"fast_gait.json": (self.gait.fast, self.gait.fast)} if self.gait.fast is not None else {}
        moves = any(name in self.observation for name in motion.SIGNALS)
        if moves and (place := motion.source(self.motion)) is not None:
            found["motion.toml"] = Path(self.motion.file), place
        return found


class WalkState(NamedTuple):
    """State of n robots at their task."""

    physics: State
    params: Any
    """The drawn parameters in the simulator's form: a PyTree of (n, …) arrays."""
    delays: Delays
    sensor_bias: Array
    """(n, 3 + 3 + nu)"""
    factors: Array
    """(n, privileged_size)"""
    command: Array
    """(n, 3): the commanded velocity that the policy is told, the heading held where the task has that."""
    goal: Array
    """(n, 3): the rewarded velocity, approaching the command."""
    action: Array
    """(n, nu): the action last executed, fade-in applied."""
    clock: Array
    """(n,) s since the controller's start, for the fade-in."""
    fade_in: Array
    """(n,) s, length of the fade-in."""
    history: Array
    """(n, H · frame): frames as sensed, newest first."""
    air_time: Array
    """(n, legs) s"""
    contact: Array
    """(n, spheres) bool"""
    velocity: Array
    """(n, 3) m/s of the base, body frame."""
    down: Array | None
    """(n, 3): unit vector of gravity, world frame; None on level ground. This and the following fields exist only if
    the randomization needs them."""
    imu: Array | None
    """(n, K, 6): past readings of gyro and gravity that may still be read, newest first."""
    lateness: Array | None
    """(n, TARGET_MEMORY) physics steps: latency jitter of the targets sent, newest first."""
    force: Force | None
    """Pushes that last."""
    gait: GaitState | None = None
    """Where the frame shows a reference gait."""
    motion: MotionState | None = None
    """Where the frame shows a movement."""
    hold: HoldState | None = None
    """Where a heading is held."""


class Walk:
    """Walking under velocity commands on one simulator; a `walkies.mdp.Env`."""

    def __init__(self, robot: Any, simulator: Simulator, nominal: Params, config: WalkConfig = WalkConfig()):
        """nominal: the model's own parameters (leaves with leading axis 1); the config may give other gains."""
        self.robot, self.simulator, self.config = robot, simulator, config
        self.control_dt = simulator.substeps * simulator.timestep
        self.contract = Contract(
            robot, config.observation_history, config.action_scale, config.kp, config.kd, self.control_dt,
            config.observation, held(robot, config.hold),
        )  # fmt: skip
        trunk_mass = float(simulator.model.body(robot.base_body).mass[0])
        refuse(config, WalkConfig, "task")
        randomization.check(config.randomization, MAX_COMMAND_DELAY * self.control_dt, trunk_mass)
        kp, kd = self.contract.gains
        gain: Any = partial(np.full_like, nominal.kp)
        self.nominal = nominal._replace(kp=gain(kp), kd=gain(kd))
        self.spheres = simulator.spheres
        index = {name: i for i, name in enumerate(self.spheres)}
        self.feet = np.array([index[name] for name in robot.foot_geoms]).reshape(-1, robot.points)
        self.knees = np.array([index[name] for name in robot.knee_geoms], int)
        self.torso = np.array([index[name] for name in robot.torso_geoms], int)
        self.stature = stature(robot, simulator.model)
        self.idle = np.array(robot.idle_joints, int)
        self.foot_radius = float(simulator.model.geom(robot.foot_geoms[0]).size[0])
        self.default_pose = np.array(robot.default_pose, nominal.kp.dtype)

        shown = signal.GAIT in config.observation
        gait.check(config.rewards, config.shape.gait_width, shown, robot)
        self.gait_reference = gait.reference(config.gait, robot, simulator.model) if shown else None
        self.gait_stances = None
        if self.gait_reference is not None and config.rewards.gait_contacts:
            self.gait_stances = gait.stances(self.gait_reference, robot, simulator.model)
        moves = any(name in config.observation for name in motion.SIGNALS)
        motion.check(config.rewards, moves)
        self.motion_reference = motion.reference(config.motion, robot, simulator.model) if moves else None
        self.action_space = Box(len(self.contract.free), -1.0, 1.0)
        self.time_limit = round(config.episode_seconds / self.control_dt)
        if self.time_limit < 1:
            raise UserError(
                f"--task.episode-seconds: got {config.episode_seconds:g}, expected at least the {self.control_dt:g} s "
                "of a control step"
            )
        self.observation_size = self.contract.observation_size
        self.noise_size = signal.total(signal.noisy(self.contract.signals), robot)
        self.privileged = privileged.signals(config.randomization, self.gait_reference is not None, moves)
        self.privileged_size = signal.total(self.privileged, self)
        # From what is constant on the robot nothing can be learned. The policy gets zeros, its normalizer gives such an
        # input scale 0, and the exported file has exactly zero weights for it.
        self.informative = self.contract.informative()
        if self.gait_reference is not None and self.gait_reference.stands_still(robot.default_pose):
            frames = self.informative.reshape(config.observation_history, -1)
            frames[:, self.contract.slices[signal.GAIT]] = 0.0
        oldest = longest_imu_delay(config.randomization, simulator.timestep)
        self.imu_rows = actuation.imu_memory(oldest, simulator.substeps)
        self.mirror = (
            Mirror.of(self.contract, self.privileged, self) if mirror.exists(robot, self.contract.hold) else None
        )
        self.shares: Mapping[str, Array] = {}
        self.gait_emphasis: Array | float = 1.0
        self.randomization = config.randomization

    def begin(self) -> Array | None:
        """The difficulty () with which training begins; None if the ranges are fixed."""
        return jnp.float32(self.config.curriculum.start) if self.config.curriculum.adaptive else None

    def at(self, steps: Array, difficulty: Array | None = None) -> Walk:
        """The task after `steps` () control steps of training over all robots.

        Weights and torsional friction grow with the number of steps, and the emphasis on gait tracking falls; the other
        ranges of the randomization widen with the difficulty (), if there is one. It depends only on these two, so a
        resumed training finds the same task.
        """
        task = copy.copy(self)
        task.shares = {
            name: ramp.share(steps)
            for ramp, names in self.config.ramps().values()
            if not ramp.constant
            for name in names
        }
        if self.gait_reference is not None:
            task.gait_emphasis = gait.emphasis(self.config.gait, steps)
        if difficulty is not None:
            task.randomization = curriculum.narrowed(self.config.randomization, difficulty)
        if self.config.randomization.contact.resists_turning and not self.config.twisting.constant:
            torsion = curriculum.grown(self.config.randomization.contact.torsion, self.config.twisting.share(steps))
            task.randomization = replace(
                task.randomization, contact=replace(task.randomization.contact, torsion=torsion)
            )
        return task

    def advance(self, difficulty: Array, metrics: Mapping[str, Array], steps: int) -> tuple[Array, dict[str, Array]]:
        """The difficulty () after a rollout of this many control steps over all robots, and the one before it."""
        passed = curriculum.passes(self.config.curriculum, metrics, self.control_dt)
        return curriculum.advance(self.config.curriculum, difficulty, passed, steps), {"difficulty": difficulty}

    def reset(self, key: Array, num_envs: int) -> WalkState:
        """New robots, near the default pose on or just above the ground."""
        n, joints, start = num_envs, self.robot.num_joints, self.config.start
        robots, chances, poses, noise, stale = jax.random.split(key, 5)
        drawn = draw(robots, n, self.randomization, self.nominal, self.simulator.timestep)
        chance = random.uniform(chances, (n, 2 + commands.DRAWS + (0 if start.fade_in.fixed else 1)))
        as_robot = chance[:, 0] < start.fade_probability
        wild = 1.0 - as_robot[:, None]

        u = random.uniform(poses, (n, 4 + 2 * joints + 6), minval=-1.0, maxval=1.0)
        low, high = self.robot.reset_height
        height = 0.5 * (low + high) + 0.5 * (high - low) * u[:, 0]
        roll, pitch, yaw = wild[:, 0] * start.tilt * u[:, 1], wild[:, 0] * start.tilt * u[:, 2], jnp.pi * u[:, 3]
        position = jnp.stack([jnp.zeros(n), jnp.zeros(n), height], axis=1)
        joint_position = self.default_pose + wild * start.joint_position * u[:, 4 : 4 + joints]
        joint_velocity = wild * start.joint_velocity * u[:, 4 + joints : 4 + 2 * joints]
        velocity = wild * start.velocity * u[:, 4 + 2 * joints :]
        qpos = jnp.concatenate([position, quaternion_of(roll, pitch, yaw), joint_position], axis=1)
        qvel = jnp.concatenate([velocity, joint_velocity], axis=1)
        qpos, qvel, moving = self._new_motion(key, as_robot, yaw, qpos, qvel)
        target = jnp.broadcast_to(self.default_pose, (n, joints))

        given = commands.draw_command(chance[:, 2 : 2 + commands.DRAWS], self.config.commands)
        command, hold = told(self.config.commands.heading_hold, None, given, yaw)
        quaternion = qpos[:, 3:7]
        action = jnp.zeros((n, joints))
        gravity = to_body(quaternion, DOWN if drawn.down is None else drawn.down)
        noise_draws = random.uniform(noise, (n, self.noise_size))
        gait_state = self._new_gait(key, as_robot, command)
        shown = None if gait_state is None else gait_state.reference
        sensed = Sensed(qvel[:, 3:6], gravity, command, qpos[:, 7:], qvel[:, 6:], action, gait_reference=shown)
        sensed = self._refer(sensed, moving, quaternion)
        frame = self._sense(sensed, drawn.sensor_bias, noise_draws)
        history = jnp.broadcast_to(self.contract.initial_history(), (n, self.observation_size))
        # What an earlier activation left in the buffer: some other robot's frame, disturbed.
        left_over = jnp.roll(frame, 1, axis=0) + 0.3 * random.uniform(stale, frame.shape, minval=-1.0, maxval=1.0)
        left_over = jnp.tile(left_over, (1, self.contract.observation_history))
        history = jnp.where(chance[:, 1:2] < start.stale_history, left_over, history)
        return WalkState(
            physics=initial_state(qpos, qvel, target),
            params=self.simulator.prepare(drawn.params, n),
            delays=drawn.delays,
            sensor_bias=drawn.sensor_bias,
            factors=drawn.privileged,
            command=command,
            goal=jnp.zeros((n, 3)),
            action=action,
            clock=jnp.where(as_robot, 0.0, start.fade_in.high),
            fade_in=jnp.broadcast_to(start.fade_in.value(chance[:, -1]), n),
            history=self.contract.push(history, frame),
            air_time=jnp.zeros((n, len(self.feet))),
            contact=jnp.zeros((n, len(self.simulator.spheres)), bool),
            velocity=to_body(quaternion, qvel[:, :3]),
            gait=gait_state,
            motion=moving,
            hold=hold,
            **self._outside(drawn, jnp.concatenate([qvel[:, 3:6], gravity], axis=1)),
        )

    def _new_gait(self, key: Array, as_robot: Array, command: Array) -> GaitState | None:
        """The gait clocks at the start of episodes, from their own random numbers: a gait changes no other draw."""
        if self.gait_reference is None:
            return None
        own = jax.random.fold_in(key, _GAIT_KEY)
        return gait.begin(
            self.config.gait, self.gait_reference, own, as_robot, command, self.default_pose, self.gait_stances
        )

    def _new_motion(
        self, key: Array, as_robot: Array, yaw: Array, qpos: Array, qvel: Array
    ) -> tuple[Array, Array, MotionState | None]:
        """Positions, velocities and frames at the start of episodes: disturbed as they are, but about the frames of
        the movement, and not the default pose, for those that do not begin as on the robot."""
        if self.motion_reference is None:
            return qpos, qvel, None
        own = jax.random.fold_in(key, _MOTION_KEY)
        state = motion.begin(self.config.motion, self.motion_reference, own, as_robot, yaw)
        standing = jnp.append(self.robot.reset_height[0], self.default_pose)
        position, velocity = motion.about(state, yaw, standing, qpos, qvel)
        as_robot = as_robot[:, None]
        return jnp.where(as_robot, qpos, position), jnp.where(as_robot, qvel, velocity), state

    def _follow(
        self, state: WalkState, sensed: Sensed, requests: Array, quaternion: Array
    ) -> tuple[GaitState | None, MotionState | None, Sensed]:
        """Gait and movement a control step later, and what is sensed with them; quaternion: (n, 4) of the base."""
        gait_state, moving, dt = state.gait, state.motion, self.control_dt
        if gait_state is not None and self.gait_reference is not None:
            gait_state = gait.advance(
                gait_state, self.gait_reference, dt, sensed.command, self.default_pose, self.gait_stances
            )
            sensed = sensed._replace(gait_reference=gait_state.reference)
        if moving is not None and self.motion_reference is not None:
            started = state.clock + dt >= state.fade_in
            moving = motion.advance(self.config.motion, self.motion_reference, moving, requests, started, dt)
        return gait_state, moving, self._refer(sensed, moving, quaternion)

    def _refer(self, sensed: Sensed, state: MotionState | None, quaternion: Array) -> Sensed:
        """What is sensed, with the movement's frame where there is one; quaternion: (n, 4) of the base."""
        if state is None:
            return sensed
        return sensed._replace(motion_command=state.command, motion_anchor=state.seen_from(quaternion))

    def _outside(self, drawn: Drawn, imu: Array) -> dict[str, Any]:
        """What the randomization adds to a new state; imu (n, 6): the IMU has read the same all the time before."""
        config, n = self.randomization, len(imu)
        return {
            "down": drawn.down,
            "imu": actuation.late_imu(imu, self.imu_rows),
            "lateness": None if config.latency.command_jitter.off else jnp.zeros((n, TARGET_MEMORY)),
            "force": None if config.pushes.force.off else Force.none(n),
        }

    def observe(self, state: WalkState) -> Observation:
        """The policy gets the robot's own observation; the critic gets the true state and the drawn robot."""
        critic = signal.frame(self.privileged, self, state)
        return Observation(state.history * self.informative, jnp.clip(critic, -OBSERVATION_CLIP, OBSERVATION_CLIP))

    def step(self, state: WalkState, action: Array, key: Array) -> tuple[WalkState, Outcome]:
        """One control step under actions (n, nu − held joints); actions beyond ±1 act as ±1."""
        n, cfg, dt = action.shape[0], self.config, self.control_dt
        new_command, noise, reading, requests, *outside = self._uniform(key, n)

        fade = jnp.minimum(state.clock / state.fade_in, 1.0)[:, None]
        executed = self.contract.spread(fade * jnp.clip(action, -1.0, 1.0))
        before, state, delay, force = self._disturb(state, outside)
        target = self.contract.target(executed)
        physics, readings = actuation.step(self.simulator, state.params, before, target, delay, force)
        # An action that is no number is reported as not ok, and must not live on in rewards and frames.
        executed = jnp.where(readings.ok[:, None], executed, 0.0)

        done, air_time, contact, velocity = self._motion(state, before, physics, readings, executed)
        fell = done.fell
        terms = rewards.reward_terms(done, cfg.rewards, cfg.shape, dt, self.shares)
        if state.gait is not None and "gait_tracking" in terms:
            terms["gait_tracking"] = self.gait_emphasis * terms["gait_tracking"]
        reward = sum(terms.values(), jnp.zeros(n))

        given = state.command if state.hold is None else state.hold.given
        given, _ = commands.change_command(given, new_command, cfg.commands, dt)
        command, hold = told(cfg.commands.heading_hold, state.hold, given, yaw_of(physics.qpos[:, 3:7]))
        imu, reading = actuation.sensed(state.imu, readings.imu, self._imu_age(state, reading))
        sensed = Sensed(
            reading[:, :3], reading[:, 3:], command, physics.qpos[:, 7:], physics.qvel[:, 6:], executed
        )  # fmt: skip
        gait_state, moving, sensed = self._follow(state, sensed, requests, physics.qpos[:, 3:7])
        frame = self._sense(sensed, state.sensor_bias, noise)
        next_state = state._replace(
            physics=physics,
            command=command,
            goal=commands.approach(state.goal, command, cfg.commands, dt),
            action=executed,
            clock=state.clock + dt,
            history=self.contract.push(state.history, frame),
            air_time=air_time,
            contact=contact,
            velocity=velocity,
            imu=imu,
            gait=gait_state,
            motion=moving,
            hold=hold,
        )
        metrics = {
            "lin_vel_error": rewards.lin_vel_error(done, cfg.shape),
            "yaw_rate_error": rewards.ang_vel_error(done, cfg.shape),
            "fell": fell.astype(jnp.float32),
            "blew_up": (~readings.ok).astype(jnp.float32),
        } | {f"reward/{name}": term / dt for name, term in terms.items()}
        if state.gait is not None:
            metrics["gait_error"] = rewards.gait_error(done)
        if done.deviation is not None:
            metrics["motion_error"] = jnp.sqrt(jnp.mean(jnp.square(done.deviation.joints), axis=-1))
        return next_state, Outcome(reward, fell, metrics)

    def _uniform(self, key: Array, n: int) -> list[Array]:
        """Uniform numbers (n, …) for a control step: new command, noise, the IMU's jitter, requests, disturbances."""
        config = self.randomization
        sizes = [1 + commands.DRAWS, self.noise_size, disturbances.KICK_DRAWS]
        sizes += [] if config.pushes.force.off else [disturbances.FORCE_DRAWS]
        sizes += [] if config.latency.command_jitter.off else [1]
        sizes += [0 if self.motion_reference is None else motion.DRAWS]
        sizes += [0 if config.latency.imu_jitter.fixed else 1]
        numbers = random.uniform(key, (n, sum(sizes)))
        command, noise, *outside, requests, imu = jnp.split(numbers, np.cumsum(sizes)[:-1].tolist(), axis=1)
        return [command, noise, imu, requests, *outside]

    def _imu_age(self, state: WalkState, uniform: Array) -> Array:
        """(n,) physics steps, age of the current IMU reading."""
        jitter = self.randomization.latency.imu_jitter
        held = jitter.value(0.0 if jitter.fixed else uniform[:, 0]) / self.simulator.timestep
        return state.delays.imu + jnp.round(held).astype(jnp.int32)

    def _disturb(self, state: WalkState, uniforms: list[Array]) -> tuple[State, WalkState, Array, Array | None]:
        """Kick, push and delay some robots; uniforms as `disturbances` takes them.

        Returns the physical state after kicks, the state with the current forces and jitter, and the delays and force
        for `actuation.step`.
        """
        config, draws = self.randomization, iter(uniforms)
        kick = disturbances.kick(next(draws), config.pushes, self.control_dt)
        before = state.physics._replace(qvel=state.physics.qvel.at[:, :2].add(kick))
        delay, push = state.delays.command, None
        if state.force is not None:
            force = disturbances.next_force(state.force, next(draws), config.pushes, self.control_dt)
            state, push = state._replace(force=force), force.now()
        if state.lateness is not None:
            seconds = config.latency.command_jitter.value(next(draws))
            lateness = actuation.jittered(state.lateness, seconds, self.simulator.timestep)
            state, delay = state._replace(lateness=lateness), delay[:, None] + lateness
        return before, state, delay, push

    def _sense(self, sensed: Sensed, bias: Array, uniform: Array) -> Array:
        """One frame (n, frame_size) from true values, constant errors (n, 3+3+nu) and uniform numbers in [0, 1)."""
        noisy, sensing = signal.noisy(self.contract.signals), self.randomization.sensing
        places = signal.slices(noisy, self.robot)
        noise = {one.name: sensing.noise(one).value(uniform[:, places[one.name]]) for one in noisy}
        return self.contract.frame(sensed, Errors(bias[:, :3], bias[:, 3:6], bias[:, 6:]), noise)

    def _motion(
        self, state: WalkState, before: State, physics: State, readings: Readings, action: Array
    ) -> tuple[Motion, Array, Array, Array]:
        """The input of the rewards, and the new air times, contacts and body velocity."""
        quaternion = physics.qpos[:, 3:7]
        gravity = to_body(quaternion, DOWN)
        velocity = to_body(quaternion, physics.qvel[:, :3])
        force = jnp.sqrt(jnp.sum(jnp.square(readings.contact_force), axis=-1))
        contact = readings.contact_distance < 0.0
        feet = lowest(readings, contact, self.feet)
        foot_contact = feet.contact
        flight = state.air_time + self.control_dt
        first_contact = foot_contact & (state.air_time > 0.0)
        torso = contact[:, self.torso]
        deviation = None
        if state.motion is not None:
            deviation = motion.deviation(state.motion, physics.qpos, physics.qvel[:, 6:], self.stature.height)
            # A trick may lie down; it has fallen where it is far from its frame.
            lost = jnp.abs(deviation.height) > self.config.motion.fall_height
            fell = lost | (deviation.tilted > self.config.fall_tilt) | ~readings.ok
        else:
            fell = (-gravity[:, 2] < np.cos(self.config.fall_tilt)) | torso.any(axis=1) | ~readings.ok
        offset = physics.qpos[:, 7:] - self.default_pose
        done = Motion(
            command=state.goal,
            linear_velocity=velocity,
            angular_velocity=physics.qvel[:, 3:6],
            gravity=gravity,
            height=physics.qpos[:, 2],
            joint_offset=offset,
            abduction=offset[:, np.array(self.robot.abduction_joints, int)],
            joint_velocity=physics.qvel[:, 6:],
            joint_acceleration=(physics.qvel[:, 6:] - before.qvel[:, 6:]) / self.control_dt,
            torque=readings.joint_torque,
            action=action,
            last_action=state.action,
            foot_contact=foot_contact,
            foot_velocity=feet.velocity,
            foot_height=feet.height,
            foot_air_time=flight * (~foot_contact | first_contact),
            first_contact=first_contact,
            knee_force=force[:, self.knees],
            torso_force=force[:, self.torso],
            fell=fell,
            gait_reference=None if state.gait is None else state.gait.reference,
            gait_stance=None if state.gait is None else state.gait.stance,
            stature=self.stature,
            idle=offset[:, self.idle] if len(self.idle) else None,
            deviation=deviation,
        )
        return done, jnp.where(foot_contact, 0.0, flight), contact, velocity
