"""Importing this module makes `gymnasium.make("walkies/Pupper-v0")` and its vector form known to Gymnasium.

`import walkies` does so by itself where Gymnasium has been imported before; `gymnasium.make("walkies.gym:walkies/…")`
works anywhere. Nothing heavy is loaded until an environment is made.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium

from walkies.errors import UserError

PUPPER = "walkies/Pupper-v0"


def register() -> None:
    """Tell Gymnasium what there is; doing so twice changes nothing."""
    if PUPPER not in gymnasium.registry:
        gymnasium.register(
            PUPPER, entry_point="walkies.gym:make_pupper", vector_entry_point="walkies.gym:make_pupper_vector"
        )


def make_pupper(
    simulator: Literal["native", "mujoco"] = "native", threads: int | None = None, **options: Any
) -> gymnasium.Env:
    """Stanford Pupper v3 that follows velocity commands, drawn anew at every reset, as in `walkies train pupper`.

    options: of `walkies.envs.gymnasium_adapter.ToGymnasium`, such as time_limit.
    """
    from walkies.envs.gymnasium_adapter import ToGymnasium

    return ToGymnasium(_task(simulator, threads), **options)


def make_pupper_vector(
    num_envs: int = 1, simulator: Literal["native", "mujoco"] = "native", threads: int | None = None, **options: Any
) -> gymnasium.vector.VectorEnv:
    """A batch of them, stepped as one. options: of `ToGymnasiumVector`, such as autoreset_mode."""
    from walkies.envs.gymnasium_adapter import ToGymnasiumVector

    return ToGymnasiumVector(_task(simulator, threads), num_envs, **options)


def _task(simulator: Literal["native", "mujoco"], threads: int | None) -> Any:
    from walkies.experiment import TrainConfig, build

    if simulator not in ("native", "mujoco"):
        raise UserError(f"simulator is {simulator!r}; choose native or mujoco")
    return build(TrainConfig(robot="pupper", simulator=simulator, threads=threads))


register()
