"""T17–T25: Fisher products, conjugate gradients and the trust region, in float64 against explicit matrices."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from walkies.mdp import Box, Discrete
from walkies.rl.distributions import Categorical, Normal, TanhNormal
from walkies.rl.policy import Policy
from walkies.rl.trpo.fisher import conjugate_gradient, fisher_product
from walkies.rl.trpo.natural_step import natural_step

SAMPLES = 24


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Case:
    """A small policy on a batch, with everything as functions of one flat parameter vector."""

    def __init__(self, space, bound="clip"):
        self.policy = Policy(3, space, hidden=(5,), bound=bound)
        keys = jax.random.split(jax.random.key(0), 4)
        self.observations = jax.random.normal(keys[0], (SAMPLES, 3))
        # Larger than at the start, so that the output is not nearly zero.
        params = jax.tree.map(
            lambda x: x + 0.3 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), self.policy.init(keys[1])
        )
        self.theta, self.unravel = ravel_pytree(jax.tree.map(lambda x: x.astype(float), params))
        self.old = self.distribution(self.theta)
        self.samples = self.old.sample(keys[2])
        self.advantages = jax.random.normal(keys[3], (SAMPLES,))
        self.direction = jnp.sin(1.0 + jnp.arange(self.theta.size))

    def distribution(self, theta):
        return self.policy.apply(self.unravel(theta), self.observations)

    def kl(self, theta):
        return jnp.mean(self.old.kl(self.distribution(theta)))

    def loss(self, theta):
        ratio = jnp.exp(self.distribution(theta).log_prob(self.samples) - self.old.log_prob(self.samples))
        return -jnp.mean(self.advantages * ratio)

    def fisher(self):
        """F as a matrix, column by column."""
        product = fisher_product(self.distribution, self.theta)
        return jax.jit(jax.vmap(product))(jnp.eye(self.theta.size)).T


CASES = {"categorical": (Discrete(3),), "gaussian": (Box(2),), "squashed": (Box(2, -1.0, 1.0), "sample")}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    with jax.enable_x64(True):
        return Case(*CASES[request.param])


def test_fisher_product_is_the_curvature_of_kl(case):
    """T17: F v = [∇KL(θ + εv) − ∇KL(θ − εv)] / 2ε. Control: with the old distribution differentiated too, F ≡ 0."""
    gradient, h = jax.jit(jax.grad(case.kl)), 1e-5
    slope = (gradient(case.theta + h * case.direction) - gradient(case.theta - h * case.direction)) / (2 * h)
    product = jax.jit(lambda v: fisher_product(case.distribution, case.theta)(v))(case.direction)
    assert float(jnp.linalg.norm(product - slope) / jnp.linalg.norm(slope)) < 1e-6

    def moving_old(theta):
        new = case.distribution(theta)
        return jnp.mean(new.kl(new))

    assert float(jnp.linalg.norm(jax.jit(jax.grad(moving_old))(case.theta + h * case.direction))) < 1e-12


def test_fisher_product_is_the_covariance_of_the_score():
    """T18: F = E[∇log π ∇log πᵀ], summed exactly over a categorical's choices. Control: one sample a row is not it."""
    case = Case(Discrete(3))

    def log_probs(theta):
        return jax.nn.log_softmax(case.distribution(theta).logits)

    score = jax.jit(jax.jacobian(log_probs))(case.theta)  # (samples, choices, parameters)
    explicit = jnp.einsum("na,nai,naj->ij", jnp.exp(log_probs(case.theta)), score, score) / SAMPLES
    np.testing.assert_allclose(case.fisher(), explicit, atol=1e-13)
    sampled_once = jnp.einsum("ni,nj->ij", *[score[jnp.arange(SAMPLES), case.samples]] * 2) / SAMPLES
    assert float(jnp.max(jnp.abs(sampled_once - explicit))) > 1e-3


def test_fisher_of_a_linear_gaussian():
    """T19: the mean's block is E[xxᵀ] ⊗ Σ⁻¹, that of log σ is 2I, and they do not couple.

    Control: with σ itself as the parameter that block is 2 Σ⁻¹.
    """
    x = jax.random.normal(jax.random.key(0), (SAMPLES, 3))
    log_std = jnp.array([-0.4, 0.3])
    params = (jnp.ones((3, 2)), log_std)
    theta, unravel = ravel_pytree(params)
    product = fisher_product(lambda t: Normal(x @ unravel(t)[0], unravel(t)[1]), theta)
    fisher = jax.jit(jax.vmap(product))(jnp.eye(theta.size))
    np.testing.assert_allclose(fisher[:6, :6], jnp.kron(x.T @ x / SAMPLES, jnp.diag(jnp.exp(-2 * log_std))), atol=1e-13)
    np.testing.assert_allclose(fisher[6:, 6:], 2 * jnp.eye(2), atol=1e-13)
    np.testing.assert_allclose(fisher[:6, 6:], 0.0, atol=1e-13)
    raw = fisher_product(lambda std: Normal(jnp.zeros((SAMPLES, 2)), jnp.log(std)), jnp.exp(log_std))
    of_std = jax.jit(jax.vmap(raw))(jnp.eye(2))
    np.testing.assert_allclose(of_std, 2 * jnp.diag(jnp.exp(-2 * log_std)), atol=1e-13)
    assert float(jnp.max(jnp.abs(of_std - 2 * jnp.eye(2)))) > 1.0


