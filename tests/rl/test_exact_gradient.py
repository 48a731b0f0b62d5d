"""T1–T4 and T16: the policy gradient against exact enumeration of a small MDP, in float64, without sampling."""

from __future__ import annotations

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.tabular import Tabular, enumerate_rollouts, evaluate, expected_return, random_tabular
from walkies.mdp import rollout_log_probability
from walkies.rl import advantages
from walkies.rl.distributions import Categorical, Normal, TanhNormal
from walkies.rl.objectives import Terms, score

HORIZON = 4
GAMMA = 0.9
EXACT = 1e-8


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Problem:
    """All rollouts of one MDP under one policy, and the exact answers."""

    def __init__(self, mdp: Tabular, gamma: float = GAMMA, seed: int = 0):
        self.mdp, self.gamma = mdp, gamma
        self.theta = jax.random.normal(jax.random.key(seed), (mdp.num_states, mdp.num_actions))
        self.rollouts = enumerate_rollouts(mdp, HORIZON)
        self.time = jnp.arange(HORIZON)[:, None]
        self.exact = jax.jit(lambda theta: evaluate(mdp, jax.nn.softmax(theta), gamma, HORIZON))(self.theta)
        self.probability = jax.jit(self._probability)
        self.gradient = jax.jit(self._gradient)
        self.advantage = jax.jit(self._advantage, static_argnums=(0, 3))
        self.mass = self.probability(self.theta)

    def log_policy(self, theta, states, actions):
        return Categorical(theta[states]).log_prob(actions)

    def _probability(self, theta):
        """p(τ) of every rollout, (num_rollouts,)."""
        initial, transition = jnp.log(self.mdp.initial), jnp.log(self.mdp.transition)
        return jnp.exp(
            rollout_log_probability(
                jnp.asarray(self.rollouts.states),
                jnp.asarray(self.rollouts.actions),
                lambda s: initial[s],
                lambda s, a: self.log_policy(theta, s, a),
                lambda s, a, following: transition[s, a, following],
                jnp.asarray(self.rollouts.valid),
            )
        )

    def _advantage(self, estimator, v, lam=1.0, cut=False):
        """Ψ of every step for values v (HORIZON + 1, S). At the horizon the episode ends, or is cut and would go on."""
        states, at_end = self.rollouts.states, self.time == HORIZON - 1
        done = self.rollouts.terminated | at_end
        terminated = self.rollouts.terminated if cut else done
        values = v[self.time, states[:-1]] * self.rollouts.valid
        return estimator(
            jnp.asarray(self.rollouts.rewards), values, v[self.time + 1, states[1:]], jnp.asarray(terminated), done,
            self.gamma, lam,
        )  # fmt: skip

    def _gradient(self, psi):
        """E Σ_t ∇ −score: the expectation of the estimator, (S, A)."""

        def loss(theta):
            log_prob = self.log_policy(theta, self.rollouts.states[:-1], self.rollouts.actions)
            terms = Terms(log_prob, jax.lax.stop_gradient(log_prob), psi, jnp.zeros_like(log_prob))
            return jnp.sum(self.mass * jnp.sum(jnp.where(self.rollouts.valid, score(terms), 0.0), axis=0))

        return -jax.grad(loss)(self.theta)

    @cached_property
    def finite_difference(self):
        """∇J by central differences of dynamic programming, (S, A)."""
        h = 1e-5
        j = jax.jit(lambda theta: expected_return(self.mdp, jax.nn.softmax(theta), self.gamma, HORIZON))
        flat = np.asarray(self.theta).ravel()
        slopes = [(j((flat + e).reshape(self.theta.shape)) - j((flat - e).reshape(self.theta.shape))) / (2 * h)
                  for e in h * np.eye(flat.size)]  # fmt: skip
        return np.array(slopes).reshape(self.theta.shape)

    def error(self, psi):
        return float(np.max(np.abs(self.gradient(psi) - self.finite_difference)))

    def conditional_mean(self, psi):
        """E[Ψ_t | s_t, a_t], (HORIZON, S, A); NaN where no rollout comes by."""
        mass, psi, rollouts = np.asarray(self.mass), np.asarray(psi), self.rollouts
        mean = np.full((HORIZON, self.mdp.num_states, self.mdp.num_actions), np.nan)
        for t, s, a in np.ndindex(*mean.shape):
            rows = rollouts.valid[t] & (rollouts.states[t] == s) & (rollouts.actions[t] == a)
            if rows.any():
                mean[t, s, a] = np.sum(mass[rows] * psi[t][rows]) / np.sum(mass[rows])
        return mean


