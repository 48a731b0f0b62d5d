"""The configuration of a training (robot, task, simulator, recipe) as one record, and its form in a run folder."""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import walkies
from walkies import bounds, renamed
from walkies.accel.cpu import Threads
from walkies.bounds import Between, Seed
from walkies.errors import UserError
from walkies.files import read_json, shown
from walkies.rl.recipes import PPO, Recipe
from walkies.robots import DEFAULT, folders, get_robot
from walkies.robots.base import Robot
from walkies.run.folders import RunFolder, UnknownField, from_dict, to_dict
from walkies.sim import SimulatorName, make_simulator, nominal_params
from walkies.tasks import mirror
from walkies.tasks.gait.presets import Preset, with_preset
from walkies.tasks.hold import held
from walkies.tasks.randomization import named_set
from walkies.tasks.rewards import RewardWeights
from walkies.tasks.scale.units import UPRIGHT, discount_of, task_of
from walkies.tasks.walk import Walk, WalkConfig

WALKING_RECIPE = replace(
    PPO,
    num_envs=512,
    groups=2,
    horizon=24,
    resets="rollout",
    time_limits="rollout_end",
    stagger=True,
    gamma=0.97,
    lam=0.85,
    hidden=(128, 64),
    critic_hidden=(64, 64),
    activation="elu",
    networks="native",
    bound="mean",
    initial_std=0.5,
    learning_rate=1e-3,
    critic_learning_rate=2e-3,
    schedule="kl",
    target_kl=0.03,
    epochs=3,
    minibatches=8,
    symmetry="equivariant",
    entropy_coefficient=0.001,
)
"""PPO with the settings that learn to walk fastest on two cores; docs/study.md describes the search."""


@dataclass(frozen=True)
class TrainConfig:
    """One training."""

    robot: tyro.conf.Positional[str] = DEFAULT
    """The robot: a name, or its MJCF or URDF file."""
    config: Path | None = None
    """Read settings from this file, a run's config.json or TOML of the same form; flags override them."""
    minutes: Annotated[float | None, Between(0.0, 1e6, "(]")] = None
    """Stop training after this many minutes, compilation included. Default: no limit if --steps is given; otherwise 3
    for a quadruped, 5 for a hexapod, 19.5 for a biped, 55 for a humanoid."""
    steps: Annotated[int | None, Between(1, 10**12)] = None
    """Stop after this many control steps over all robots (rounded up to whole iterations)."""
    seed: Seed = 0
    """Random seed. The same seed, machine, thread count and steps give the same policy bit for bit."""
    out: Path | None = None
    """Run folder. Default: runs/<robot>-<seed>, with a number appended if that is taken."""
    simulator: SimulatorName = "native"
    """native: fast on CPUs. mujoco: the reference, about 30 times slower. mjx: MuJoCo's equations in JAX, for other
    devices than CPUs. bullet, dart and newton: other engines, slower still (docs/simulators.md)."""
    self_contacts: bool = False
    """Simulate contacts between the robot's own parts in the native simulator too, as the examination does: for robots
    whose legs cross. Slower; mujoco always simulates these contacts."""
    threads: Threads | None = None
    """CPU threads; with --workers, those of each worker, 1 by default. Default: all cores."""
    workers: Annotated[int | None, Between(1, 1024)] = None
    """Train in this many processes, which Ray starts and restarts, on this machine or a cluster; needs the extra `ray`
    (docs/workers.md). Another number is another training."""
    address: str | None = None
    """With --workers: a Ray cluster, as `ray start` names it. Default: this machine, on its loopback interface."""
    resume: bool = False
    """Continue the run in `out` from its last checkpoint, with its own configuration."""
    checkpoint: Path | None = None
    """With --resume: continue from this checkpoint of the run instead of its newest."""
    init_from: Path | None = None
    """Start from the policy of this run folder or checkpoint, for instance to train it on with changed rewards."""
    terms: Path | None = None
    """Python file that defines a run's custom reward terms; needed to --resume such a run from the command line."""
    checkpoint_every: Annotated[int, Between(1, 10**9)] = 50
    """Iterations between checkpoints."""
    exam_episodes: Annotated[int, Between(0, 10_000)] = 100
    """Episodes of the examination at the end; 0 skips it."""
    film: bool = True
    """Make a video at the end."""
    view: bool = False
    """Serve a page on this machine to watch the robots learn; its address is printed."""
    wandb: str | None = None
    """Also log to this Weights & Biases project, and upload the policy at the end; needs the extra `wandb`."""
    randomization: Literal["none", "course", "walkies"] | None = None
    """Preset of the whole domain randomization, in place of --task.randomization; default: walkies."""
    preset: Preset | None = None
    """Preset task of the Stanford course: velocity-fs; stable-gait with a reference gait; mixed-gaits with another one
    for fast walking; trick with a movement, which --task.motion.file names. --task changes its numbers."""
    task: WalkConfig = field(default_factory=WalkConfig)
    """The task."""
    recipe: Recipe = WALKING_RECIPE
    """The learning algorithm."""


