"""`walkies explain`: the task written out as a Markov decision process, or the contents of a policy file."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from walkies.cli import explain_policy
from walkies.cli.arguments import presets
from walkies.cli.arguments.flags import starting_from
from walkies.cli.robots.named import named
from walkies.cli.tables import show, titled
from walkies.deploy.policy_file import read
from walkies.errors import UserError
from walkies.robots import DEFAULT, get_robot, known
from walkies.run.folders import find_policy
from walkies.tasks import rewards
from walkies.tasks.contract import Contract
from walkies.tasks.curriculum import Ramp
from walkies.tasks.gait.presets import Preset, with_preset
from walkies.tasks.hold import held
from walkies.tasks.motion import task as motion
from walkies.tasks.randomization import Randomization, Range, quantities
from walkies.tasks.scale.units import task_of
from walkies.tasks.signal import GAIT
from walkies.tasks.walk import WalkConfig

TASK = WalkConfig()


def _start(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """A robot has its own numbers, and a preset task others, in the robot's units; flags change these."""
    task, rest = presets.taken(arguments)
    if (robot := named(rest)) is not None:
        task = task_of(robot, task)
    return ({} if task is None else {"task": task}), rest


@starting_from(_start)
def command(
    target: str = DEFAULT, /, task: WalkConfig = TASK, preset: Preset | None = None, json: bool = False
) -> None:
    """Print the task as an MDP: observation, action, reward, termination, commands, randomization, each with its unit.

    For a policy it prints the contents of its file: frame, network, joints, and how commands and references reach it.

    Args:
        target: A robot, a run folder, or a policy.json.
        preset: Preset task of the Stanford course; --task changes its numbers.
        task: The task; every number can be changed here, and trained with the same flag of `walkies train`.
        json: Print one JSON object instead of tables.
    """
    if not known(target) and Path(target).exists():
        from walkies.judge.exam import robot_of  # which loads MuJoCo

        policy = read(find_policy(Path(target)))
        show(list(explain_policy.tables(policy, robot_of(policy))), json)
        return
    task = with_preset(task, preset)
    contract = _contract(target, task)
    show((observation_table(contract), action_table(contract), reward_table(task), episode_table(task),
          randomization_table(task)), json)  # fmt: skip


def _contract(robot: str, task: WalkConfig) -> Contract:
    try:
        machine = get_robot(robot)
    except UserError as error:
        raise UserError(f"{error}; nor is there a run folder or policy.json of that name") from error
    return Contract(
        machine, task.observation_history, task.action_scale, task.kp, task.kd, observation=task.observation,
        hold=held(machine, task.hold),
    )  # fmt: skip


def observation_table(contract: Contract) -> Table:
    """What the policy senses, index by index."""
    size, history = contract.observation_size, contract.observation_history
    title = f"Observation: {size} numbers = {history} frame(s) of {contract.frame_size}, newest first"
    table = titled(title, "index", "name", "unit", "sensor", "meaning")
    for one in contract.signals:
        where = contract.slices[one.name]
        table.add_row(f"{where.start}–{where.stop - 1}", one.name, one.unit, one.sensor, one.meaning)
    return table


def action_table(contract: Contract) -> Table:
    """What each action does."""
    robot = contract.robot
    kp, kd = contract.gains
    scale = np.broadcast_to(contract.scale, robot.num_joints)[contract.free]
    title = (
        f"Action: {len(contract.free)} numbers in [−1, 1], every {contract.control_dt * 1000:.0f} ms; "
        f"target = clip(default + {explain_policy.gain(tuple(scale.tolist()))} · action), "
        f"servo kp {explain_policy.gain(kp)} N·m/rad, kd {explain_policy.gain(kd)} N·m·s/rad"
    )
    table = titled(title, "index", "joint", "default (rad)", "target range (rad)")
    lower, upper = robot.target_limits()
    index = {int(joint): place for place, joint in enumerate(contract.free)}
    for i, name in enumerate(robot.joint_names):
        reach = f"[{lower[i]:+.2f}, {upper[i]:+.2f}]" if i in index else "held at the default"
        table.add_row(str(index.get(i, "–")), name, f"{robot.default_pose[i]:+.2f}", reach)
    return table


