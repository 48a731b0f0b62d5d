"""The lecture's interactive pictures say what the code says, and every page has the one it names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LECTURE = ROOT / "docs" / "lecture"
sys.path[:0] = [str(LECTURE), str(ROOT / "docs" / "site"), str(ROOT / "tests" / "show")]

import level  # noqa: E402
import site_pages  # noqa: E402
from in_node import in_node  # noqa: E402

from walkies.envs.ball import BouncingBall  # noqa: E402
from walkies.envs.classic import CartPole  # noqa: E402
from walkies.envs.tabular import evaluate  # noqa: E402
from walkies.rl.advantages import gae  # noqa: E402
from walkies.rl.distributions import Normal  # noqa: E402
from walkies.rl.objectives import OBJECTIVES, Terms  # noqa: E402
from walkies.rl.objectives import clipped as objective  # noqa: E402
from walkies.tasks import rewards  # noqa: E402

SCRIPTS = (LECTURE / "figures.js",)


def ask(folder: Path, body: str, data: Any = None) -> Any:
    """What a function body returns that knows figures.js."""
    return in_node(folder, SCRIPTS, body, data)


def test_every_page_has_the_figure_that_it_names_and_every_figure_a_page(tmp_path):
    pages = {path.name: path.read_text(encoding="utf-8") for path in LECTURE.glob("*.md")}
    named = [name for text in pages.values() for name in site_pages.INTERACTIVE.findall(text)]
    assert len(named) == len(set(named)) > 4
    assert sorted(named) == ask(tmp_path, "return Object.keys(FIGURES).sort();")
    text = "a\n\n<!-- interactive: clipped -->\n\nb"
    assert 'data-figure="clipped"' in site_pages.INTERACTIVE.sub(site_pages.PLACE, text)
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.search(r"^extra_javascript: \[lecture/figures\.js, lecture/interactive\.js\]$", site, re.M)


def test_at_any_sliders_curves_are_finite_and_something_is_said(tmp_path):
    """At the least, the first and the greatest value of each."""
    found = ask(
        tmp_path,
        """
  return Object.entries(FIGURES).flatMap(([name, figure]) => ["from", "value", "to"].map((which) => {
    const at = Object.fromEntries(Object.entries(figure.sliders).map(([key, slider]) => [key, slider[which]]));
    const made = figure.curves(at);
    return { name, says: made.says, numbers: [...Object.values(made.curves), made.points || []].flat(2) };
  }));