def test_fisher_product_is_symmetric_and_positive(case):
    """T20: uᵀFv = vᵀFu, vᵀFv ≥ 0, and damping adds exactly c v. Control: the loss's own Hessian is not positive."""
    fisher = case.fisher()
    np.testing.assert_allclose(fisher, fisher.T, atol=1e-12)
    assert float(jnp.linalg.eigvalsh(fisher)[0]) > -1e-12
    damped = jax.jit(lambda v: fisher_product(case.distribution, case.theta, 0.3)(v))(case.direction)
    np.testing.assert_allclose(damped - fisher @ case.direction, 0.3 * case.direction, atol=1e-12)
    assert float(jnp.linalg.eigvalsh(jax.jit(jax.hessian(case.loss))(case.theta))[0]) < -1e-3


@pytest.mark.parametrize("n", [1, 4, 12])
def test_conjugate_gradients_solve(n):
    """T21: the solution in n steps, the error falling in the A-norm at each, and stopping early where told.

    Control: as many steps of steepest descent do not solve it.
    """
    root = jax.random.normal(jax.random.key(n), (n, n))
    a, b = root @ root.T + jnp.eye(n), jnp.arange(1.0, n + 1)
    solve = jax.jit(lambda limit, tolerance: conjugate_gradient(lambda v: a @ v, b, limit, tolerance))
    exact = jnp.linalg.solve(a, b)
    np.testing.assert_allclose(solve(n, 0.0).x, exact, rtol=1e-8)
    errors = [exact @ a @ exact] + [(x - exact) @ a @ (x - exact) for x in (solve(k, 0.0).x for k in range(1, n + 1))]
    assert np.all(np.diff(errors) < 1e-12)
    x = jnp.zeros(n)
    for _ in range(n):
        residual = b - a @ x
        x = x + (residual @ residual) / (residual @ a @ residual) * residual
    assert n == 1 or np.max(np.abs(x - exact)) > 1e-3 * np.max(np.abs(exact))
    early = solve(n, 0.5)
    assert int(early.iterations) <= n and float(early.residual) <= 0.5 * float(b @ b)
    assert int(solve(10 * n, 1e-20).iterations) <= n + 2
    np.testing.assert_allclose(early.residual, jnp.sum((b - a @ early.x) ** 2), rtol=1e-6, atol=1e-20)


def test_conjugate_gradients_stop_without_curvature():
    """T21: a zero right side or a zero matrix gives zeros, never NaN."""
    for scale, b in ((1.0, jnp.zeros(3)), (0.0, jnp.ones(3))):
        x = conjugate_gradient(lambda v, scale=scale: scale * v, b, 5).x
        np.testing.assert_array_equal(x, 0.0)


def test_short_steps_cost_the_predicted_kl(case):
    """T22: undamped, KL(θ_old + s x) / (s² δ) → 1 as s → 0, x the full step. Controls: a damped step costs less, and a
    step of the plain gradient, as long in parameters, costs something else.
    """
    delta = 1e-2

    def ratio(theta, s):
        return case.kl(case.theta + s * (theta - case.theta)) / (s * s * delta)

    @jax.jit
    def costs(damping):
        new, _ = natural_step(
            case.loss, case.distribution, case.theta, delta, damping, 5, line_search=False
        )  # fmt: skip
        gradient = jax.grad(case.loss)(case.theta)
        plain = case.theta - gradient * jnp.linalg.norm(new - case.theta) / jnp.linalg.norm(gradient)
        return jnp.array([ratio(new, s) for s in (3e-2, 3e-3, 3e-4)]), ratio(plain, 3e-4)

    exact, plain = costs(0.0)
    errors = np.abs(exact - 1.0)
    assert errors[0] < 0.1 and errors[1] < 0.2 * errors[0] and errors[2] < 0.2 * errors[1]
    assert float(costs(0.5)[0][2]) < 0.9
    assert abs(float(plain) - 1.0) > 0.1


