"""The examination of a policy that follows a movement: does it stay with its frames, under the same conditions as a
policy that walks?

Every clip is asked for in turn, as a person with a gamepad would: where the last frame of a clip is held, half a second
later; where a clip loops, while it plays. The marks are those by which the Stanford course of 2026 says whether a
replayed movement holds up (`walkies.judge.motion.replay`).
"""

from __future__ import annotations

import numpy as np

from walkies.deploy.controllers.inputs import Plays
from walkies.judge.loop import Loop, Motion
from walkies.judge.motion.replay import FAR, NEAR, between
from walkies.judge.ranges import CONTROL_DT, EPISODE_SECONDS, STEPS, Conditions
from walkies.judge.report import Mark, fall, results
from walkies.judge.report_card import Card, uncertainty
from walkies.quaternions import up_in_body
from walkies.robots.units import growth, tidy
from walkies.tasks.motion.heights import heights
from walkies.tasks.motion.movement import Movement, Playback

HELD, LOOPED = 0.5, 2.0
"""s for which a last frame is held, and a loop plays, before the next clip is asked for."""
MEASURED = ("height", "tilt", "turn", "joints", "torque", "change")
"""In every action: m, rad, rad, rad², N² m², 1."""
PART = 0.95
"""Share of the time in which a mark must be kept."""


def marks_of(size: float) -> tuple[Mark, ...]:
    """size: how many times longer the robot's lengths are than those of the robot for which the marks were set."""
    degrees = round(float(np.degrees(NEAR[1])))
    return (
        Mark("survival", "survival", "", 0.99, at_least=True, gates=True),
        Mark("height_error_p95", "height of the trunk, error, 95th percentile", "m", tidy(NEAR[0] * size), gates=True),
        Mark("tilt_error_p95", "tilt of the trunk, error, 95th percentile", "°", degrees, gates=True),
        Mark("turn_error_p95", "heading, error, 95th percentile", "°", None),
        Mark("joint_error", "joint angles, error, root mean square", "rad", None),
        Mark("torque_rms", "joint torque, root mean square", "N m", None),
        Mark("action_rate", "action change per control step, root mean square", "", None),
    )


class Requests:
    """Asks the controller of a loop for the clips of a movement in turn, as a person with a gamepad would."""

    def __init__(self, loop: Loop, movement: Movement) -> None:
        assert isinstance(loop.controller, Plays), "what plays a trick is one of walkies' controllers"
        self.controller, self.movement = loop.controller, movement
        self.dt = loop.controller.action_ticks / loop.controller.tick_rate
        self.played = [movement.clips[0].name]
        """Clips, the one asked for last at the end."""
        self.clip, self.actions, self.asked = 0, 0, False

    @property
    def playback(self) -> Playback:
        """Of the loop's controller."""
        playback = self.controller.playback
        assert playback is not None, "its policy has the movement"
        return playback

    def ask(self) -> None:
        """After an action: ask for the clip that was not played for longest, of those that may follow."""
        playback = self.playback
        same = playback.clip == self.clip
        self.actions, self.asked = (self.actions + 1 if same else 0), self.asked and same
        self.clip, clip = playback.clip, self.movement.clips[playback.clip]
        over = (clip.end - clip.start - 1) / self.movement.fps + HELD
        due = LOOPED if clip.loop else over if playback.held else np.inf
        if self.asked or self.actions * self.dt < due:
            return
        joins = self.movement.joins[clip.end - 1]
        others = [one.name for one, fits in zip(self.movement.clips, joins, strict=True) if fits and one is not clip]
        if others:
            name = min(others, key=lambda one: self.played.index(one) if one in self.played else -1)
            self.played = [*(one for one in self.played if one != name), name]
            self.controller.play(name)
            self.asked = True