@pytest.fixture(scope="module", params=[0, 1], ids=["endless", "with a terminal state"])
def problem(request):
    with jax.enable_x64(True):
        return Problem(random_tabular(seed=3, states=2 + request.param, terminal=request.param))


@pytest.fixture(scope="module")
def wrong_v(problem):
    """Values of nothing in particular."""
    return np.random.default_rng(0).normal(size=(HORIZON + 1, problem.mdp.num_states))


def zeros(problem):
    return jnp.zeros((HORIZON + 1, problem.mdp.num_states))


def test_two_states_two_actions_four_steps_have_256_rollouts_from_one_start():
    """The case of T1: (2 · 2)^4 rollouts, each once."""
    mdp = random_tabular(0)
    rollouts = enumerate_rollouts(mdp.__class__(**{**mdp.__dict__, "initial": np.array([1.0, 0.0])}), HORIZON)
    every = np.concatenate([rollouts.states, rollouts.actions]).T
    assert len(every) == len(np.unique(every, axis=0)) == 256


def test_rollout_probabilities_sum_to_one(problem):
    """The lecture's quiz: p(τ) = ρ₀(s₀) Π π(a|s) p(s′|s, a) is a distribution over rollouts."""
    assert float(problem.mass.sum()) == pytest.approx(1.0, abs=1e-12)
    flow = np.where(problem.rollouts.valid, problem.rollouts.rewards, 0.0) * GAMMA ** np.arange(HORIZON)[:, None]
    expected = expected_return(problem.mdp, jax.nn.softmax(problem.theta), GAMMA, HORIZON)
    assert float(problem.mass @ flow.sum(axis=0)) == pytest.approx(float(expected), abs=1e-12)


def test_rollout_probability_of_one_rollout_by_hand():
    """A product of four numbers, written out; and it counts nothing after the end."""
    mdp = random_tabular(5)
    theta = jnp.zeros((2, 2))
    states, actions = jnp.array([[0], [1], [1]]), jnp.array([[1], [0]])
    arguments = (
        lambda s: jnp.log(jnp.asarray(mdp.initial))[s],
        lambda s, a: Categorical(theta[s]).log_prob(a),
        lambda s, a, following: jnp.log(jnp.asarray(mdp.transition))[s, a, following],
    )
    p = mdp.transition
    by_hand = mdp.initial[0] * 0.5 * p[0, 1, 1] * 0.5 * p[1, 0, 1]
    assert float(jnp.exp(rollout_log_probability(states, actions, *arguments))[0]) == pytest.approx(by_hand)
    cut = jnp.array([[True], [False]])
    assert float(jnp.exp(rollout_log_probability(states, actions, *arguments, cut))[0]) == pytest.approx(
        mdp.initial[0] * 0.5 * p[0, 1, 1]
    )


def test_the_world_drops_out_of_the_score(problem):
    """∇ log p(τ) = Σ ∇ log π: the gradient needs no model of the transition."""
    through_world = jax.jit(jax.jacobian(lambda theta: jnp.log(problem.probability(theta))))(problem.theta)

    def policy_only(theta):
        steps = problem.log_policy(theta, problem.rollouts.states[:-1], problem.rollouts.actions)
        return jnp.sum(jnp.where(problem.rollouts.valid, steps, 0.0), axis=0)

    np.testing.assert_allclose(through_world, jax.jit(jax.jacobian(policy_only))(problem.theta), atol=1e-12)


RIGHT = {
    "full return": lambda p, wrong: p.advantage(advantages.full_return, zeros(p)),
    "reward to go": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.reward_to_go, zeros(p)),
    "reward to go, any baseline": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.reward_to_go, wrong),
    "GAE(0, V)": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.gae, p.exact.v, 0.0),
    "GAE(.5, V)": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.gae, p.exact.v, 0.5),
    "GAE(.95, V)": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.gae, p.exact.v, 0.95),
    "GAE(1, any V)": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.gae, wrong, 1.0),
}
WRONG = {
    "reward to go without γ^t": lambda p, wrong: p.advantage(advantages.reward_to_go, zeros(p)),
    "baseline that knows the action": lambda p, wrong: (
        GAMMA**p.time * (p.advantage(advantages.reward_to_go, zeros(p)) - p.rollouts.actions)
    ),
    "GAE(0, any V)": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.gae, wrong, 0.0),
    "GAE(.5, any V)": lambda p, wrong: GAMMA**p.time * p.advantage(advantages.gae, wrong, 0.5),
}