def test_short_steps_of_a_linear_gaussian_cost_the_predicted_kl():
    """T22, solved to the end: KL(θ_old + s x) / (s² δ) → 1 as s → 0. Control: a damped step costs less."""
    x = jax.random.normal(jax.random.key(0), (SAMPLES, 3))
    target = jax.random.normal(jax.random.key(1), (SAMPLES, 2))

    def distribution(theta):
        return Normal(x @ theta[:6].reshape(3, 2), theta[6:])

    def loss(theta):
        return -jnp.mean(distribution(theta).log_prob(target))

    def cost(damping, s):
        theta = 0.1 * jnp.ones(8)
        new, _ = natural_step(loss, distribution, theta, 1e-2, damping, 50, 1e-24, line_search=False)
        shorter = theta + s * (new - theta)
        return jnp.mean(distribution(theta).kl(distribution(shorter))) / (s * s * 1e-2)

    cost = jax.jit(cost)
    errors = [abs(float(cost(0.0, s)) - 1.0) for s in (1e-1, 1e-2, 1e-3)]
    assert errors[0] < 0.1 and errors[1] < 0.2 * errors[0] and errors[2] < 0.2 * errors[1]
    assert float(cost(0.5, 1e-3)) < 0.9


def test_accepted_steps_keep_the_promise(case):
    """T23: accepted ⇒ KL(old ‖ new) ≤ δ and the surrogate improved, as computed anew."""
    step = jax.jit(lambda t, delta: natural_step(case.loss, case.distribution, t, delta, 1e-3))
    for delta in (1e-3, 0.3):
        theta, info = step(case.theta, delta)
        kl, improvement = case.kl(theta), case.loss(case.theta) - case.loss(theta)
        assert bool(info.accepted) and float(kl) <= delta and float(improvement) > 0.0
        np.testing.assert_allclose([info.kl, info.improvement, info.predicted_kl], [kl, improvement, delta], rtol=1e-6)


def test_the_line_search_measures_kl_from_old_to_new():
    """T23: KL(old ‖ new) is bounded; narrowing σ makes it the larger. Control: the other direction would pass."""
    old, new = Normal(jnp.zeros((1, 1)), jnp.zeros(1)), Normal(jnp.full((1, 1), 0.3), jnp.log(jnp.array([0.5])))
    np.testing.assert_allclose([old.kl(new)[0], new.kl(old)[0]], [0.98685, 0.36315], atol=1e-5)

    # Gradient towards a narrow σ: at the accepted step the bound holds in the promised direction.
    def distribution(log_std):
        return Normal(jnp.zeros((1, 1)), log_std)

    @partial(jax.jit, static_argnums=1)
    def step(log_std, line_search):
        return natural_step(jnp.sum, distribution, log_std, 0.5, 0.0, line_search=line_search)

    theta, info = step(jnp.zeros(1), True)
    forward = float(distribution(jnp.zeros(1)).kl(distribution(theta))[0])
    np.testing.assert_allclose(info.kl, forward)
    full, _ = step(jnp.zeros(1), False)
    assert float(distribution(full).kl(distribution(jnp.zeros(1)))[0]) <= 0.5  # the other direction would accept this
    assert float(distribution(jnp.zeros(1)).kl(distribution(full))[0]) > 0.5 and forward <= 0.5


BROKEN = ("uphill", "nan", "flat")


@pytest.fixture(scope="module")
def broken():
    """A case, and its natural step on losses whose descent never helps: (kind, line_search) → (parameters, info)."""
    with jax.enable_x64(True):
        case = Case(*CASES["gaussian"])

        @jax.custom_jvp
        def uphill(theta):
            return -case.loss(theta)

        uphill.defjvp(lambda primals, tangents: (uphill(*primals), jax.jvp(case.loss, primals, tangents)[1]))

        def loss(kind, theta):
            here = jnp.all(theta == case.theta)
            return jnp.select([kind == 0, kind == 1], [uphill(theta), jnp.where(here, case.loss(theta), jnp.nan)], 0.0)

        def step(kind, theta, line_search):
            options = {"cg_iterations": 3, "line_search": line_search}
            return natural_step(lambda t: loss(kind, t), case.distribution, theta, 1e-2, **options)

        step = jax.jit(step, static_argnums=2)
        return case, lambda name, line_search: step(BROKEN.index(name), case.theta, line_search)


@pytest.mark.parametrize("name", BROKEN)
def test_rejected_steps_restore_every_bit(broken, name):
    """T23: nothing acceptable ⇒ parameters bit-identical; a zero gradient is not a NaN."""
    case, step = broken
    new, info = step(name, True)
    assert not bool(info.accepted)
    assert np.asarray(new).tobytes() == np.asarray(case.theta).tobytes()
    assert all(np.isfinite(np.asarray(x, float)) for x in info)


