"""Importing this module makes `gymnasium.make("walkies/Velocity-v0", robot=…)` and its vector form known to Gymnasium.

The robot is any that walkies knows by name, and its task is its own, as in `walkies train`. Robots whose record is code
have environments of their own besides, such as `walkies/Pupper-v0`.

`import walkies` does so by itself as soon as Gymnasium is imported too;
`gymnasium.make("walkies.gymnasium.walking:walkies/…")` works without it. Nothing heavy is loaded until an environment
is made, JAX starts with the first reset, and what draws with the first picture (`render_mode="rgb_array"`).

`gymnasium.make_vec` steps a vector of robots as one, which is fast. Its `vectorization_mode="async"` forks a process
for each: possible until JAX has started, and afterwards with `vector_kwargs={"context": "spawn"}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np

from walkies.errors import UserError
from walkies.robots import DEFAULT, ROBOTS

if TYPE_CHECKING:
    from walkies.show.rendering.camera import Camera

ANY = "walkies/Velocity-v0"
"""The environment of which robot is asked for: `robot="go"`."""
PICTURE = (480, 360)
"""Width and height in pixels of what `render` gives."""


def register() -> None:
    """Register the environments in Gymnasium; doing so twice changes nothing."""
    for name, robot in {ANY: DEFAULT, **{f"walkies/{robot.capitalize()}-v0": robot for robot in ROBOTS}}.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="walkies.gymnasium.walking:make",
                vector_entry_point="walkies.gymnasium.walking:make_vector",
                kwargs={"robot": robot},
            )


def make(
    robot: str, simulator: Literal["native", "mujoco"] = "native", threads: int | None = None, **options: Any
) -> gymnasium.Env:
    """A robot that follows velocity commands, redrawn at every reset, as in `walkies train`.

    robot: a name, such as `walkies train --help` takes; commands, rewards and gains are in its own units.
    options: of `walkies.gymnasium.adapter.ToGymnasium`, such as time_limit and render_mode.
    """
    from walkies.gymnasium.adapter import ToGymnasium

    task = _task(robot, simulator, threads)
    return ToGymnasium(task, render=Photographer(task), **options)


def make_vector(
    robot: str,
    num_envs: int = 1,
    simulator: Literal["native", "mujoco"] = "native",
    threads: int | None = None,
    **options: Any,
) -> gymnasium.vector.VectorEnv:
    """A batch of them, stepped as one. options: of `ToGymnasiumVector`, such as autoreset_mode."""
    from walkies.gymnasium.adapter import ToGymnasiumVector

    return ToGymnasiumVector(_task(robot, simulator, threads), num_envs, **options)


def _task(robot: str, simulator: Literal["native", "mujoco"], threads: int | None) -> Any:
    from walkies.run.config import TrainConfig, build

    if simulator not in ("native", "mujoco"):
        raise UserError(f"simulator is {simulator!r}; choose native or mujoco")
    return build(TrainConfig(robot=robot, simulator=simulator, threads=threads))


class Photographer:
    """Draws the robot of a walking task. Its camera starts with the first picture, so that nobody else needs GL."""

    def __init__(self, task: Any) -> None:
        self.fps = round(1.0 / task.control_dt)
        self._robot = task.robot.name
        self._camera: Camera | None = None

    def __call__(self, state: Any) -> np.ndarray:
        """A picture (height, width, 3) uint8 of a `walkies.tasks.walk.WalkState` of one robot.

        Raises:
            UserError: nothing draws here; the message says what to do.
        """
        from walkies.show.rendering.camera import Camera
        from walkies.show.rendering.render import filmed_model, following

        if self._camera is None:
            self._camera = Camera(filmed_model(self._robot, PICTURE), PICTURE)
        qpos = np.asarray(state.physics.qpos[0], np.float64)
        [picture] = self._camera.pictures([(qpos, following(qpos[:2]))])
        return picture.copy()

    def close(self) -> None:
        """End the camera; another picture starts a new one."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None


register()
