"""What public libraries did, as records: settings, environment, number of steps, how the score is taken, what they got.

Settings are facts read from the libraries' sources; each protocol names them. A difference of ours that no setting can
remove is said in docs/benchmarks.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from walkies.errors import UserError
from walkies.rl.recipes import A2C, PPO, REINFORCE, TRPO, VPG, Recipe

SEEDS = (1, 2, 3)
UNLIMITED = 1e9
"""A gradient norm that is never reached: no shortening."""
CARTPOLE_SOLVED = 475.0
"""Mean return at which Gymnasium counts CartPole-v1 as solved (`reward_threshold` in its registry)."""


@dataclass(frozen=True)
class Published:
    """A published mean return."""

    mean: float
    standard_error: float | None
    """Of the mean over seeds; None where only one run was published."""
    source: str

    @staticmethod
    def of_seeds(mean: float, deviation: float, seeds: int, source: str) -> Published:
        """From a deviation over seeds that was taken with divisor n (NumPy's default): SE = σ_n / √(n − 1)."""
        return Published(mean, deviation / math.sqrt(seeds - 1), source)


@dataclass(frozen=True)
class Protocol:
    """How one library trains one algorithm in one environment, and what it got."""

    name: str
    """Algorithm and whose settings."""
    env: str
    """Gymnasium's id."""
    recipe: Recipe
    steps: int
    """Transitions after which training ends: the first multiple of a batch at or beyond."""
    clip_observations: bool
    """Normalised observations are kept within ±normalize.OBSERVATION_CLIP."""
    limit_is_death: bool
    """The library learns from a time limit as if the world had ended there."""
    score: Literal["training", "evaluation"]
    """training: mean return of the last 100 training episodes, actions sampled. evaluation: mean return of 20 episodes
    of the trained policy, actions the mode."""
    published: Published | None
    """None where there is no published figure for these settings."""
    seeds: tuple[int, ...] = SEEDS
    library: str | None = None
    """The public library that is trained instead of ours, for figures measured here."""


@dataclass(frozen=True)
class Row:
    """One training: a protocol and a seed."""

    protocol: Protocol
    seed: int

    @property
    def key(self) -> str:
        """Unique, and fit for a file name."""
        return f"{self.protocol.name}_{self.protocol.env}_{self.seed}"


def cleanrl_mujoco(steps: int = 1_000_000) -> Recipe:
    """cleanrl/ppo_continuous_action.py; its number of updates is steps // 2048."""
    return replace(
        PPO,
        num_envs=1,
        horizon=2048,
        hidden=(64, 64),
        critic_hidden=(64, 64),
        normalize_reward=True,
        learning_rate=3e-4,
        critic_learning_rate=3e-4,
        schedule="linear",
        anneal_iterations=steps // 2048,
        epochs=10,
        minibatches=32,
        max_grad_norm=0.5,
        value_clip=0.2,
    )


def cleanrl_cartpole(steps: int = 500_000) -> Recipe:
    """cleanrl/ppo.py; its number of updates is steps // 512."""
    return replace(
        PPO,
        num_envs=4,
        horizon=128,
        hidden=(64, 64),
        critic_hidden=(64, 64),
        normalize_observations=False,
        learning_rate=2.5e-4,
        critic_learning_rate=2.5e-4,
        schedule="linear",
        anneal_iterations=steps // 512,
        epochs=4,
        minibatches=4,
        max_grad_norm=0.5,
        value_clip=0.2,
        entropy_coefficient=0.01,
    )


CONTRIB_TRPO = replace(
    TRPO,
    num_envs=1,
    horizon=2048,
    hidden=(64, 64),
    critic_hidden=(64, 64),
    normalize_observations=False,
    critic_learning_rate=1e-3,
    epochs=10,
    minibatches=16,
    max_grad_norm=UNLIMITED,
    target_kl=0.01,
    damping=0.1,
    cg_iterations=15,
)
"""Defaults of sb3_contrib/trpo/trpo.py: minibatches of 128 for the value function."""

ZOO_TRPO = replace(
    CONTRIB_TRPO,
    num_envs=2,
    horizon=1024,
    normalize_observations=True,
    normalize_reward=True,
    epochs=20,
    cg_iterations=25,
)
"""rl-baselines3-zoo, hyperparams/trpo.yml, Hopper and Walker2d: with these the table of sb3-contrib was made."""

ZOO_TRPO_CARTPOLE = replace(
    CONTRIB_TRPO, num_envs=2, horizon=512, epochs=20, minibatches=2, lam=0.98, damping=1e-3, cg_iterations=15
)
"""rl-baselines3-zoo, hyperparams/trpo.yml, CartPole-v1."""

ACTION_SIZES = {"Hopper-v4": 3, "Walker2d-v4": 6}
"""Components of the action where TRPO's action is a Gaussian."""


def mean_kl(recipe: Recipe, env: str) -> Recipe:
    """A recipe of sb3-contrib's TRPO, its δ and damping brought into nats of the whole action.

    stable_baselines3.common.distributions.kl_divergence leaves a Gaussian's KL per component, and sb3_contrib's `train`
    takes the mean over samples and components at once. Of d components that mean is 1/d of the KL: its bound δ allows
    δ·d, and its damping c beside F/d is c·d beside F. The step is the same (tests/lab/benchmark).
    """
    size = ACTION_SIZES[env]
    return replace(recipe, target_kl=recipe.target_kl * size, damping=recipe.damping * size)


ZOO_A2C_CARTPOLE = replace(
    A2C,
    num_envs=8,
    horizon=5,
    hidden=(64, 64),
    critic_hidden=(64, 64),
    normalize_observations=False,
    normalize_advantage="none",
    learning_rate=7e-4,
    critic_learning_rate=7e-4,
    epochs=1,
    minibatches=1,
    max_grad_norm=0.5,
)
"""rl-baselines3-zoo, hyperparams/a2c.yml, CartPole-v1, with Adam in the place of RMSprop."""

OWN_REINFORCE_CARTPOLE = replace(
    REINFORCE, num_envs=8, hidden=(64, 64), normalize_observations=False, learning_rate=1e-2, max_grad_norm=0.5
)
OWN_VPG_CARTPOLE = replace(
    VPG,
    num_envs=4,
    horizon=512,
    hidden=(64, 64),
    critic_hidden=(64, 64),
    normalize_observations=False,
    learning_rate=1e-2,
    critic_learning_rate=1e-3,
    epochs=10,
    minibatches=16,
    max_grad_norm=0.5,
)

_CLEANRL = "CleanRL, docs/benchmark/ppo_continuous_action.md"
_CONTRIB = "sb3-contrib, docs/modules/trpo.rst (-v3)"
_ZOO = "rl-baselines3-zoo, benchmark.md (one run)"


def _ppo(env: str, mean: float, deviation: float) -> Protocol:
    published = Published.of_seeds(mean, deviation, 3, _CLEANRL)
    return Protocol("ppo-cleanrl", env, cleanrl_mujoco(), 488 * 2048, True, True, "training", published)


def _trpo(name: str, env: str, recipe: Recipe, published: Published | None = None) -> Protocol:
    clip = recipe.normalize_observations
    return Protocol(name, env, recipe, 489 * 2048, clip, False, "evaluation", published)


def _trpo_as_published(name: str, env: str, recipe: Recipe, published: Published | None = None) -> Protocol:
    return _trpo(name, env, mean_kl(recipe, env), published)


def _contrib(mean: float, standard_error: float) -> Published:
    """The table's ± is already σ₃ / √3 (scripts/all_plots.py of the zoo)."""
    return Published.of_seeds(mean, standard_error * math.sqrt(3.0), 3, _CONTRIB)


_HOPPER_PPO = _ppo("Hopper-v4", 2382.86, 271.74)
_HOPPER_TRPO = _trpo_as_published("trpo-contrib", "Hopper-v4", CONTRIB_TRPO)
_CARTPOLE_TRPO = Protocol(
    "trpo-zoo", "CartPole-v1", ZOO_TRPO_CARTPOLE, 98 * 1024, False, False, "evaluation", Published(500.0, None, _ZOO),
    seeds=tuple(range(1, 17)),  # its returns scatter so much, in both libraries, that three runs tell nothing
)  # fmt: skip

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        "ppo-cleanrl", "CartPole-v1", cleanrl_cartpole(), 976 * 512, False, True, "training",
        Published.of_seeds(490.04, 6.12, 3, "CleanRL, docs/rl-algorithms/ppo.md"),
    ),
    _CARTPOLE_TRPO,
    Protocol(
        "a2c-zoo", "CartPole-v1", ZOO_A2C_CARTPOLE, 500_000, False, False, "evaluation", Published(500.0, None, _ZOO)
    ),
    Protocol("vpg", "CartPole-v1", OWN_VPG_CARTPOLE, 500_000, False, False, "training", None),
    Protocol("reinforce", "CartPole-v1", OWN_REINFORCE_CARTPOLE, 500_000, False, False, "training", None),
    _HOPPER_PPO,
    _HOPPER_TRPO,
    _ppo("HalfCheetah-v4", 1442.64, 46.03),
    _ppo("Walker2d-v4", 2287.95, 571.78),
    _trpo_as_published("trpo-zoo", "Walker2d-v4", ZOO_TRPO, _contrib(4502.0, 234.0)),
    _trpo_as_published("trpo-zoo", "Hopper-v4", ZOO_TRPO, _contrib(3372.0, 215.0)),
    _trpo_as_published("trpo-contrib", "Walker2d-v4", CONTRIB_TRPO),
    _trpo("trpo-contrib-sum", "Hopper-v4", CONTRIB_TRPO),
    _trpo("trpo-contrib-sum", "Walker2d-v4", CONTRIB_TRPO),
    _trpo("trpo-zoo-sum", "Hopper-v4", ZOO_TRPO),
    _trpo("trpo-zoo-sum", "Walker2d-v4", ZOO_TRPO),
    replace(_HOPPER_PPO, name="ppo-sb3", seeds=(1,), library="sb3"),
    replace(_HOPPER_TRPO, name="trpo-sb3-contrib", library="sb3"),
    replace(_CARTPOLE_TRPO, name="trpo-sb3-zoo", seeds=tuple(range(1, 9)), library="sb3"),
)  # fmt: skip
"""In the order in which they are trained."""