class Frames:
    """Watches robots that follow a movement, asks for clips, and says who is lost; in place of `Falls`."""

    def __init__(self, loop: Loop, movement: Movement) -> None:
        self.loop, self.movement, n = loop, movement, len(loop.alive)
        self.size = growth(loop.robot, "m")
        self.heights = heights(movement, loop.robot, loop.simulation.model)
        self.requests = Requests(loop, movement)
        self.cause = np.full(n, "", dtype="U32")
        self.wanted, self.height, self.tilt = np.zeros((n, 4)), np.zeros(n), np.zeros(n)
        """Of the frame that was shown: the trunk's orientation; and how far (m, rad) it is from its height and tilt."""

    def look(self, motion: Motion) -> np.ndarray:
        """After an action: (n,) bool, who was lost in it. They are not alive any more."""
        loop, qpos, playback = self.loop, motion.qpos[:, -1], self.requests.playback
        if playback.turn is None:  # the controller is starting up
            return np.zeros(len(loop.alive), bool)
        self.wanted = self.movement.orientation(np.full(len(qpos), playback.frame), playback.turn)
        self.height = np.abs(qpos[:, 2] - self.heights[playback.frame])
        overlap = np.sum(up_in_body(self.wanted) * up_in_body(qpos[:, 3:7]), axis=-1)
        self.tilt = np.arccos(np.clip(overlap, -1.0, 1.0))
        causes = {
            loop.controller.failure: loop.controller.failed,
            "physics diverged": ~motion.ok,
            "trunk far from its frame": self.height > FAR[0] * self.size,
            "tilt far from its frame": self.tilt > FAR[1],
        }
        fallen = loop.alive & np.any(list(causes.values()), axis=0)
        for name, mask in causes.items():
            self.cause[fallen & mask & (self.cause == "")] = name
        loop.alive = loop.alive & ~fallen
        self.requests.ask()
        return fallen


class TrickRecorder:
    """Writes down how robots follow a movement, action by action."""

    def __init__(self, loop: Loop, movement: Movement) -> None:
        n = len(loop.alive)
        self.loop, self.movement, self.frames = loop, movement, Frames(loop, movement)
        self.fall_step, self.before = np.full(n, STEPS), loop.controller.action
        self.errors = {name: np.full((n, STEPS), np.nan) for name in MEASURED}

    def __call__(self, step: int | None, motion: Motion) -> None:
        """After the action with this number."""
        fallen = self.frames.look(motion)
        if step is None:
            return
        self.fall_step[fallen] = step
        controller, live, qpos = self.loop.controller, self.loop.alive, motion.qpos[:, -1]
        change, self.before = controller.action - self.before, controller.action
        if step * CONTROL_DT < controller.fade_in:
            return
        joints = qpos[:, self.loop.where.qpos] - self.movement.joint_pos[self.frames.requests.playback.frame]
        found = {
            "height": self.frames.height,
            "tilt": self.frames.tilt,
            "turn": between(self.frames.wanted, qpos[:, 3:7]),
            "joints": (joints**2).mean(axis=-1),
            "torque": (motion.torque**2).mean(axis=(1, 2)),
            "change": (change**2).mean(axis=-1),
        }
        for name, values in found.items():
            self.errors[name][live, step] = values[live]


def report(drawn: Conditions, recorder: TrickRecorder, seed: int, robot: str) -> Card:
    """The report card. Numbers that could not be measured are None, and their marks missed."""
    frames = recorder.frames
    errors = {name: values[np.isfinite(values)] for name, values in recorder.errors.items()}
    numbers = {
        "survival": float(np.mean(frames.cause == "")),
        "height_error_p95": _quantile(errors["height"]),
        "tilt_error_p95": float(np.degrees(_quantile(errors["tilt"]))),
        "turn_error_p95": float(np.degrees(_quantile(errors["turn"]))),
        "joint_error": _root(errors["joints"]),
        "torque_rms": _root(errors["torque"]),
        "action_rate": _root(errors["change"]),
    }
    marks, episodes = results(marks_of(frames.size), numbers), len(drawn.seed)
    return {
        "passed": all(mark["met"] for mark in marks if mark["gates"]),
        "survival": numbers["survival"],
        "survival_interval": list(uncertainty(numbers["survival"], episodes)[1:]),
        "episodes": episodes,
        "seed": seed,
        "episode_seconds": EPISODE_SECONDS,
        "robot": robot,
        "movement": recorder.movement.name,
        "clips": frames.requests.played,
        "marks": marks,
        "falls": [
            fall(drawn, i, int(recorder.fall_step[i]), str(frames.cause[i]))
            for i in map(int, np.flatnonzero(frames.cause != ""))
        ],
    }


def _quantile(values: np.ndarray) -> float:
    return float(np.quantile(values, PART)) if values.size else float("nan")


def _root(squares: np.ndarray) -> float:
    return float(np.sqrt(squares.mean())) if squares.size else float("nan")