CROWD, CATCHING = 2048, 0.003
"""Number of robots and entropy bonus where robots must balance. The gradient of rare falls is small beside the noise of
a batch, which a larger batch reduces; and with noisier actions they learn to catch themselves."""

CAREFUL: dict[str, Any] = {
    "symmetry": "none", "lam": 0.9, "target_kl": 0.02, "critic_learning_rate": 1e-3, "epochs": 3, "minibatches": 12
}  # fmt: skip
"""Theirs besides: smaller steps (with those of the others the biped of the zoo survived 0.90 of 300 episodes after 83
million, seed 0), and networks that are not equivariant. Those cannot lift one foot from a stand that is its own mirror
image, when told to go straight on: told so without noise, the biped fell forward."""
LIMBED: dict[str, Any] = {"symmetry": "equivariant"}
"""Of humanoids: both of the zoo do not fall so, and learn faster with it (docs/robots.md)."""
MANY_JOINTS: dict[str, Any] = {"num_envs": 1024, "lam": 0.9}
"""Of hexapods: with eighteen joints the gradient of a small batch is noisier. After 20 million steps the hexapod of the
zoo followed velocities to 0.039 m/s instead of 0.045 (seed 0, 300 examined episodes, --task.action-scale 0.4)."""
KINDS = {"hexapod": MANY_JOINTS, "humanoid": LIMBED}


MINUTES = {"quadruped": 3.0, "hexapod": 5.0, "biped": 19.5, "humanoid": 55.0}
"""Length of a training by the robot's kind; docs/robots.md has which robots pass. Robots of other numbers of legs train
like hexapods."""


def default_minutes(config: TrainConfig) -> float | None:
    """How long a training lasts, unless it is told a number of steps; None: no limit."""
    if config.minutes is not None or config.steps is not None:
        return config.minutes
    return MINUTES.get(get_robot(config.robot).kind, MINUTES["hexapod"])


def of_robot(robot: Robot) -> TrainConfig:
    """The default training of a robot: task and discounts are scaled to its own units."""
    recipe = WALKING_RECIPE
    if robot.kind in UPRIGHT:
        recipe = replace(recipe, num_envs=CROWD, entropy_coefficient=CATCHING, **CAREFUL)
    recipe = replace(recipe, **KINDS.get(robot.kind, {}))
    recipe = replace(recipe, gamma=discount_of(robot, recipe.gamma), lam=discount_of(robot, recipe.lam))
    return TrainConfig(robot=robot.name, self_contacts=robot.self_contacts, task=task_of(robot), recipe=recipe)


