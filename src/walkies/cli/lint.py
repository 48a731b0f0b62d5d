"""`walkies lint`: check a policy file before it reaches a robot."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro

from walkies.deploy.checks.findings import ERROR, UNCHECKED
from walkies.deploy.checks.lint import lint, text
from walkies.run.folders import find_policy


def command(target: Annotated[Path, tyro.conf.Positional], /, json: bool = False) -> None:
    """Check a policy file before it reaches a robot. Exit status 1 on an error, or on something that cannot be checked.

    Args:
        target: a run folder, or any policy.json, from walkies or from elsewhere.
        json: print the findings as JSON.
    """
    path = find_policy(target)
    found = lint(path)
    if json:
        print(json_module.dumps([asdict(finding) for finding in found], indent=2))
    else:
        print(text(path, found))
    if any(finding.severity in (ERROR, UNCHECKED) for finding in found):
        raise SystemExit(1)
