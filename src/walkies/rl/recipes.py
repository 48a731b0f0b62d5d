"""Algorithms as records of three choices: advantage, objective, update.

The named recipes at the end form the ladder; read them side by side. They differ in these choices, and also in λ, in
the line search, or in whether they play whole episodes and learn a value function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from walkies import renamed
from walkies.bounds import AtMost, Between, Share, refuse, written
from walkies.errors import UserError

Widths = Annotated[tuple[int, ...], Between(1, 65536), AtMost(16)]
"""Activations of hidden layers."""
StepSize = Annotated[float, Between(0.0, 10.0)]
"""Adam's."""


@renamed.fields(weight="advantage", step="update")
@dataclass(frozen=True)
class Recipe:
    """Everything that defines a policy-gradient algorithm and its settings."""

    advantage: Literal["full_return", "reward_to_go", "gae"] = "gae"
    """Advantage estimator (walkies.rl.advantages)."""
    objective: Literal["score", "surrogate", "clipped", "kl_penalty"] = "clipped"
    """Objective that is minimized (walkies.rl.objectives)."""
    update: Literal["gradient_step", "natural_step", "minibatch_epochs"] = "minibatch_epochs"
    """How the policy's parameters are updated (walkies.rl.updates)."""

    num_envs: Annotated[int, Between(1, 10**7)] = 1024
    """Parallel environments."""
    groups: Annotated[int, Between(1, 10**4)] = 1
    """Groups of environments that act apart, with random numbers of their own: on several devices at once where JAX
    has several, with the same result as one after the other on one."""
    horizon: Annotated[int, Between(1, 10**6)] = 16
    """Rollout length: control steps per environment in one iteration."""
    whole_episodes: bool = False
    """Start every iteration with new episodes, run them for the environment's whole time limit (not for `horizon`)
    and learn only from each environment's first episode, so that returns are those of whole episodes."""
    resets: Literal["step", "rollout"] = "step"
    """Draw initial states at every step, or once per environment and rollout (cheaper)."""
    time_limits: Literal["exact", "rollout_end"] = "exact"
    """Truncate episodes exactly at the time limit, or at the end of the rollout before it (cheaper)."""
    stagger: bool = False
    """Start environments at random ages, so that their time limits do not all fall at once."""

    gamma: Annotated[float, Between(0.0, 1.0, "(]")] = 0.99
    """Discount per control step."""
    lam: Share = 0.95
    """λ of generalized advantage estimation (GAE)."""
    baseline: bool = True
    """Learn a value function: as the baseline, and to bootstrap where an episode is truncated."""
    normalize_advantage: Literal["none", "batch", "minibatch"] = "minibatch"
    """Over which samples advantages are normalized to mean 0 and standard deviation 1."""
    normalize_observations: bool = True
    """Normalize observations by their running mean and standard deviation."""
    normalize_reward: bool = False
    """Divide rewards by the running standard deviation of the discounted return, and clip them to ±10."""

    architecture: str = "dense"
    """Architecture of both networks: a name in walkies.rl.networks.ARCHITECTURES."""
    hidden: Widths = (128, 128)
    """Widths of the policy's hidden layers."""
    critic_hidden: Widths = (128, 128)
    """Widths of the value function's hidden layers."""
    activation: Literal["tanh", "relu", "elu"] = "tanh"
    """Activation of hidden layers."""
    networks: Literal["xla", "native"] = "xla"
    """What evaluates networks: XLA, or the native library's custom calls where they apply (float32 on a CPU): a faster
    implementation of the same function, equal up to rounding (walkies.accel.networks). Fisher products, and
    gradients with respect to observations, always use XLA."""
    bound: Literal["clip", "mean", "sample"] = "clip"
    """How actions are bounded: clip the sample, tanh of the mean, or tanh of the sample."""
    initial_std: Annotated[float, Between(0.0, 100.0, "(]")] = 1.0
    """Initial standard deviation of the actions."""

    learning_rate: StepSize = 3e-4
    """Initial Adam learning rate of the policy."""
    critic_learning_rate: StepSize = 1e-3
    """Adam learning rate of the value function."""
    schedule: Literal["constant", "linear", "kl"] = "constant"
    """Learning rate schedule: constant, linear to zero over anneal_iterations (the critic's too), or KL-adaptive."""
    anneal_iterations: Annotated[int, Between(1, 10**9)] = 1000
    """Iterations after which a linear schedule reaches zero."""
    target_kl: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.01
    """KL(old ‖ new) in nats: the target of the "kl" schedule, and the trust region of natural_step."""
    stop_kl: Annotated[float | None, Between(0.0, 1000.0, "(]")] = None
    """Early stopping: no further policy updates in this iteration once the KL of a minibatch exceeds this."""
    min_learning_rate: StepSize = 1e-5
    """Lower bound of the learning rate in the "kl" schedule."""
    max_learning_rate: StepSize = 1e-2
    """Upper bound of the learning rate in the "kl" schedule."""
    epochs: Annotated[int, Between(1, 10_000)] = 4
    """Passes over the batch (minibatch_epochs; with other updates, of the value function only)."""
    minibatches: Annotated[int, Between(1, 10**6)] = 4
    """Minibatches per pass over the batch."""
    max_grad_norm: Annotated[float, Between(0.0, 1e9, "(]")] = 1.0
    """Global-norm gradient clipping, separately for policy and value function."""
    adam_epsilon: Annotated[float, Between(0.0, 1.0, "(]")] = 1e-5
    """Adam's ε."""
    objective_coefficient: Annotated[float, Between(0.0, 1e9)] = 0.2
    """ε of `clipped`, β of `kl_penalty`."""
    entropy_coefficient: Annotated[float, Between(-1000.0, 1000.0)] = 0.0
    """Weight of the entropy bonus, per nat."""
    value_clip: Annotated[float | None, Between(0.0, 1e9, "(]")] = None
    """Clip new values to within this of V_old in the value loss; depends on the scale of the reward."""
    symmetry: Literal["none", "augment", "loss", "equivariant"] = "none"
    """Use the environment's mirror symmetry: add mirrored samples, penalize actions that are not mirror images, or keep
    both networks equivariant (walkies.rl.symmetry)."""
    symmetry_coefficient: Annotated[float, Between(0.0, 1e6)] = 1.0
    """Weight of the symmetry loss."""

    damping: Annotated[float, Between(0.0, 1e9)] = 0.1
    """natural_step: added to the Fisher matrix."""
    cg_iterations: Annotated[int, Between(1, 10_000)] = 10
    """natural_step: conjugate-gradient iterations."""
    line_search: bool = True
    """natural_step: backtrack until the KL bound and the expected improvement hold; otherwise take no step."""

    def __post_init__(self) -> None:
        refuse(self, Recipe, name=str)
        if self.advantage == "gae" and not self.baseline:
            raise UserError("advantage gae needs a value function; set baseline, or choose reward_to_go")
        if self.whole_episodes and self.update == "natural_step":
            raise UserError("natural_step measures the KL on every sample; it cannot leave some out (whole_episodes)")
        if self.symmetry == "equivariant" and self.architecture != "dense":
            raise UserError(f"symmetry equivariant needs dense networks, but architecture is {self.architecture!r}")
        if not self.min_learning_rate <= self.max_learning_rate:
            raise UserError(
                f"min_learning_rate {written(self.min_learning_rate)} is more than "
                f"max_learning_rate {written(self.max_learning_rate)}; expected it to be at most as large"
            )


REINFORCE = Recipe(
    advantage="full_return", objective="score", update="gradient_step", baseline=False, whole_episodes=True
)  # fmt: skip
REINFORCE_BASELINE = replace(REINFORCE, advantage="reward_to_go", baseline=True)
A2C = Recipe(advantage="gae", objective="score", update="gradient_step", lam=1.0)
VPG = Recipe(advantage="gae", objective="score", update="gradient_step", lam=0.97)
NPG = Recipe(advantage="gae", objective="surrogate", update="natural_step", line_search=False)
TRPO = Recipe(advantage="gae", objective="surrogate", update="natural_step")
PPO = Recipe(advantage="gae", objective="clipped", update="minibatch_epochs")

RECIPES = {
    "reinforce": REINFORCE,
    "reinforce_baseline": REINFORCE_BASELINE,
    "a2c": A2C,
    "vpg": VPG,
    "npg": NPG,
    "trpo": TRPO,
    "ppo": PPO,
}
