"""The walking task as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from walkies import renamed
from walkies.bounds import Between
from walkies.tasks import rewards
from walkies.tasks.commands import Commands
from walkies.tasks.contract import ACTION_SCALE, Damping, Stiffness
from walkies.tasks.curriculum import FULL, Curriculum, Ramp
from walkies.tasks.gait.task import GaitConfig
from walkies.tasks.motion import task as motion
from walkies.tasks.motion.task import MotionConfig
from walkies.tasks.randomization import Randomization
from walkies.tasks.rewards import RewardParams, RewardWeights
from walkies.tasks.signal import FRAME
from walkies.tasks.start import Start

FAST, MOVEMENT = "fast_gait.json", "motion.toml"
"""A run's copies of the files that its task names: the run goes on elsewhere, and later, as it began."""


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
    twisting: Ramp = field(default_factory=lambda: Ramp(start=0.0, steps=18_000_000, after=14_000_000))
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

    def files(self) -> dict[str, Path]:
        """The files that it names, by the name of a run's copy."""
        moves = any(name in self.observation for name in motion.SIGNALS)
        found = {FAST: self.gait.fast, MOVEMENT: motion.source(self.motion) if moves else None}
        return {copy: path for copy, path in found.items() if path is not None}

    def with_copies(self, run: Path) -> WalkConfig:
        """The same task with the copies in a run's folder, where there are any, in place of the files that it names."""
        copies = {copy: run / copy for copy in self.files() if (run / copy).is_file()}
        gait, movement = self.gait, self.motion
        if FAST in copies:
            gait = replace(gait, fast=copies[FAST])
        if MOVEMENT in copies:
            movement = replace(movement, file=str(copies[MOVEMENT]))
        return replace(self, gait=gait, motion=movement)
