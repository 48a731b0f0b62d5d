"""`walkies export`: a policy as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from walkies.deploy.onnx_file import export_onnx
from walkies.deploy.policy_file import read
from walkies.judge.exam import robot_of
from walkies.run.folders import find_policy


def command(target: Annotated[Path, tyro.conf.Positional], /, out: Path | None = None) -> None:
    """Write a policy as ONNX, verified with onnxruntime, with names, units, gains and limits in its metadata.

    Args:
        target: a run folder, or any policy.json.
        out: where to write; default: policy.onnx beside the policy.json.
    """
    path = find_policy(target)
    policy = read(path)
    robot = robot_of(policy)
    out = out or path.with_suffix(".onnx")
    agreement = export_onnx(out, policy, robot)
    print(f"{out}: {agreement}; checked with onnxruntime")