""",
    )
    assert len(found) == 3 * len({one["name"] for one in found})
    for one in found:
        assert one["says"] and len(one["numbers"]) > 4
        assert all(isinstance(number, int | float) for number in one["numbers"]), one["name"]  # JSON has null for NaN


def test_the_normal_distribution(tmp_path):
    x = np.linspace(-5, 5, 41)
    found = ask(tmp_path, "return data.map((x) => [below(x), density(x)]);", x.tolist())
    expected = np.stack([jax.scipy.stats.norm.cdf(x), jax.scipy.stats.norm.pdf(x)], axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-7)


@pytest.mark.parametrize("bump", [0.0, 0.05])
def test_balls_bounce_as_those_of_the_environment(tmp_path, bump):
    """Until the differences of single precision have grown; over another floor they do not."""
    ball, steps = BouncingBall(bump=bump), 200
    state, places = jnp.array([[0.1, 0.5, 0.0, 0.0]]), []
    for _ in range(steps):
        places.append(np.array(state[0, :2]))
        state, _ = ball.step(state, jnp.zeros((1, 1)), jax.random.key(0))
    found = np.array(ask(tmp_path, "return bounce(0.1, data, 200);", bump))[:steps]
    other = np.array(ask(tmp_path, "return bounce(0.1, data, 200);", bump + 0.01))[:steps]
    assert np.abs(found - places).max() < 2e-3 < 0.01 < np.abs(other - places).max()


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.0), (0.9, 0.5), (1.0, 1.0)])
def test_advantages_are_gae(tmp_path, gamma, lam):
    episode = ask(tmp_path, "return EPISODE;")
    rewards, values = (jnp.array(episode[name], float)[:, None] for name in ("rewards", "values"))
    following = jnp.concatenate([values[1:], jnp.zeros((1, 1))])
    ends = (jnp.arange(len(rewards)) == len(rewards) - 1)[:, None]
    expected = gae(rewards, values, following, ends, ends, gamma, lam)[:, 0]
    found = ask(tmp_path, "return advantages(EPISODE.rewards, EPISODE.values, ...data);", [gamma, lam])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_clipped_objective_and_its_slope(tmp_path):
    cases = [(ratio, a, 0.2) for ratio in (0.5, 0.9, 1.0, 1.15, 1.7) for a in (-1.0, 0.5)]
    found = ask(tmp_path, "return data.map((one) => clipped(...one));", cases)

    def gain(ratio, advantage):
        return -objective(Terms(jnp.log(ratio), 0.0, advantage, 0.0), 0.2)

    for (ratio, advantage, _), one in zip(cases, found, strict=True):
        assert one["value"] == pytest.approx(float(gain(ratio, advantage)), abs=1e-5)
        assert one["slope"] == pytest.approx(float(jax.grad(gain)(ratio, advantage)), abs=1e-5)


@pytest.mark.parametrize(("jump", "short", "gamma"), [(0.5, 0.1, 1.0), (0.7, 0.3, 0.8), (0.0, 0.1, 1.0)])
def test_what_a_place_is_worth(tmp_path, jump, short, gamma):
    """By dynamic programming on the tables of the level. Control: of a level with longer jumps it is something else."""
    policy = jnp.broadcast_to(jnp.array([1.0 - jump, jump]), (level.FLAG + 1, 2))
    expected, other = (
        evaluate(level.level(short_jump), policy, gamma=gamma, horizon=level.STEPS).v[0] for short_jump in (short, 0.0)
    )
    found = ask(tmp_path, "return worth(...data);", [jump, short, gamma])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert jump == 0.0 or np.abs(np.array(found) - other).max() > 0.1


@pytest.mark.parametrize("baseline", [0.0, 2.5])
def test_the_gradient_by_a_coin(tmp_path, baseline):
    """Mean and variance over both sides, each with the derivative that JAX finds."""
    chance, rewards = 0.3, jnp.array([1.0, 4.0])
    logit = jnp.log(chance / (1.0 - chance))
    log_p = lambda logit: jnp.stack([jax.nn.log_sigmoid(-logit), jax.nn.log_sigmoid(logit)])  # noqa: E731
    each, p = jax.jacobian(log_p)(logit) * (rewards - baseline), jnp.exp(log_p(logit))
    found = ask(tmp_path, "return coin(...data);", [chance, rewards.tolist(), baseline])
    J = lambda logit: jnp.exp(log_p(logit)) @ rewards  # noqa: E731
    assert found["mean"] == pytest.approx(float(jax.grad(J)(logit)), abs=1e-5), "with any baseline"
    assert found["variance"] == pytest.approx(float(p @ (each - p @ each) ** 2), abs=1e-5)


def test_what_a_step_costs(tmp_path):
    """KL of the policy of the page, and that the natural step costs what it promises."""
    old, new = (Normal(jnp.array([[mean]]), jnp.log(jnp.array([0.3]))) for mean in (0.0, 0.25))
    found = ask(tmp_path, "return divergence(0.25, 0.3);")
    assert found == pytest.approx(float(old.kl(new)[0]), rel=1e-5)
    said = ask(tmp_path, "return FIGURES.step.curves({ sigma: 0.1, size: 0.1, delta: 0.01 }).says;")
    assert said == "The plain step costs 50.0 nats, the natural step 0.0100."


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_pole_falls_as_in_the_environment(tmp_path, weight):
    """Control: without looking at the speed it falls, with it it does not."""
    env, state, angles = CartPole(), jnp.array([[0.0, 0.0, 0.05, 0.0]]), [0.05]
    for _ in range(200):
        action = (state[:, 2] + weight * state[:, 3] > 0).astype(int)
        state, outcome = env.step(state, action, jax.random.key(0))
        if bool(outcome.terminated[0]):
            break
        angles.append(float(state[0, 2]))
    found = ask(tmp_path, "return balance(0.05, data, 200);", weight)
    assert (len(angles) > 200) == (weight > 0)
    steps = min(len(angles), len(found), 40)
    np.testing.assert_allclose(found[:steps], angles[:steps], atol=2e-3)
    assert abs(len(found) - len(angles)) <= 2


def test_the_three_objectives_and_their_slopes(tmp_path):
    cases = [(ratio, advantage, 0.2) for ratio in (0.5, 1.0, 1.15, 1.7) for advantage in (-1.0, 0.5)]
    found = ask(tmp_path, "return data.map((one) => objectives(...one));", cases)
    for (ratio, advantage, epsilon), one in zip(cases, found, strict=True):
        for name in ("score", "surrogate", "clipped"):

            def gain(ratio, name=name, advantage=advantage, epsilon=epsilon):
                return -OBJECTIVES[name](Terms(jnp.log(ratio), 0.0, advantage, 0.0), epsilon)

            assert one[name]["value"] == pytest.approx(float(gain(ratio) - gain(1.0)), abs=1e-5)
            assert one[name]["slope"] == pytest.approx(float(jax.grad(gain)(ratio)), abs=1e-5)


def test_the_tracking_reward(tmp_path):
    """Of the task, with its own weights and width: the slider begins there."""
    weights, width, error = rewards.RewardWeights(), rewards.RewardParams().tracking_width, 0.3
    motion = type("", (), {"linear_velocity": jnp.array([[error, 0.0, 0.0]]), "command": jnp.zeros((1, 3))})
    asked = type("", (), {"tracking_width": width})
    slider = ask(tmp_path, "return FIGURES.tracking.sliders;")
    assert (slider["width"]["value"], slider["pull"]["value"]) == (width, weights.lin_vel_error)
    found = ask(tmp_path, "return tracking(...data);", [error, width, weights.tracking_lin_vel, weights.lin_vel_error])
    kernel = weights.tracking_lin_vel * float(rewards.tracking_lin_vel(motion, asked)[0])
    line = weights.lin_vel_error * float(rewards.lin_vel_error(motion, asked)[0])
    assert (found["kernel"], found["line"]) == (pytest.approx(kernel, abs=1e-5), pytest.approx(line, abs=1e-4))
    assert found["sum"] == pytest.approx(kernel + line, abs=1e-4)


def test_a_puck_on_many_floors(tmp_path):
    """The best speed for one floor, √(2 μ g), and the mean over floors by numerical integration."""
    best = ask(tmp_path, "return highest(line(1, 6, 5001, (v) => slides(v, 0.9)));")
    assert best[0] == pytest.approx((2 * 0.9 * 9.81) ** 0.5, abs=2e-3) and best[1] == pytest.approx(0.0, abs=2e-3)
    mu = np.linspace(0.4, 1.4, 200_001)
    expected = -np.abs(9.0 / (2 * mu * 9.81) - 1).mean()
    assert ask(tmp_path, "return slidesOnAverage(3, 0.4, 1.4);") == pytest.approx(expected, abs=1e-3)
    assert ask(tmp_path, "return slidesOnAverage(3, 0.9, 0.9);") == pytest.approx(-abs(9 / 17.658 - 1), abs=1e-9)
