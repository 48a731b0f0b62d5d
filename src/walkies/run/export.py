"""From a trained run to the robot's file."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from walkies.deploy import policy_file
from walkies.deploy.blocks import Blocks
from walkies.deploy.policy_json import COMMANDS
from walkies.errors import UserError
from walkies.run.training import Training

COMMAND = "command"
"""The signal that tells a policy how fast to walk."""


def export_policy(path: Path, training: Training) -> policy_file.PolicyFile:
    """Write the mean network of a training as `path`: normalizer folded in, final tanh inside the file.

    Raises:
        PolicyFileError: the written file would not compute the trained actions.
        UserError: the recipe bounds actions in a way that cannot be written into a file.
    """
    recipe, env = training.config.recipe, training.env
    if recipe.bound == "clip":
        raise UserError("recipe.bound is 'clip': such a file does not bound the action; train with 'mean' or 'sample'")
    state = training.state
    layers, normalizer = jax.device_get((state.learner.params.policy.layers, state.normalizers.policy))
    limits = env.config.commands
    reach = (limits.forward, limits.sideways, limits.yaw)
    told = COMMAND in env.contract.slices
    return policy_file.export(
        path,
        [(np.asarray(w), np.asarray(b)) for w, b in layers],
        recipe.activation,
        np.asarray(normalizer.mean),
        # Inputs that the robot always reports alike carry nothing, also where observations are not normalized.
        np.asarray(normalizer.scale) * env.informative,
        env.contract,
        command_range={name: (-most, most) for name, most in zip(COMMANDS, reach, strict=True)} if told else None,
        # Also where training holds none: a file with a gait that says nothing of it would have the robot hold one.
        blocks=Blocks(
            heading_hold=limits.heading_hold,
            gait_reference=env.gait_reference,
            trick=None if env.motion_reference is None else env.motion_reference.movement,
        ),
        extra={"steps": training.steps},
    )
