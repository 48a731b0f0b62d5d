"""What the linter says: a finding, how bad it can be, and the public sources that findings refer to."""

from __future__ import annotations

from dataclasses import dataclass

ERROR, UNCHECKED, WARNING, NOTE = "error", "unchecked", "warning", "note"
SEVERITIES = (ERROR, UNCHECKED, WARNING, NOTE)
"""error: the robot will not load it, or may harm itself; unchecked: the robot may run it, but walkies cannot and does
not know; warning: check before you walk; note: for information."""

CONTROLLER = "pupperv3-monorepo, neural_controller"
NEWER_CONTROLLER = "pupper_gait_deploy, neural_controller (2026)"
VALIDATOR = "pupper_gait_deploy, download_policy.py"
BOARD = "pupperv3-monorepo, control_board_hardware_interface"
COURSE = "pupperv3-mjx"
LOADER = "RTNeural, model_loader.h"


@dataclass(frozen=True)
class Finding:
    """One thing to know about a policy file."""

    code: str
    severity: str
    """One of SEVERITIES."""
    key: str
    message: str
    reference: str
    """Where the trouble was seen, or why the bound is where it is."""
    mend: str
