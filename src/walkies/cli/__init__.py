"""`walkies <command>`: a command is a function; its signature gives the flags, its docstring the help.

The table below is the whole of it. A command's module is imported only when that command runs, so that `walkies` alone
answers at once and a missing optional dependency hurts only the command that needs it.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from walkies import __version__, renamed
from walkies.accel.cpu import settle_jax
from walkies.errors import UserError
from walkies.terminal import say, take_over

USER_ERROR = 2
"""Exit status after an error that the user can fix."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells expect: 128 + SIGINT."""
UNREAD = 141
"""Exit status when the reader closed the pipe early, as shells expect: 128 + SIGPIPE."""


class Command(NamedTuple):
    """Where a command lives and what it is for."""

    target: str
    """module:function"""
    summary: str


COMMANDS: dict[str, Command] = {
    "train": Command("walkies.cli.train:command", "teach a robot to walk, examine it, film it"),
    "exam": Command("walkies.cli.exam:command", "examine a policy in MuJoCo and print its report card"),
    "play": Command("walkies.show.play:command", "drive a trained robot in the browser"),
    "share": Command("walkies.show.share.command:command", "write a robot into one HTML file that anybody can drive"),
    "film": Command("walkies.show.film:command", "make a video of a policy walking"),
    "rehearse": Command("walkies.cli.rehearse:command", "test a policy in the robot's own control loop"),
    "lint": Command("walkies.cli.lint:command", "check a policy file before it reaches a robot"),
    "export": Command("walkies.cli.export:command", "write a policy as ONNX, or show how to deploy its file"),
    "replay": Command("walkies.cli.replay:command", "fit the simulator to a log of the robot"),
    "excite": Command(
        "walkies.cli.excite:command", "wiggle each joint of a held robot, or shake its legs to measure the servos"
    ),
    "explain": Command("walkies.cli.explain:command", "print a task as an MDP, or the contents of a policy file"),
    "gait": Command("walkies.cli.gait:command", "write a page that plays a reference gait, to design one"),
    "motion capture": Command(
        "walkies.cli.motion.capture:command", "capture a trained policy's gait, as a reference for other trainings"
    ),
    "motion check": Command(
        "walkies.cli.motion.check:command", "see whether a movement fits a robot and holds up in physics"
    ),
    "robot add": Command("walkies.cli.robots.commands:add_command", "read a robot's MJCF or URDF into a folder"),
    "robot check": Command("walkies.cli.robots.commands:check_command", "find what would make a robot's training fail"),
    "robot list": Command("walkies.cli.robots.commands:list_command", "list the available robots"),
    "robot view": Command("walkies.show.pose_page:command", "view and pose a robot in the browser, and save the pose"),
    "runs": Command("walkies.show.runs:command", "list, compare and clean the folders of past runs"),
    "report": Command("walkies.show.report:command", "write a run's report.md and report.html again"),
    "doctor": Command("walkies.cli.doctor:command", "check that this machine has what walkies needs"),
    "completion": Command("walkies.cli.completion:command", "print a script that completes commands in bash or zsh"),
    "lab ablate": Command(
        "walkies.lab.ablation:command", "train with and without each part of the randomization, and compare"
    ),
    "lab bench physics": Command(
        "walkies.lab.bench.physics:command", "compare speed and accuracy of the engine with MuJoCo"
    ),
    "lab bench replay": Command(
        "walkies.lab.bench.replay:command", "measure how well replay recovers hidden parameters"
    ),
    "lab bench simulators": Command(
        "walkies.lab.bench.simulators:command", "compare the simulators by speed and memory"
    ),
    "lab bench train": Command("walkies.lab.bench.iteration:command", "time a training iteration and its parts"),
    "lab bench view": Command("walkies.lab.bench.view:command", "measure what watching a training costs"),
    "lab benchmark": Command(
        "walkies.lab.published.command:command", "repeat published results in Gymnasium's environments"
    ),
    "lab compare": Command("walkies.lab.ladder.command:command", "train the ladder from REINFORCE to PPO side by side"),
    "lab study": Command("walkies.lab.study.command:command", "train variants with several seeds, and judge them all"),
    "lab transfer": Command("walkies.lab.transfer:command", "examine policies in every simulator"),
}

EXAMPLES = (
    ("walkies train pupper --minutes 5 --out runs/first", "teach Pupper to walk"),
    ("walkies exam runs/first", "examine what it learned"),
    ("walkies play runs/first", "drive it with the keyboard, in the browser"),
    ("walkies train my_robot.urdf", "teach a robot of your own, from its file"),
)

EXTRAS = {
    "gymnasium": "gym",
    "sb3_contrib": "compare",
    "stable_baselines3": "compare",
    "torch": "compare",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "rosbags": "ros",
    "wandb": "wandb",
}
"""Optional packages, by the extra of walkies that installs them."""

