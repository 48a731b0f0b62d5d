"""Walking under velocity commands, as a Markov decision process.

Action: joint targets around the default pose (`walkies.tasks.contract`). Observation: what the robot's own
controller would feed the policy. Reward: `walkies.tasks.rewards`. Differences between robots, disturbances and sensor
errors: `walkies.tasks.randomization`.

The state holds everything the future depends on, including the frames already sensed: sensor noise is drawn once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

from walkies.later import Array, jnp
from walkies.mdp import Observation, Outcome
from walkies.tasks import curriculum, signal
from walkies.tasks.contract import OBSERVATION_CLIP
from walkies.tasks.gait import task as gait
from walkies.tasks.walk import reset, step
from walkies.tasks.walk.config import WalkConfig
from walkies.tasks.walk.setup import Setup
from walkies.tasks.walk.state import WalkState

__all__ = ["Walk", "WalkConfig", "WalkState"]


class Walk(Setup):
    """Walking under velocity commands on one simulator; a `walkies.mdp.ChangingEnv`."""

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
        return reset.draw_state(self, key, num_envs)

    def observe(self, state: WalkState) -> Observation:
        """The policy gets the robot's own observation; the critic gets the true state and the drawn robot."""
        critic = signal.frame(self.privileged, self, state)
        return Observation(state.history * self.informative, jnp.clip(critic, -OBSERVATION_CLIP, OBSERVATION_CLIP))

    def step(self, state: WalkState, action: Array, key: Array) -> tuple[WalkState, Outcome]:
        """One control step under actions (n, nu − held joints); actions beyond ±1 act as ±1."""
        return step.draw_next(self, state, action, key)
