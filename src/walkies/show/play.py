"""`walkies play`: drive a robot in the browser under a policy, in real time, and change its world while it walks."""

from __future__ import annotations

import math
import time
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.judge.exam import robot_of
from walkies.judge.falls import FALL_TILT
from walkies.later import mujoco
from walkies.robots import load_model
from walkies.run.folders import RunFolder, find_policy
from walkies.show.pictures import theme
from walkies.show.viewer.gauges import Gauges
from walkies.show.viewer.listener import Listener, Port, announce, has_screen, listen
from walkies.show.viewer.request import Ray, Request
from walkies.show.viewer.settings import LOAD_SIDE, PAYLOAD_BODY, PUSH, SLIDERS
from walkies.show.viewer.walker import Moment, Walker, command_range
from walkies.tasks.walk import WalkConfig

FRAMES, SOFTWARE_FRAMES = 30.0, 8.0
"""Poses per second for the view of a browser that draws with a graphics card, and without."""
PLOTS = 15.0
"""Times per second that the plots get their numbers."""
SPEEDS = (0.1, 0.25, 0.5, 1.0)
FALL_BEHIND = 0.1
"""s of simulated time made up for at most, where the machine could not keep up."""
STAGE_PAUSE = 0.25
"""s between two changes of policy: each is read from its file, while the robot waits."""
CLICK_RADIUS = 0.15
"""m around the robot's middle that count as the robot for a click."""
MOST_PLOTTED = 1e6
"""Size of what stands for infinity in the plots."""


class Stage(NamedTuple):
    """One policy to choose from."""

    label: str
    path: Path