@pytest.mark.parametrize("name", RIGHT)
def test_unbiased_estimators(problem, wrong_v, name):
    """T1: the expectation over all rollouts is the finite difference of dynamic programming."""
    assert problem.error(RIGHT[name](problem, wrong_v)) < EXACT


@pytest.mark.parametrize("name", WRONG)
def test_biased_estimators_are_told_apart(problem, wrong_v, name):
    """T1, controls: each usual mistake is a hundred thousand times further off, at least."""
    assert problem.error(WRONG[name](problem, wrong_v)) > 1e-3


@pytest.mark.parametrize("estimator", advantages.ADVANTAGES.values(), ids=list(advantages.ADVANTAGES))
def test_the_undiscounted_form_needs_no_discount_factor(estimator):
    """T1 at γ = 1, the form every recipe uses: Ψ as the library gives it, with no γ^t."""
    problem = Problem(random_tabular(seed=3), gamma=1.0)
    assert problem.error(problem.advantage(estimator, problem.exact.v, 0.7)) < EXACT


def scores(family, parameters):
    """Nodes and weights that integrate over `family(*parameters)` exactly, with the score at each node."""
    distribution = family(*parameters)
    if family is Categorical:
        nodes = jnp.arange(parameters[0].shape[-1])
        mass = jnp.exp(jax.vmap(distribution.log_prob)(nodes))
    else:
        hermite, mass = np.polynomial.hermite_e.hermegauss(8)
        mass = mass / mass.sum()
        nodes = distribution.mean + jnp.exp(distribution.log_std) * hermite[:, None]
    return nodes, mass


