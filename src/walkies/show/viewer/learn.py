"""`walkies train … --view`: a page that shows robots while they learn, with the learning curves.

The robots shown use the training's own environment, start as copies of its robots and act by its newest policy,
exploration included. They are stepped between two iterations, a clip at a time and only while a page is open, so that
they move smoothly in real time; the training's own robots run faster than real time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import mujoco
import numpy as np

from walkies.accel.cpu import step_back
from walkies.mdp import select
from walkies.rl import train
from walkies.robots import load_model
from walkies.run.progress import count as in_words
from walkies.run.training import Training
from walkies.show.pictures import theme
from walkies.show.viewer.listener import listen
from walkies.show.viewer.scene import Scene, poses
from walkies.show.viewer.server import PageServer
from walkies.show.viewer.settings import finite
from walkies.show.viewer.view import View

ROBOTS = 16
SPACING = 0.9
"""m between robots at the start."""
CLIP = 25
"""Control steps that are computed at a time."""
FRAMES = 10.0
"""Pictures per second, at most."""
LONGEST_STOCK = 2.0
"""s of motion computed ahead, at most: more would show an old policy."""
RECORDS_PER_SECOND = 2.0
LONGEST_CURVE = 500
"""Points of a curve that a page is given when it opens."""
CURVES = (
    ("episode_return", "Return", "of an episode"),
    ("lin_vel_error", "Velocity error", "m/s"),
    ("yaw_rate_error", "Turn error", "rad/s"),
    ("episode_length", "Episode", "control steps to its end"),
)
"""Which of the training's metrics are drawn: name, title, unit."""

Clip = Callable[[Any, Any, jax.Array], tuple[Any, jax.Array]]


class Watch:
    """The page of one training. `update` is one of the training's observers; nothing else costs the training time."""

    def __init__(self, training: Training, port: int | None = None) -> None:
        self.training = training
        self.env: Any = training.env
        self.model = load_model(self.env.robot)
        self.listener = listen(port=port)
        self._records: list[dict[str, float | None]] = []
        self._stock: deque[np.ndarray] = deque()
        self._clip: Clip | None = None
        self._state: Any = None
        self._key = jax.random.key(0)
        self._last_record = self._last_update = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="walkies-field", daemon=True)

    def start(self) -> str:
        """Open the page; its address."""
        before = set(threading.enumerate())
        self.view = View()
        self.scene = Scene(self.view, self.model, ROBOTS, distance=4.0)
        self.scene.follow(np.zeros(3), 0.0)
        self.server = PageServer(self.view, self.hello, self.listener)
        address = self.server.start()
        self._thread.start()
        step_back(set(threading.enumerate()) - before)
        return address

    def stop(self) -> None:
        """Close the page."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self.server.stop()
        self.view.stop()

    def hello(self) -> dict[str, Any]:
        """Initial data for a new page."""
        every = -(-len(self._records) // LONGEST_CURVE) or 1
        return {
            "kind": "learn",
            "title": f"{self.env.robot.name} learns, seed {self.training.config.seed}",
            "curves": [{"name": name, "title": title, "unit": unit} for name, title, unit in CURVES],
            "colours": theme.COLOURS,
            "records": self._records[::every],
            "state": {},
        }

    def update(self, record: dict[str, float]) -> None:
        """Take the record of an iteration, and compute the robots' next motion if a page is open."""
        now = time.monotonic()
        if now - self._last_record >= 1.0 / RECORDS_PER_SECOND:
            self._last_record = now
            point = plotted(record)
            self._records.append(point)
            text = f"{in_words(record['steps'])} control steps · {in_words(record['steps_per_s'])} a second"
            self.server.send({"record": point, "state": {"text": text}})
        iteration, self._last_update = now - self._last_update, now
        if self.server.pages:
            wanted = min(1.2 * iteration + 1.0 / FRAMES, LONGEST_STOCK)
            while len(self._stock) * self.env.control_dt < wanted:
                self._stock.extend(self._compute())

    def _compute(self) -> np.ndarray:
        """The next CLIP configurations of the field, (CLIP, ROBOTS, nq)."""
        state = self.training.state
        if self._clip is None:
            self._clip = make_clip(self.training, CLIP)
            self._state = _on_one_device(jax.tree.map(lambda leaf: leaf[:ROBOTS], state.actors.state))
        self._key, key = jax.random.split(self._key)
        policy = _on_one_device((state.learner.params.policy, state.normalizers.policy))
        self._state, qpos = self._clip(policy, self._state, key)
        return np.asarray(qpos)

    def _play(self) -> None:
        """Show computed motion in real time, in its own thread."""
        data = mujoco.MjData(self.model)
        stride = max(1, round(1.0 / (FRAMES * self.env.control_dt)))
        pause = stride * self.env.control_dt
        while not self._stop.wait(pause):
            if not self.server.pages:
                self._stock.clear()
                continue
            if (wanted := self.server.inbox.take().hardware) is not None:
                self.scene.cast_shadows(wanted)
            frames = [self._stock.popleft() for _ in range(min(stride, len(self._stock)))]
            if frames:
                self.scene.show(*poses(self.model, data, spread(frames[-1])))


def _on_one_device(tree: Any) -> Any:
    """Training may use several, each of which would step all robots of the field."""
    return jax.device_put(tree, jax.local_devices()[0])


def plotted(record: dict[str, float]) -> dict[str, float | None]:
    """A record for the curves: None, a gap in them, where it has no finite number."""
    names = ("steps", *(name for name, _, _ in CURVES))
    found = {name: finite(float(record[name])) for name in names if name in record}
    return {name: None if number is None else round(number, 5) for name, number in found.items()}


def make_clip(training: Training, steps: int) -> Clip:
    """Compiled: ((policy parameters, normalizer), state of n robots, key) → (state `steps` later, qpos (steps, n, nq)).

    As in training a robot that falls starts again; nothing else ends its episode.
    """
    env: Any = training.env
    policy = train.make_policy(training.config.recipe, env)

    def clip(newest: Any, state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        params, normalize = newest
        fresh_key, key = jax.random.split(key)
        fresh = env.reset(fresh_key, jax.tree.leaves(state)[0].shape[0])

        def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            act_key, world_key = jax.random.split(key)
            dist_params = policy.dist_params(params, normalize(env.observe(state).policy))
            action = policy.action(policy.distribution(params, dist_params).sample(act_key))
            after, outcome = env.step(state, action, world_key)
            after = select(outcome.terminated, fresh, after)
            return after, after.physics.qpos

        return jax.lax.scan(step, state, jax.random.split(key, steps))

    return jax.jit(clip)


def spread(qpos: np.ndarray) -> np.ndarray:
    """Robots (n, nq) that all started at the origin, each in a place of its own; who leaves the square comes back in
    on the other side."""
    side = int(np.ceil(np.sqrt(len(qpos))))
    place = np.stack(np.divmod(np.arange(len(qpos)), side), axis=1) - (side - 1) / 2
    extent = side * SPACING
    out = np.array(qpos, float)
    out[:, :2] = np.mod(qpos[:, :2] + SPACING * place + extent / 2, extent) - extent / 2
    return out
