"""The report card of an examination: its contents, its text, and where a run keeps it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TypedDict

from walkies import records
from walkies.errors import UserError
from walkies.estimates import Share, wilson
from walkies.files import write_json, write_text
from walkies.markdown import escape, table

EPISODES, SEED = 100, 0
"""Of the default examination, whose card is the run's."""
CARD, OTHERS = "report", "exams"
"""In a folder: what the default examination's files are called, and the folder of all others."""
TELLING = 1000
"""Episodes that tell a survival of 0.99 from one of 0.98."""
EXPECTED = "the report card of an examination; `walkies exam` writes it again"


class Result(TypedDict):
    """One mark and what was got."""

    key: str
    name: str
    value: float | None
    """None where it could not be measured."""
    unit: str
    pass_mark: float | None
    """None if the number is only for information."""
    at_least: bool
    gates: bool
    """Whether missing it fails the examination."""
    met: bool


class Fall(TypedDict):
    """An episode that ended early, and under what."""

    episode: int
    seed: int
    time: float
    """s"""
    cause: str
    command: list[float]
    """m/s, m/s, rad/s, when it fell"""
    command_held_s: float
    command_before: list[float]
    friction: float
    payload_kg: float
    trunk_mass_scale: float
    com_shift_m: list[float]
    kp_scale: float
    kd_scale: float
    command_delay_ms: float
    imu_delay_ms: float
    last_push_m_s: float


class Pair(TypedDict):
    """Two of a robot's bodies that touched one another."""

    bodies: list[str]
    share: float
    """of the time that robots walked"""


class OwnContacts(TypedDict):
    """How a robot's own parts touched one another."""

    share: float
    """of the time that robots walked: some did"""
    pairs: list[Pair]
    """The most frequent ones first."""


class Resting(TypedDict):
    """How far joints that belong to no leg, or whose target is fixed, were from the default pose."""

    joints: list[str]
    mean: float
    """rad, over joints and time"""
    worst: float
    """rad"""
    worst_joint: str


class _Card(TypedDict):
    passed: bool
    survival: float
    """Share of the episodes."""
    episodes: int
    seed: int
    """of the examination"""
    episode_seconds: float
    marks: list[Result]
    falls: list[Fall]


class Card(_Card, total=False):
    """A report card. What stands here is not in all of them: some are of version 0.1, and some of a movement."""

    lin_vel_error: float
    """m/s, mean, of a policy that follows commands; likewise:"""
    yaw_rate_error: float
    """rad/s, mean"""
    commands: list[float]
    """± m/s forward and leftward, and rad/s, that the policy was told, if more than the robot's gamepad asks for"""
    movement: str
    """that the policy follows; likewise:"""
    clips: list[str]
    """of it that were played, the last one last"""
    robot: str
    policy: str
    """SHA-256 of the policy file that was examined."""
    survival_interval: list[float]
    """Ends of the 95% interval of survival."""
    own_contacts: OwnContacts
    resting: Resting
    simulator: str
    """Where it was examined, if not in MuJoCo."""


def uncertainty(survival: float, episodes: int) -> Share:
    """Survival with its 95% interval."""
    return wilson(round(survival * episodes), episodes)


def about(card: Card) -> str:
    """Episodes and seed of the examination, and how certain its survival rate is."""
    share = uncertainty(card["survival"], card["episodes"])
    limit = next((mark["pass_mark"] for mark in card["marks"] if mark["key"] == "survival"), None)
    unsure = ""
    if limit is not None and share.low < limit <= share.high:
        more = f"`--episodes {TELLING}` tells" if card["episodes"] < TELLING else "more episodes, or another seed, tell"
        unsure = f", which does not settle whether it is {limit:.0%}; {more} more"
    return (
        f"{card['episodes']} episodes of {card['episode_seconds']:g} s in {card.get('simulator', 'MuJoCo')}, "
        f"examination seed {card['seed']}{_reach(card)}. "
        f"Survival is {share.value:.1%}, its 95% interval {share.low:.1%} … {share.high:.1%}{unsure}."
    )


def _reach(card: Card) -> str:
    """How fast the policy was told to go, where that is more than usual."""
    if (commands := card.get("commands")) is None:
        return ""
    forward, sideways, yaw = commands
    return f", commands of up to {forward:g} m/s forward, {sideways:g} m/s sideways and {yaw:g} rad/s"


def causes(card: Card) -> str:
    """Number of falls by cause, most frequent first; empty if none fell."""
    counts = Counter(fall["cause"] for fall in card["falls"]).most_common()
    return ", ".join(f"{cause}: {count}" for cause, count in counts)