def expanded(config: TrainConfig) -> TrainConfig:
    """The same configuration with the presets of --preset and --randomization written out in its task, without
    equivariant networks where left and right are no mirror images, and with no more groups than divide the robots."""
    config, robot = replace(config, preset=None, task=with_preset(config.task, config.preset)), get_robot(config.robot)
    if config.task == WalkConfig():  # whose numbers are those of one robot
        config = replace(config, task=task_of(robot))
    recipe = config.recipe
    # As many groups as every worker gets alike.
    groups = math.gcd(math.lcm(recipe.groups, config.workers or 1), recipe.num_envs)
    config = replace(config, recipe=replace(recipe, groups=groups))
    if config.workers and groups % config.workers:
        raise UserError(
            f"--workers {config.workers}: --recipe.num-envs {recipe.num_envs} cannot be divided equally among them"
        )
    if config.recipe.symmetry == "equivariant" and not mirror.exists(robot, held(robot, config.task.hold)):
        config = replace(config, recipe=replace(config.recipe, symmetry="none"))
    if config.randomization is None:
        return config
    chosen = named_set(config.randomization)
    if config.task.randomization not in (chosen, WalkConfig().randomization, task_of(robot).randomization):
        raise UserError(
            f"--randomization {config.randomization}: got values under --task.randomization as well; give one or the "
            "other (values start from the preset walkies)"
        )
    return replace(config, randomization=None, task=replace(config.task, randomization=chosen))


def build(config: TrainConfig, run: Path | None = None) -> Walk:
    """The environment that a configuration describes.

    Trains with the model's own small number of solver iterations. Contacts between the robot's own parts are simulated
    in `mujoco`, and elsewhere if requested.

    Args:
        config: of the training.
        run: folder of the run that it was read from; its copies take the place of the files that the task names, and of
            a robot of the working folder.
    """
    if run is not None:
        folders.know_copy(run)
    config = expanded(config)
    task = config.task if run is None else config.task.with_copies(run)
    robot = get_robot(config.robot)
    simulator = make_simulator(
        config.simulator,
        robot,
        threads=config.threads,
        self_contacts="all" if config.self_contacts else "none",
        torsion=task.randomization.contact.resists_turning,
    )
    return Walk(robot, simulator, nominal_params(simulator.model, robot), task)


def devices_of(config: TrainConfig) -> int:
    """As how many devices the CPU serves a training (`walkies.accel.cpu.use_cpu`). Simulators that JAX calls back step
    one group after the other anyway."""
    return config.recipe.groups if config.simulator in ("native", "mjx") and config.workers is None else 1


def read_config(folder: RunFolder, own_terms: bool = True) -> TrainConfig:
    """The configuration that the run in `folder` was made with.

    Args:
        folder: of the run.
        own_terms: the run's rewards matter, so reward terms that this program does not define are an error. If False,
            they are left out.

    Raises:
        UserError: there is no run, or its configuration is damaged or from a version with other fields.
    """
    if not folder.config.is_file():
        raise UserError(f"there is no run in {folder.path}: {folder.config.name} is missing; give the folder of a run")
    folders.know_copy(folder.path)
    content = read_json(folder.config, "what `walkies train` wrote")
    try:
        config = from_dict(TrainConfig, content, str(folder.config), None if own_terms else RewardWeights)
    except UnknownField as error:
        if error.where.endswith(".task.rewards"):
            raise UserError(
                f"{folder.config} has reward terms of its own, {', '.join(map(shown, error.fields))}, that are not "
                "defined here: give the Python file that defines them with --terms FILE; or continue in the program "
                "that defines them, with walkies.cli.train.command(TrainConfig(resume=True, out=…))"
            ) from error
        raise UserError(f"{error}. {_written_by(folder)}") from error
    return config


def _written_by(folder: RunFolder) -> str:
    """The version that made a run, for error messages."""
    try:
        wrote = read_json(folder.versions, "what `walkies train` wrote")["walkies"]
    except (UserError, KeyError, TypeError):
        wrote = "an unknown version"
    return f"The run was made by walkies {shown(wrote)}, this is {walkies.__version__}"