ADVICE = {
    errno.ENOENT: "check the name, and that of its folder",
    errno.EISDIR: "this is a folder where a file was expected; give the path of a file",
    errno.ENOTDIR: "a part of this path is a file where a folder was expected; give another path",
    errno.EEXIST: "a file of that name exists where a folder was expected; give another path",
    errno.EACCES: "choose a place where you may read and write",
    errno.EPERM: "choose a place where you may read and write",
    errno.EROFS: "choose a place that is writable",
    errno.ENOSPC: "free some space, or choose another disk; `walkies runs clean` shows what old runs can spare",
}
"""What to do about an error of the operating system that the user can fix; any other is a bug."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status: 0 done, 2 a mistake the user can fix, 130 interrupted.

    A failure to print never stops a command. It only shows in the exit status: 141 if the reader, such as `head`,
    closed the pipe, else 2.
    """
    out = take_over()
    status = run(list(sys.argv[1:] if arguments is None else arguments))
    sys.stdout.flush()
    if out.failure is not None:
        status = status or _unheard(out.failure)
    sys.exit(status)


def _unheard(failure: OSError) -> int:
    """Say why standard output could not be written; the exit status."""
    if failure.errno == errno.EPIPE:
        return UNREAD
    _say(f"standard output: {(failure.strerror or 'cannot be written').lower()}; only the printed output is lost")
    return USER_ERROR


def run(arguments: list[str]) -> int:
    """Run the command in `arguments` (without the program's name); returns the exit status."""
    if arguments[:1] == ["help"] and arguments[1:] not in ([], ["help"]):
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        say(overview())
        return 0
    if arguments in (["-V"], ["--version"], ["version"]):
        say(f"walkies {__version__}")
        return 0
    try:
        name, rest = resolve(arguments)
        if foreign := settle_jax():
            said = " ".join(f"{variable}={value}" for variable, value in foreign.items())
            _say(f"ignored: {said}; walkies computes on the CPU in float32 (see `walkies doctor`)")
        return _call(name, load(name), rest)
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except (UserError, OSError) as error:
        if os.environ.get("WALKIES_DEBUG") or (isinstance(error, OSError) and error.errno not in ADVICE):
            raise
        _say(_message(error))
        return USER_ERROR


def overview() -> str:
    """What walkies can do: a line per command, and examples."""
    longest = max(map(len, COMMANDS))
    commands = [f"  {name:<{longest}}  {command.summary}" for name, command in COMMANDS.items()]
    width = max(len(line) for line, _ in EXAMPLES)
    examples = [f"  {line:<{width}}   {purpose}" for line, purpose in EXAMPLES]
    return "\n".join(
        [
            f"walkies {__version__}: legged robots learn to walk, on the computer you have.",
            "",
            *examples,
            "",
            "Commands (`walkies help COMMAND` for details):",
            *commands,
        ]
    )


def resolve(arguments: list[str]) -> tuple[str, list[str]]:
    """The command's name (one to three words) and its remaining arguments.

    Raises:
        UserError: there is no such command; the message suggests the nearest one.
    """
    if (now := renamed.COMMANDS.get(arguments[0])) is not None:
        _say(f"`walkies {arguments[0]}` is now `walkies {now}`; the old name will be removed after one release")
        arguments = [*now.split(), *arguments[1:]]
    for words in (3, 2, 1):
        if (name := " ".join(arguments[:words])) in COMMANDS:
            return name, arguments[words:]
    typed, group = "", list(COMMANDS)
    for word in itertools.takewhile(lambda one: not one.startswith("-"), arguments):
        typed = f"{typed} {word}".lstrip()
        group = [name for name in COMMANDS if name.startswith(f"{typed} ")]
        if not group:
            break
    if typed and group:
        more = " or ".join(f"`walkies {name}`" for name in group)
        raise UserError(f"`walkies {typed}` needs one more word: {more}")
    near = difflib.get_close_matches(" ".join(arguments[:3]), COMMANDS, n=1, cutoff=0.6)
    near = near or difflib.get_close_matches(typed or arguments[0], COMMANDS, n=1, cutoff=0.5)
    hint = f"Did you mean `walkies {near[0]}`?" if near else f"There are: {', '.join(COMMANDS)}."
    raise UserError(f"no command {typed or arguments[0]!r}. {hint}")


def load(name: str) -> Callable[..., Any]:
    """The function behind a command.

    Raises:
        UserError: the command needs a package that is not installed; the message names the extra to install.
    """
    module, _, attribute = COMMANDS[name].target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise _missing(name, error) from error


def _call(name: str, function: Callable[..., Any], arguments: list[str]) -> int:
    from walkies.cli.arguments import flags

    try:
        given = flags.parse(function, f"walkies {name}", arguments)
        result = function(*given.args, **given.kwargs)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except ModuleNotFoundError as error:
        raise _missing(name, error) from error
    # A command may return its own exit status, as `lint` does; any other return value is for library users.
    return result if type(result) is int else 0


def _missing(name: str, error: ModuleNotFoundError) -> Exception:
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return error
    return UserError(
        f"`walkies {name}` needs the package {package}, which is not installed.\n"
        f"Install it with: {sys.executable} -m pip install 'walkies[{EXTRAS[package]}]'"
    )


def _message(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    said = (error.strerror or "cannot be used").lower()
    what = said if error.filename is None else f"{error.filename}: {said}"
    return f"{what}; {ADVICE[error.errno or 0]}"


def _say(message: str) -> None:
    say(f"walkies: {message}", sys.stderr)