FAMILIES = {
    "categorical": (Categorical, (jnp.array([0.3, -1.0, 0.8]),)),
    "gaussian": (Normal, (jnp.array([0.4]), jnp.array([-0.3]))),
    "squashed gaussian": (TanhNormal, (jnp.array([0.4]), jnp.array([-0.3]))),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_expected_score_is_zero(name):
    """T2: E_a ∇ log π(a) = 0. Control: a density that lost its normalization."""
    family, parameters = FAMILIES[name]
    parameters = jax.tree.map(lambda x: jnp.asarray(x, float), parameters)
    nodes, mass = scores(family, parameters)

    def mean_log(parameters, unnormalized):
        log_prob = jax.vmap(family(*parameters).log_prob)(nodes)
        if unnormalized:
            log_prob = log_prob + (parameters[0] if family is Categorical else parameters[1]).sum()
        return mass @ log_prob

    gradient = jax.jit(jax.grad(mean_log), static_argnums=1)
    right, wrong = jax.tree.leaves(gradient(parameters, False)), jax.tree.leaves(gradient(parameters, True))
    assert max(float(jnp.max(jnp.abs(g))) for g in right) < 1e-12
    assert max(float(jnp.max(jnp.abs(g))) for g in wrong) > 0.1


@pytest.mark.parametrize("name", ["full_return", "reward_to_go"])
@pytest.mark.parametrize("terminal", [0, 1])
def test_reward_shift(name, terminal):
    """T3: r + c leaves the expected gradient alone where every rollout has the same length.

    Control: where episodes end at different times it must not.
    """
    mdp = random_tabular(seed=3, states=2 + terminal, terminal=terminal)
    shifted = Tabular(**{**mdp.__dict__, "reward": mdp.reward + 1.0})
    gradients = []
    for p in (Problem(mdp, gamma=1.0), Problem(shifted, gamma=1.0)):
        gradients.append(p.gradient(p.advantage(advantages.ADVANTAGES[name], zeros(p))))
    difference = float(jnp.max(jnp.abs(gradients[0] - gradients[1])))
    assert difference < 1e-12 if terminal == 0 else difference > 1e-2


@jax.jit
def sample_loss_gradient(theta, observations, actions, rewards, values, done):
    """Gradient of the mean score loss over all samples of a batch (time, num_envs), every episode terminated."""
    next_values = jnp.concatenate([values[1:], jnp.zeros_like(values[:1])])
    psi = advantages.gae(rewards, values, next_values, done, done, GAMMA, 0.8)

    def loss(theta):
        log_prob = Categorical(observations @ theta).log_prob(actions)
        return jnp.mean(score(Terms(log_prob, jax.lax.stop_gradient(log_prob), psi, jnp.zeros_like(psi))))

    return jax.grad(loss)(theta)


def test_batch_of_two_episodes_is_their_length_weighted_mean():
    """T4: 3 and 5 steps in one column are weighed by their lengths; the order of environments is nothing.

    Control: the mean of the two means is something else.
    """
    keys = jax.random.split(jax.random.key(1), 5)
    time, envs = 8, 3
    theta = jax.random.normal(keys[0], (4, 2))
    observations = jax.random.normal(keys[1], (time, envs, 4))
    actions = jax.random.randint(keys[2], (time, envs), 0, 2)
    rewards, values = jax.random.normal(keys[3], (2, time, envs))
    done = jnp.zeros((time, envs), bool).at[jnp.array([2, 7])].set(True)
    batch = (observations, actions, rewards, values, done)

    whole = sample_loss_gradient(theta, *batch)
    first = sample_loss_gradient(theta, *(x[:3] for x in batch))
    second = sample_loss_gradient(theta, *(x[3:] for x in batch))
    np.testing.assert_allclose(whole, (3 * first + 5 * second) / 8, atol=1e-14)
    assert float(jnp.max(jnp.abs(whole - (first + second) / 2))) > 1e-3

    order = jnp.array([2, 0, 1])
    np.testing.assert_allclose(whole, sample_loss_gradient(theta, *(x[:, order] for x in batch)), atol=1e-14)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_exact_values_give_the_exact_advantage(problem, wrong_v, lam):
    """T16: V^π ⇒ E[A_t | s, a] = Q − V at every step for any λ. Control: with another V, A + V is Q at λ = 1 only."""
    expected = np.asarray(problem.exact.q - problem.exact.v[:HORIZON, :, None])
    mean = problem.conditional_mean(problem.advantage(advantages.gae, problem.exact.v, lam))
    seen = ~np.isnan(mean)
    assert seen[:, ~problem.mdp.terminal].all()
    np.testing.assert_allclose(mean[seen], expected[seen], atol=1e-12)
    off = problem.conditional_mean(problem.advantage(advantages.gae, wrong_v, lam)) + wrong_v[:HORIZON, :, None]
    error = np.max(np.abs(off - np.asarray(problem.exact.q))[seen])
    assert error < 1e-12 if lam == 1.0 else error > 1e-1


@pytest.fixture(scope="module", params=[0, 1], ids=["endless", "with a terminal state"])
def undiscounted(request):
    with jax.enable_x64(True):
        return Problem(random_tabular(seed=3, states=2 + request.param, terminal=request.param), gamma=1.0)


@pytest.mark.parametrize("name", advantages.ADVANTAGES)
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_which_estimators_are_biased(undiscounted, name, lam):
    """Over whole episodes at γ = 1: GAE where λ < 1, by the errors of its values; nothing else, whatever the values."""
    wrong_v = np.random.default_rng(0).normal(size=(HORIZON + 1, undiscounted.mdp.num_states))
    for v, right in ((undiscounted.exact.v, True), (wrong_v, name != "gae" or lam == 1.0)):
        bias = undiscounted.error(undiscounted.advantage(advantages.ADVANTAGES[name], v, lam))
        assert bias < EXACT if right else bias > 1e-3


@pytest.mark.parametrize("name", advantages.ADVANTAGES)
def test_below_one_only_the_full_return_is_unbiased_without_its_factor(problem, name):
    """γ^t is left out: even with the true values the others then are gradients of nothing."""
    bias = problem.error(problem.advantage(advantages.ADVANTAGES[name], problem.exact.v, 0.5))
    assert bias < EXACT if name == "full_return" else bias > 1e-3


@pytest.mark.parametrize("name, lam", [("reward_to_go", 1.0), ("gae", 1.0), ("gae", 0.5)])
def test_a_cut_episode_is_as_right_as_the_value_it_goes_on_with(problem, wrong_v, name, lam):
    """Episodes of twice the length, cut in the middle: with V^π the advantage is exact, with another V it is not."""
    policy = jax.nn.softmax(problem.theta)
    v, q = evaluate(problem.mdp, policy, problem.gamma, 2 * HORIZON)
    for values, right in ((v[: HORIZON + 1], True), (wrong_v, False)):
        mean = problem.conditional_mean(problem.advantage(advantages.ADVANTAGES[name], values, lam, True))
        error = np.nanmax(np.abs(mean + np.asarray(values)[:HORIZON, :, None] - np.asarray(q[:HORIZON])))
        assert error < 1e-12 if right else error > 1e-1