def remarks(card: Card) -> list[str]:
    """Remarks on the robot's own parts, a sentence each."""
    said = []
    contacts, resting = card.get("own_contacts"), card.get("resting")
    if contacts is not None and contacts["share"]:
        often = "; ".join(f"{' and '.join(pair['bodies'])} in {pair['share']:.1%}" for pair in contacts["pairs"])
        said.append(f"Parts of the robot touched one another in {contacts['share']:.1%} of the time, mostly {often}.")
    if resting is not None:
        said.append(
            f"Joints of no leg, or with a fixed target, of which there are {len(resting['joints'])}, were "
            f"{resting['mean']:.3f} rad from the default pose on average, at worst {resting['worst']:.3f} rad "
            f"({resting['worst_joint']})."
        )
    return said


def markdown(card: Card) -> str:
    """The report card for people."""
    lines = [
        f"# Examination: {'PASSED' if card['passed'] else 'FAILED'}",
        "",
        f"{about(card)} The marks in bold decide; the others are for information.",
        "",
        *table(["", "result", "pass mark", ""], [_row(mark) for mark in card["marks"]]),
    ]
    lines += [line for said in remarks(card) for line in ("", escape(said))]
    if card["falls"]:
        head = ["episode", "seed", "time", "cause", "conditions"]
        lines += ["", f"## Falls: {len(card['falls'])}", "", f"{escape(causes(card))}.", ""]
        lines += [*table(head, [_fall(fall) for fall in card["falls"]])]
    return "\n".join(lines) + "\n"


def errors(card: Card) -> list[str]:
    """Of velocity and yaw rate, in short; empty where the policy follows no commands."""
    found = card.get("lin_vel_error"), card.get("yaw_rate_error")
    return ["" if number is None else f"{number:.3f}" for number in found]


def decisive(card: Card) -> str:
    """What decided besides survival, in words."""
    return " and ".join(value(mark) for mark in card["marks"] if mark["gates"] and mark["key"] != "survival")


def value(mark: Result) -> str:
    """What was got, with its unit."""
    return "not measured" if mark["value"] is None else f"{mark['value']:.3f} {mark['unit']}".strip()


def limit(mark: Result) -> str:
    """What is asked for, with its unit."""
    sign = "≥" if mark["at_least"] else "≤"
    return "" if mark["pass_mark"] is None else f"{sign} {mark['pass_mark']:g} {mark['unit']}".strip()


def _row(mark: Result) -> list[str]:
    name = f"**{escape(mark['name'])}**" if mark["gates"] else escape(mark["name"])
    return [name, escape(value(mark)), escape(limit(mark)), "met" if mark["met"] else "missed"]


def _fall(fall: Fall) -> list[str]:
    command, before = (", ".join(f"{v:+.2f}" for v in part) for part in (fall["command"], fall["command_before"]))
    conditions = {
        "friction": fall["friction"], "payload kg": fall["payload_kg"], "trunk mass scale": fall["trunk_mass_scale"],
        "kp scale": fall["kp_scale"], "kd scale": fall["kd_scale"], "command delay ms": fall["command_delay_ms"],
        "imu delay ms": fall["imu_delay_ms"],
    }  # fmt: skip
    rest = ", ".join(f"{name} {number:.3g}" for name, number in conditions.items())
    what = f"command {command} for {fall['command_held_s']:.2f} s after {before}; {rest}"
    return [str(fall["episode"]), str(fall["seed"]), f"{fall['time']:.2f} s", escape(fall["cause"]), what]


def place(folder: Path, episodes: int, seed: int) -> tuple[Path, Path]:
    """The two files in `folder` for the card of an examination, as data and for people.

    The default examination is `folder`'s own; no other one ever takes its place.
    """
    if (episodes, seed) == (EPISODES, SEED):
        return folder / f"{CARD}.json", folder / f"{CARD}_card.md"
    name = f"seed-{seed}-episodes-{episodes}"
    return folder / OTHERS / f"{name}.json", folder / OTHERS / f"{name}.md"


def write(card: Card, folder: Path) -> tuple[Path, Path]:
    """Write a card into `folder`; the files, as `place` has them."""
    data, page = place(folder, card["episodes"], card["seed"])
    write_json(data, card)
    write_text(page, markdown(card))
    return data, page


def read(path: Path) -> Card:
    """The card in a JSON file.

    Raises:
        UserError: the file is none.
    """
    card = records.read(path, Card, EXPECTED)
    if card["episodes"] < 1 or not 0 <= card["survival"] <= 1:
        raise UserError(f"{path} is damaged (survival {card['survival']:g} of {card['episodes']}); expected {EXPECTED}")
    return card


def others(folder: Path) -> list[Path]:
    """The cards in `folder`, as data, of all examinations but the default one."""
    return sorted((folder / OTHERS).glob("*.json"))