def load_terms(path: Path) -> None:
    """Run the user's Python file that defines reward terms in subclasses of `RewardWeights`.

    Raises:
        UserError: the file does not exist, or defines none.
    """
    if not path.is_file():
        raise UserError(f"--terms {path}: no such file; expected a Python file with a subclass of RewardWeights")
    name = f"walkies_terms_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"--terms {path}: expected a Python file, whose name ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up the types of their fields
    spec.loader.exec_module(module)
    own = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, RewardWeights)]
    if own in ([], [RewardWeights]):
        raise UserError(f"--terms {path}: defines no subclass of RewardWeights; docs/change.md shows one")


LIMITS = (
    "minutes",
    "steps",
    "out",
    "config",
    "resume",
    "checkpoint",
    "terms",
    "threads",
    "address",
    "exam_episodes",
    "film",
    "view",
    "wandb",
)
"""Fields of TrainConfig that belong to one call and not to the run: limits and outputs."""


def resumed(config: TrainConfig, folder: RunFolder) -> TrainConfig:
    """The configuration of the run in `folder`, with this call's limits (minutes, steps) and outputs.

    Raises:
        UserError: a setting differs from the run's. The training would no longer be the same bit for bit.
    """
    # Groups of the run are those of its own number of workers.
    config, old = replace(expanded(replace(config, workers=None)), workers=config.workers), read_config(folder)
    asked, default, there = (settings(to_dict(c)) for c in (config, TrainConfig(), old))
    other = [
        f"{name} {asked[name]} (the run has {there.get(name)})"
        for name in asked
        if asked[name] not in (default.get(name), there.get(name))
    ]
    if other:
        raise UserError(
            f"--resume continues with the run's own settings, but these differ: {', '.join(other)}; leave them out, "
            f"or start a new run from its policy: --init-from {folder.path} --out NEW"
        )
    kept = {name: getattr(config, name) for name in LIMITS} | {"threads": config.threads or old.threads}
    return replace(old, **kept)


def settings(tree: dict[str, Any]) -> dict[str, Any]:
    """A configuration as {flag: value}, without LIMITS."""
    return _flags({name: value for name, value in tree.items() if name not in LIMITS}, "--")


def _flags(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as {flag: value}."""
    flags: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flags |= _flags(value, f"{prefix}{name}.")
        else:
            flags[f"{prefix}{name}".replace("_", "-")] = value
    return flags


def newest_checkpoint(source: Path) -> tuple[RunFolder, Path]:
    """The run and the checkpoint that --init-from names."""
    if source.is_file():
        return RunFolder(source.parent.parent), source
    path = RunFolder(source).latest_checkpoint()
    if path is None:
        raise UserError(f"--init-from: {source} has no checkpoint; give the folder of a run")
    return RunFolder(source), path


def refuse(config: TrainConfig) -> None:
    """Refuse, before training, what could not be trained or written into the robot's file."""
    bounds.refuse(config, TrainConfig)
    if config.init_from is not None and not config.resume:
        newest_checkpoint(config.init_from)
    if config.checkpoint is not None and not config.resume:
        raise UserError(f"--checkpoint {config.checkpoint}: only tells --resume where to continue; to start a new "
                        f"run from it: --init-from {config.checkpoint}")  # fmt: skip
    if config.workers is not None and config.terms is not None:
        raise UserError("--workers: reward terms of a file are not known in other processes; leave out --terms or "
                        "--workers")  # fmt: skip
    if config.recipe.architecture != "dense":
        raise UserError(
            f"--recipe.architecture {config.recipe.architecture}: the robot's file holds only dense networks; use dense"
        )
    if config.recipe.bound == "clip":
        raise UserError("--recipe.bound clip: the robot's file would not bound the action; use mean or sample")


renamed.names(globals(), PUPPER_RECIPE="WALKING_RECIPE")