def reward_table(task: WalkConfig) -> Table:
    """Every reward term with its weight and unit."""
    growing = "; ".join(
        f"task.{name}.steps = {ramp.steps:,}" for name, (ramp, _) in task.ramps().items() if not ramp.constant
    )
    table = titled(
        "Reward of a step: control_dt · Σ weight · term, not clipped"
        + (f" (a → b: grows from a to b during training; {growing})" if growing else ""),
        *("term", "weight", "unit", "formula", "why"),
    )
    for name, term in rewards.terms_of(task.rewards).items():
        table.add_row(name, _weight(task, name), term.unit, term.formula, term.purpose)
    return table


def _weight(task: WalkConfig, name: str) -> str:
    """The weight of a reward term, from the start of training to its final value."""
    weight = getattr(task.rewards, name)
    grown = [ramp.start for ramp, names in task.ramps().values() if name in names and not ramp.constant]
    begins = grown[0] * weight if grown else weight
    grows = "" if begins == weight else f"{begins:g} → "
    return f"{grows}{weight:g}" if weight else "off"


def episode_table(task: WalkConfig) -> Table:
    """Commands, start, termination and time limit."""
    table = titled("Episode", "part", "value", "meaning")
    moves = any(name in task.observation for name in motion.SIGNALS)
    far = f"tilt > {task.fall_tilt} rad, torso on the ground, or physics blew up"
    if moves:
        far = f"against the movement: tilt > {task.fall_tilt} rad, height > {task.motion.fall_height} hip heights"
    table.add_row("termination", far, "worth the termination term, then nothing")
    table.add_row("truncation", f"{task.episode_seconds} s", "time limit: the value of the last state is bootstrapped")
    start = task.start.fade_in
    fades = f"{start.low:g} s" if start.fixed else f"{start.low:g} … {start.high:g} s"
    table.add_row("fade-in", fades, f"in {task.start.fade_probability:.0%} of the episodes, as after start-up")
    for part, record in (
        ("commands", task.commands),
        ("start", task.start),
        ("shape", task.shape),
        *((field.name, ramp) for field in fields(task) if isinstance(ramp := getattr(task, field.name), Ramp)),
        ("curriculum", task.curriculum),
        ("randomization.pushes", task.randomization.pushes),
        *((("gait", task.gait),) if GAIT in task.observation else ()),
        *((("motion", task.motion),) if moves else ()),
    ):
        _add_rows(table, part, record)
    return table


def _add_rows(table: Table, part: str, record: Any) -> None:
    """A row for every number of a record and of the records in it; ranges have their own table."""
    for field in fields(record):
        name, value = f"{part}.{field.name}", getattr(record, field.name)
        if is_dataclass(value) and not isinstance(value, Range):
            _add_rows(table, name, value)
        elif not isinstance(value, Range):
            table.add_row(name, _written(value), _docstring(type(record), field.name))


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_written, value))
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Path):
        return "none" if value is None else str(value)
    return ("off", "on")[value] if isinstance(value, bool) else f"{value:g}"


def randomization_table(task: WalkConfig) -> Table:
    """Every randomized quantity with its range, its unit and when it is drawn."""
    table = titled("Domain randomization: uniform", "quantity", "low", "high", "unit", "drawn per", "meaning")
    for group, name, bounds, unit, drawn, meaning in quantities(task.randomization):
        table.add_row(f"{group}.{name}", f"{bounds.low:g}", f"{bounds.high:g}", unit, drawn, meaning)
    return table


def randomization_markdown(sets: dict[str, Randomization]) -> str:
    """A Markdown table of every randomized quantity in each of several sets; the last says when each is drawn."""
    described = {name: quantities(randomization) for name, randomization in sets.items()}
    lines = [f"| quantity | unit | drawn per | {' | '.join(sets)} |", "|---" * (3 + len(sets)) + "|"]
    for row in zip(*described.values(), strict=True):
        group, name, _, unit, drawn, _ = row[-1]
        cells = [f"{q.range.low:g}" if q.range.fixed else f"{q.range.low:g} … {q.range.high:g}" for q in row]
        lines.append(f"| {group}.{name} | {unit} | {drawn} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _docstring(record: type[Any], name: str) -> str:
    """The string that stands below a dataclass field."""
    return inspect.getsource(record).split(f"    {name}: ")[1].split('"""')[1]