class Play:
    """A walker, its picture and its page; everything but the page's own thread happens in `run`."""

    def __init__(self, stages: list[Stage], task: WalkConfig, title: str, listener: Listener) -> None:
        """stages: at least one; the last is the one to begin with. task: whose rewards are plotted."""
        from walkies.show.viewer.scene import Scene
        from walkies.show.viewer.server import PageServer
        from walkies.show.viewer.view import View

        self.title = title
        self.stages = stages
        self.chosen = len(stages) - 1
        policy = policy_file.read(stages[-1].path)
        self.robot = robot_of(policy)
        self.walker = Walker(policy, self.robot)
        self.gauges = Gauges(self.robot, self.walker.model, task.rewards, task.shape)
        self.speed, self.paused = 1.0, False
        self.view = View()
        self.scene = Scene(self.view, load_model(self.robot))
        self._ghost = False
        # A click on a shape itself is not to be had: viser 1.1.1 fails on many-copies shapes that can be clicked.
        self.view.ask_for_clicks()
        self.server = PageServer(self.view, self.hello, listener)
        self._rows: list[dict[str, Any]] = []
        self._moment = self.walker.moment()
        self.gauges.read(self.walker, self._moment, self.walker.dt)  # compiles, before the robot moves
        self._notice, self._frames = "", FRAMES
        self._pace = 0.0
        self._postponed, self._chose = Request(), -math.inf

    def hello(self) -> dict[str, Any]:
        """Initial data for a new page."""
        walker = self.walker
        return {
            "kind": "play",
            "title": f"{self.robot.name}, {self.title}",
            "range": command_range(walker.policy, self.robot),
            "sliders": [{**slider._asdict(), "value": getattr(walker.settings, slider.name)} for slider in SLIDERS],
            "speeds": SPEEDS,
            "stages": [stage.label for stage in self.stages],
            "legs": [name.replace("_", " ") for name in self.robot.leg_names],
            "joints": self.robot.joint_labels,
            "torque_limit": self.robot.torque_limit,
            "terms": list(self.gauges.terms),
            "colours": theme.COLOURS,
            "state": self.state(),
        }

    def state(self) -> dict[str, Any]:
        """Data that changes occasionally.

        clips: names in the policy's movement, of which `clip` is playing. steered: whether it is told a velocity.
        reference: whether what it follows is shown; None: it follows nothing.
        """
        walker, settings = self.walker, self.walker.settings
        return {
            "paused": self.paused,
            "speed": self.speed,
            "stage": self.chosen,
            "fallen": self._moment.tilt > FALL_TILT,
            "stopped": self._moment.stopped,
            "settings": {slider.name: getattr(settings, slider.name) for slider in SLIDERS},
            "clips": walker.clips,
            "clip": self._moment.clip,
            "queue": self._moment.queue,
            "steered": "command" in walker.policy.slices,
            "reference": self._ghost if walker.reference.exists else None,
            "notice": self._notice,
            "pace": round(self._pace, 3),
        }

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Walk in real time until `until` returns true or Ctrl-C."""
        before, budget, shown, sent = time.monotonic(), 0.0, 0.0, 0.0
        walked, since = 0.0, before
        try:
            while not until():
                self._obey()
                now = time.monotonic()
                passed, before = now - before, now
                if not self.paused:
                    budget = min(budget + passed * self.speed, FALL_BEHIND)
                    while budget >= self.walker.dt:
                        self._advance()
                        budget -= self.walker.dt
                        walked += self.walker.dt
                if now - since >= 1.0:
                    self._pace, walked, since = walked / (now - since), 0.0, now
                if now - shown >= 1.0 / self._frames:
                    self._show(now - shown)
                    shown = now
                if now - sent >= 1.0 / PLOTS:
                    self.server.send({"rows": self._rows, "state": self.state()})
                    self._rows, sent = [], now
                time.sleep(max(0.0, 0.002 - (time.monotonic() - now)))
        except KeyboardInterrupt:
            pass
        finally:
            self.server.stop()
            self.view.stop()

    def obey(self, request: Request) -> None:
        """Handle requests of pages, a stop first; requests for anything unknown are ignored."""
        walker = self.walker
        if request.stop:
            walker.emergency_stop()
        elif request.reset:
            walker.reset()
        if request.command is not None:
            walker.drive(np.array(request.command))
            if request.id is not None:
                self.server.send({"heard": request.id})
        if request.push is not None:
            walker.push(self._in_world(np.array(request.push)))
        if request.click is not None:
            self._click(request.click)
        if request.hardware is not None:
            self.scene.cast_shadows(request.hardware)
            self._frames = FRAMES if request.hardware else SOFTWARE_FRAMES
        if request.set:
            walker.change(walker.settings.changed(request.set))
        if request.paused is not None:
            self.paused = request.paused
        if request.speed in SPEEDS:
            self.speed = request.speed
        if request.stage is not None and request.stage < len(self.stages):
            self._choose(request.stage)
        if request.clip in walker.clips:
            walker.play(request.clip)
        if request.reference is not None:
            self._ghost = request.reference
        if request != Request():
            self._moment = walker.moment()

    def _choose(self, stage: int) -> None:
        try:
            self.walker.load(policy_file.read(self.stages[stage].path))
        except (UserError, OSError) as error:
            self._notice = str(error)
            return
        self.chosen, self._notice = stage, ""

    def _obey(self) -> None:
        """Handle the requests since the last call; a change of policy waits if there was one just before."""
        request = self._postponed.then(self.server.inbox.take())
        self._postponed = Request()
        if request.stage is not None:
            now = time.monotonic()
            if now - self._chose < STAGE_PAUSE:
                self._postponed, request = Request(stage=request.stage), replace(request, stage=None)
            else:
                self._chose = now
        self.obey(request)

    def _advance(self) -> None:
        moment = self.walker.advance()
        if moment is None:
            return
        self._moment = moment
        contact, terms = self.gauges.read(self.walker, moment, self.walker.dt * self.walker.config.repeat_action)
        self._rows.append(row(moment, contact, terms))

    def _show(self, passed: float) -> None:
        walker = self.walker
        data, model = walker.data, walker.model
        # The picture's model has the same bodies in the same order, but for the payload, which is the last one.
        count = model.nbody - 1
        self.scene.show(data.xpos[None, :count], data.xquat[None, :count])
        self.scene.haunt(walker.ghost() if self._ghost else None)
        place = data.qpos[:2]
        self.scene.follow(np.array([*place, walker.ground_height(place)]), passed)
        self.scene.tilt(model.geom_pos[walker.floor], model.geom_quat[walker.floor])
        load = model.body(PAYLOAD_BODY).id
        self.scene.carry(data.xpos[load], data.xquat[load], LOAD_SIDE * np.cbrt(walker.settings.payload))

    def _in_world(self, push: np.ndarray) -> np.ndarray:
        """A push (2,) forward and leftward of the robot, in world axes."""
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, self.walker.data.qpos[3:7])
        forward = rotation.reshape(3, 3)[:2, 0]
        forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
        return push[0] * forward + push[1] * np.array([-forward[1], forward[0]])

    def _click(self, sight: Ray) -> None:
        """A click on the robot pushes it away from the camera."""
        origin, direction = np.array(sight.origin), np.array(sight.direction) / math.hypot(*sight.direction)
        along_ground = math.hypot(*direction[:2])
        if along_ground > 1e-6 and self.scene.hit(origin, direction, self.walker.data.qpos[:3], CLICK_RADIUS):
            self.walker.push(PUSH * direction[:2] / along_ground)


def row(moment: Moment, contact: list[bool], terms: dict[str, float]) -> dict[str, Any]:
    """A moment for the plots."""
    return {
        "t": round(moment.time, 3),
        "command": _rounded(moment.command),
        "velocity": _rounded(moment.velocity),
        "torque": _rounded(moment.torque),
        "contact": contact,
        "stance": None if moment.stance is None else moment.stance.tolist(),
        "reward": _rounded(np.array(list(terms.values()))),
    }


def _rounded(values: np.ndarray) -> list[float]:
    """For JSON, which knows neither NaN (here 0) nor infinity: a policy may answer with both."""
    return np.round(np.clip(np.nan_to_num(values), -MOST_PLOTTED, MOST_PLOTTED), 4).tolist()


def stages_of(target: Path) -> list[Stage]:
    """The policies of a run from the first to the newest, or the one policy that `target` is.

    A run that is still training, or was stopped before it wrote its policy, is played with what it has kept so far.

    Raises:
        UserError: there is no policy.
    """
    kept = [path for path in RunFolder(target).stage_files() if path.stem.isdecimal()] if target.is_dir() else []
    found = [Stage(_steps(int(path.stem)), path) for path in kept]
    if found and not RunFolder(target).policy.is_file():
        return found
    final = find_policy(target)
    return [*found, Stage("to the end" if found else final.name, final)]


def task_of(target: Path) -> WalkConfig:
    """The task that a run was trained on; the default one where `target` is only a policy."""
    if target.is_dir() and RunFolder(target).config.is_file():
        from walkies.run.config import read_config

        return read_config(RunFolder(target), own_terms=False).task
    return WalkConfig()


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    host: str = "127.0.0.1",
    port: Port | None = None,
    open: bool = True,
) -> None:
    """Drive a trained robot in the browser: keyboard, joystick or gamepad; push it, load it, tilt its ground.

    Args:
        target: a run folder, whose earlier policies can be chosen too, or any policy.json.
        host: address to serve on. Anything but this machine's own lets others on the network watch and drive.
        port: port of the page; default: 8012, or the next free one if that is taken.
        open: open the page in a browser.
    """
    stages = stages_of(target)
    listener = listen(host, port)  # before anything that takes long, to say at once what would fail in the end
    if target.is_dir() and stages[-1].path != RunFolder(target).policy:
        print(f"{target} has no {RunFolder(target).policy.name} yet; its newest policy is of {stages[-1].label}.")
    play = Play(stages, task_of(target), target.resolve().name, listener)
    address = play.server.start()
    announce(address, host)
    if open and has_screen():
        webbrowser.open(address)
    play.run()


def _steps(count: int) -> str:
    return f"{count / 1e6:.2f} M steps"