def counterpart(protocol: Protocol) -> Protocol | None:
    """The protocol under which a public library is trained here with the same settings; None where none is."""
    if protocol.library is not None:
        return None
    like = (replace(other, name=protocol.name, seeds=protocol.seeds, library=None) for other in PROTOCOLS)
    return next((o for o, same in zip(PROTOCOLS, like, strict=True) if o.library and same == protocol), None)


def rows(filters: Sequence[str] = ()) -> list[Row]:
    """Rows whose key contains one of `filters` (all rows without any), first seeds of a protocol first.

    A filter may have blanks for underscores and seeds in brackets, as the page writes them: `ppo-sb3 Hopper-v4 (1)`.

    Raises:
        UserError: a filter fits no row.
    """
    every = [Row(protocol, seed) for protocol in PROTOCOLS for seed in protocol.seeds]
    for text in filters:
        if not any(_fits(text, row) for row in every):
            names = ", ".join(dict.fromkeys(row.key.rpartition("_")[0] for row in every))
            raise UserError(
                f"no row of the benchmark contains {text!r}; expected part of a name: {names}. "
                "`walkies lab benchmark --list` shows every row"
            )
    return [row for row in every if not filters or any(_fits(text, row) for text in filters)]


def first_seeds(chosen: Sequence[Row]) -> list[Row]:
    """One row of each protocol, that of its first seed in `chosen`."""
    return list({row.protocol: row for row in reversed(chosen)}.values())[::-1]


def _fits(text: str, row: Row) -> bool:
    found = re.fullmatch(r"(.*?)\s*\(([\d,\s]+)\)", text.strip())
    name, seeds = (found[1], re.findall(r"\d+", found[2])) if found else (text.strip(), None)
    return re.sub(r"\s+", "_", name) in row.key and (seeds is None or str(row.seed) in seeds)
