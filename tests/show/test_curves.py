"""Learning curves and the theme that all pictures share."""

import colorsys

import numpy as np
import pytest
from PIL import Image

from walkies.errors import UserError
from walkies.run import loggers
from walkies.show.pictures import curves, theme


def a_run(folder, seed, rows=30):
    rng = np.random.default_rng(seed)
    logger = loggers.CsvLogger(folder / "progress.csv")
    for i in range(rows):
        noise = 0.02 * rng.normal()
        logger.log({"steps": 1000 * i, "seconds": 0.1 * i, "reward": i / rows + noise,
                    "lin_vel_error": 0.5 - i / 2 / rows, "kl": 0.01 + abs(noise), "reward/turn": -0.1 * i})  # fmt: skip
    logger.close()
    return folder


def ink(path):
    """How much of a picture is not background."""
    return (np.asarray(Image.open(path).convert("RGB")) != np.round(255 * rgb(theme.PAGE))).any(-1).mean()


def test_draws_one_run(tmp_path):
    path = curves.draw(a_run(tmp_path, 0))
    assert path == tmp_path / "curves.png"
    assert 0.005 < ink(path) < 0.5
    assert curves.draw_rewards(tmp_path) == tmp_path / "rewards.png"


def test_the_largest_reward_terms_are_named_and_the_rest_is_not_lost():
    rng = np.random.default_rng(0)
    terms = {f"term_{size}": size * rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.5, 40) for size in range(8)}
    parts = curves.breakdown(terms, largest=3)
    assert list(parts) == ["term 7", "term 6", "term 5", "5 others"]
    np.testing.assert_allclose(sum(parts.values()), sum(terms.values()), atol=1e-12)
    assert list(curves.breakdown({"only": np.ones(3)})) == ["only"]


def test_the_picture_of_rewards_has_every_term_also_where_some_values_are_missing(tmp_path):
    logger = loggers.CsvLogger(tmp_path / "progress.csv")
    for i in range(30):
        row = {"steps": 1000 * i, "reward/tracking": 1.0, "reward/torque": -0.1 * i, "reward/zero": 0.0}
        logger.log(row | ({"reward/late": 0.2} if i > 10 else {}))
    logger.close()
    picture = curves.draw_rewards(tmp_path)
    shades = {tuple(pixel) for pixel in np.asarray(Image.open(picture).convert("RGBA")).reshape(-1, 4)}
    stacked = [(*(255 * rgb(colour)).round().astype(int), 255) for colour in theme.COLOURS]
    assert [colour in shades for colour in stacked[:4]] == [True, True, True, False], "three terms that gave something"


def test_draws_seeds_with_a_band(tmp_path):
    runs = [a_run(tmp_path / str(seed), seed) for seed in range(3)]
    alone = ink(curves.draw_runs({"walk": runs[:1]}, tmp_path / "one.png"))
    banded = ink(curves.draw_runs({"walk": runs}, tmp_path / "three.png"))
    assert banded > alone


def test_nothing_to_draw_is_told(tmp_path):
    logger = loggers.CsvLogger(tmp_path / "progress.csv")
    logger.log({"steps": 1, "weather": 2.0})
    logger.close()
    with pytest.raises(UserError, match="nothing to draw"):
        curves.draw(tmp_path)


def test_thinning_keeps_the_mean_and_drops_what_is_missing():
    x, y = np.arange(10_000.0), np.random.default_rng(0).normal(size=10_000)
    y[::7] = np.nan
    thin_x, thin_y = curves.thin(x, y, points=100)
    assert len(thin_x) == 100
    assert thin_y.mean() == pytest.approx(np.nanmean(y), abs=0.01)


def test_band_covers_every_seed_where_all_have_values():
    x, mean, low, high = curves.band(
        [(np.array([0.0, 10.0]), np.array([0.0, 10.0])), (np.array([2.0, 8.0]), np.array([4.0, 4.0]))]
    )
    assert (x[0], x[-1]) == (2.0, 8.0)
    assert (
        np.allclose(low, np.minimum(x, 4.0))
        and np.allclose(high, np.maximum(x, 4.0))
        and np.allclose(mean, (x + 4) / 2)
    )


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def linear(colour):
    value = np.asarray(rgb(colour) if isinstance(colour, str) else colour)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """WCAG 2.1 contrast ratio."""
    bright, dim = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (first, second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def readable(colour):
    return min(contrast(colour, page) for page in (theme.LIGHT_PAGE, theme.DARK_PAGE)) >= 3.0


def test_colours_are_readable_on_light_and_dark():
    assert all(map(readable, theme.COLOURS))
    assert not readable("#F0E442") and not readable("#000080")  # yellow on white, navy on black


# Deuteranopia and protanopia, linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
BLIND = (
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
)


def nearest(colours):
    """The smallest distance between two colours in CIELAB, as the colour-blind see them."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

    def lab(seen):
        x, y, z = np.cbrt(np.clip(to_xyz @ seen / (to_xyz @ np.ones(3)), 0, 1))
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    points = [[lab(matrix @ linear(colour)) for colour in colours] for matrix in BLIND]
    return min(np.linalg.norm(a - b) for seen in points for i, a in enumerate(seen) for b in seen[:i])


def test_colours_are_told_apart_by_the_colour_blind():
    assert nearest(theme.COLOURS[:5]) > 30
    rainbow = ["#" + bytes(int(255 * v) for v in colorsys.hsv_to_rgb(h / 6, 0.9, 0.7)).hex() for h in range(5)]
    assert nearest(rainbow) < 15


def test_marks_are_those_of_the_runs_own_robot(tmp_path):
    runs = [a_run(tmp_path / name, 0) for name in ("pupper", "go", "again", "unknown")]
    for run, robot in zip(runs, ("pupper", "go", "go", "nobody"), strict=True):
        (run / "config.json").write_text(f'{{"robot": "{robot}"}}')
    pupper, go, again, unknown = runs
    assert curves._limits([pupper])["lin_vel_error"] == 0.1
    assert curves._limits([go, again])["lin_vel_error"] > 0.1
    assert "lin_vel_error" not in curves._limits([pupper, go])
    assert "survival" in curves._limits([pupper, go])
    assert curves._limits([unknown]) == {}


def test_no_picture_is_wider_than_a_telephone_can_show(tmp_path):
    with theme.figure(1, 8) as (made, _):
        assert Image.open(theme.save(made, tmp_path / "wide.png")).width <= theme.WIDEST
    with theme.figure(1, 1) as (made, _):
        assert Image.open(theme.save(made, tmp_path / "small.png")).width == 4.0 * theme.STYLE["savefig.dpi"]