@pytest.mark.parametrize("name", BROKEN)
def test_a_step_without_line_search_never_breaks_parameters(broken, name):
    """T23, control: unchecked (NPG) `uphill` is taken; a step that is not finite never is."""
    case, step = broken
    new, info = step(name, False)
    assert bool(info.accepted) == (name == "uphill")
    assert np.array_equal(new, case.theta) == (name != "uphill")


def test_the_natural_step_does_not_depend_on_the_parametrization():
    """T24: θ = Mφ with any invertible M gives the same policy after a tiny step. Control: plain gradients do not."""
    x = jax.random.normal(jax.random.key(0), (SAMPLES, 3))
    advantages = jax.random.normal(jax.random.key(1), (SAMPLES,))
    size = 8
    theta = jnp.cos(jnp.arange(size) * 1.0)
    mix = jnp.eye(size) + 0.4 * jax.random.normal(jax.random.key(2), (size, size))

    def build(theta):
        return Normal(x @ theta[:6].reshape(3, 2), theta[6:])

    samples = build(theta).sample(jax.random.key(3))

    def loss(theta):
        return -jnp.mean(advantages * jnp.exp(build(theta).log_prob(samples) - old_log_prob))

    old_log_prob = build(theta).log_prob(samples)

    @jax.jit
    def natural(matrix):
        phi = jnp.linalg.solve(matrix, theta)
        mixed = natural_step(
            lambda p: loss(matrix @ p), lambda p: build(matrix @ p), phi, 1e-8, 0.0, 100, 1e-24, line_search=False
        )
        return matrix @ mixed[0] - theta

    @jax.jit
    def plain(matrix):
        phi = jnp.linalg.solve(matrix, theta)
        step = matrix @ (phi - 1e-4 * jax.grad(lambda p: loss(matrix @ p))(phi)) - theta
        return step / jnp.linalg.norm(step)

    difference = natural(mix) - natural(jnp.eye(size))
    assert float(jnp.linalg.norm(difference) / jnp.linalg.norm(natural(mix))) < 1e-6
    assert float(jnp.linalg.norm(plain(mix) - plain(jnp.eye(size)))) > 0.1


def test_padding_does_not_count():
    """A masked sample changes neither F nor the step, whatever it holds; without the mask it does."""
    x = jax.random.normal(jax.random.key(0), (SAMPLES, 2))
    padded = jnp.concatenate([x, jnp.full((1, 2), 9.0)])
    theta = jnp.array([0.3, -0.2, 0.1])

    @partial(jax.jit, static_argnums=2)
    def step(x, mask, masked):
        def build(theta):
            return Normal(x @ theta[:2, None], theta[2:])

        return natural_step(lambda t: jnp.sum(t**3), build, theta, 0.05, 1e-3, mask=mask if masked else None)

    whole = step(x, jnp.ones(SAMPLES), False)
    part = step(padded, jnp.append(jnp.ones(SAMPLES), 0.0), True)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)
    assert float(jnp.max(jnp.abs(step(padded, jnp.ones(SAMPLES + 1), False)[0] - whole[0]))) > 1e-3


PAIRS = {
    "categorical": (Categorical(jnp.array([0.1, 0.9, -0.5])), Categorical(jnp.array([0.6, -0.2, 0.3]))),
    "gaussian": (
        Normal(jnp.array([0.2, -1.0]), jnp.array([0.1, -0.4])),
        Normal(jnp.array([-0.1, 0.5]), jnp.array([-0.3, 0.2])),
    ),
    "squashed": (
        TanhNormal(jnp.array([0.2, -1.0]), jnp.array([0.1, -0.4])),
        TanhNormal(jnp.array([-0.1, 0.5]), jnp.array([-0.3, 0.2])),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_kl_is_positive_and_is_what_sampling_says(name):
    """T25: KL ≥ 0, zero only for equals, and E_p[log p − log q] by Monte Carlo, within 5 standard errors.

    Control: the other direction is another number.
    """
    p, q = PAIRS[name]
    assert float(p.kl(q)) > 0.01 and float(q.kl(p)) > 0.01
    assert float(p.kl(p)) == pytest.approx(0.0, abs=1e-7)
    n = 100_000
    p_many, q_many = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), (p, q))
    samples = p_many.sample(jax.random.key(0))
    difference = np.asarray(p_many.log_prob(samples) - q_many.log_prob(samples))
    error = 5 * difference.std() / np.sqrt(n)
    assert abs(difference.mean() - float(p.kl(q))) < error
    assert abs(difference.mean() - float(q.kl(p))) > error
