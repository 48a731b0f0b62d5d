"""Movements: which frame follows which, what a policy is shown of them, and how a design becomes joint angles."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.quaternions import about_z, product, rotation_of, yaw_of
from walkies.robots import get_robot, load_model
from walkies.tasks.gait.kinematics import Legs
from walkies.tasks.motion import design
from walkies.tasks.motion.course_file import angular_velocity, packed
from walkies.tasks.motion.heights import heights
from walkies.tasks.motion.movement import Clip, Movement, seen_from
from walkies.tasks.motion.task import MotionConfig, load

ROBOT = get_robot("pupper")
MODEL = load_model(ROBOT, visuals=False)
CLIPS = (Clip("stand", 0, 40, loop=True), Clip("bow", 40, 70, next="stand"), Clip("sit", 70, 100))


def movement(seed: int = 0) -> Movement:
    rng = np.random.default_rng(seed)
    turns = rng.normal(size=(100, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    return Movement("any", 50.0, rng.normal(size=(100, 12)), rng.normal(size=(100, 12)), turns, CLIPS)


def written(folder: Path, text: str) -> Path:
    (folder / "made.toml").write_text('name = "made"\n' + text)
    return folder / "made.toml"


def test_training_and_the_controller_show_the_same_frames():
    """The table of successors beside the controller's clock, from the start of every clip. Control: a table in which
    the last frame of a loop is shown too is one step late."""
    one = movement()
    naive = one.successor.copy()
    naive[38], naive[39] = 39, 0
    late = 0
    for index, clip in enumerate(CLIPS):
        playback = one.begin()._replace(clip=index)
        frame = wrong = clip.start
        for step in range(200):
            playback, shown = one.at(playback, step / 50.0)
            assert frame == shown
            late += wrong != shown
            frame, wrong = one.successor[frame], naive[wrong]
    assert late > 100


def test_a_clip_may_follow_where_it_begins():
    angles = np.zeros((100, 12))
    angles[70:] = np.linspace(0.0, 1.0, 30)[:, None]
    one = Movement("any", 50.0, angles, 0 * angles, np.tile([1.0, 0, 0, 0], (100, 1)), CLIPS)
    assert one.joins[38].tolist() == [True, True, True] and one.joins[99].tolist() == [False, False, False]
    assert one.joins[72].tolist() == [True] * 3 and not one.joins[75].any(), "0.07 rad away, and 0.17"


def test_numpy_and_jax_show_the_same():
    one, rng = movement(), np.random.default_rng(1)
    frames, turn = rng.integers(0, 100, 20), rng.uniform(-3, 3, 20)
    orientation = product(about_z(turn), one.anchor_quat_wxyz[frames[::-1]])
    seen = one.anchor(frames, orientation, turn)
    mine = one.anchor(jnp.asarray(frames), jnp.asarray(orientation, jnp.float32), jnp.asarray(turn, jnp.float32))
    np.testing.assert_allclose(mine, seen, atol=2e-6)
    np.testing.assert_allclose(one.command(jnp.asarray(frames)), one.command(frames), atol=1e-6)
    by_hand = np.einsum("nji,njk->nik", rotation_of(orientation), rotation_of(one.orientation(frames, turn)))
    np.testing.assert_allclose(seen, by_hand[:, :, :2].reshape(20, 6), atol=1e-12)
    same = seen_from(orientation, orientation)
    np.testing.assert_allclose(same, np.tile([1.0, 0, 0, 1, 0, 0], (20, 1)), atol=1e-12)


def frames_of(one: design.Design) -> np.ndarray:
    """(T, legs, 3) m: where MuJoCo has the feet in the world."""
    legs = Legs(ROBOT, MODEL)
    feet = np.array([legs.feet(angles) for angles in one.movement.joint_pos])
    return one.base[:, None] + np.einsum("tij,tlj->tli", rotation_of(one.movement.anchor_quat_wxyz), feet)


def test_the_feet_stay_where_they_stand_while_the_trunk_moves(tmp_path):
    """And a lifted one goes where it is told; as it stands, joints are at their defaults. Lengths in hip heights."""
    keys = """[[clips]]
name = "lean"
keys = [{ seconds = 0.0 },
  { seconds = 0.5, left = 0.1, up = -0.1, pitch = 5.0, yaw = 8.0, roll = 4.0, feet.front-left = { up = 0.15 } },
  { seconds = 1.0 }]"""
    one = design.read(written(tmp_path, keys), ROBOT, MODEL)
    feet, lifted = frames_of(one), [name.startswith("front_l") for name in ROBOT.leg_names].index(True)
    others = np.delete(feet, lifted, axis=1)
    assert np.abs(others - others[0]).max() < 2e-6
    assert feet[25, lifted, 2] - feet[0, lifted, 2] == pytest.approx(0.15 * ROBOT.hip_height, abs=2e-6)
    assert np.allclose(one.movement.joint_pos[[0, -1]], ROBOT.default_pose, atol=1e-6)
    moved = one.base[25] - one.base[0]
    np.testing.assert_allclose(moved, ROBOT.hip_height * np.array([0.0, 0.1, -0.1]), atol=1e-9)
    assert np.degrees(yaw_of(one.movement.anchor_quat_wxyz[25])) == pytest.approx(8.0, abs=1e-6)
    lowest = feet[:, :, 2].min() - MODEL.geom(ROBOT.foot_geoms[0]).size[0]
    assert abs(lowest) < 2e-6, "the feet are on the ground"
    np.testing.assert_allclose(heights(one.movement, ROBOT, MODEL), one.base[:, 2], atol=2e-6)


def test_it_rests_at_its_keys_ends_and_overshoots_nowhere(tmp_path):
    keys = '[[clips]]\nname = "x"\nkeys = [{ seconds = 0.0 }, { seconds = 0.4, up = -0.2 }, { seconds = 2.0 }]'
    one = design.read(written(tmp_path, keys), ROBOT, MODEL)
    height = (one.base[:, 2] - one.base[0, 2]) / ROBOT.hip_height
    assert height.min() == pytest.approx(-0.2, abs=1e-9) and height.max() == pytest.approx(0.0, abs=1e-12)
    speed = np.abs(np.diff(height))
    assert speed[0] < 0.2 * speed.max() and speed[-1] < 0.2 * speed.max()
    assert len(height) == 101 and np.abs(one.movement.joint_vel[[0, -1]]).max() < 0.5


@pytest.mark.parametrize("path", list(design.places()), ids=lambda path: path.stem)
def test_walkies_own_designs_fit_robots_of_any_size(path):
    for name in ("pupper", "go"):
        robot = get_robot(name)
        model = load_model(robot, visuals=False)
        one = load(MotionConfig(file=path.stem), robot, model)
        low, high = np.array(robot.lower_limits), np.array(robot.upper_limits)
        assert (one.movement.joint_pos >= low - 1e-9).all() and (one.movement.joint_pos <= high + 1e-9).all()
        assert np.abs(one.movement.joint_vel).max() < 10.0
        assert one.movement.joins[0].any() and one.movement.clips[0].loop, "it begins as the robot stands"


GOOD = '[[clips]]\nname = "x"\nkeys = [{ seconds = 0.0 }, { seconds = 1.0 }]\n'
BAD = {
    "no clips": ("", "at least one"),
    "an unknown number": (GOOD.replace("1.0 }", "1.0, sideways = 2 }"), "sideways.* is unknown"),
    "an unknown foot": (GOOD.replace("1.0 }", "1.0, feet.tail = { up = 0.1 } }"), "no foot of pupper is .*tail"),
    "one key": (GOOD.replace(", { seconds = 1.0 }", ""), "at least two"),
    "no beginning": (GOOD.replace("0.0", "0.5"), "expected 0 and then more"),
    "back in time": (GOOD.replace("1.0 }", "1.0 }, { seconds = 0.7 }"), "expected 0 and then more"),
    "a word": (GOOD.replace("1.0 }", '1.0, up = "high" }'), "up: got .*high"),
    "not a number": (GOOD.replace("1.0 }", "1.0, up = nan }"), "up: got nan"),
    "out of reach": (GOOD.replace("1.0 }", "1.0, up = 3.0 }"), "cannot bring its foot"),
    "two of a name": (GOOD + GOOD, "same name"),
    "nobody follows": (GOOD.replace('"x"', '"x"\nnext = "y"'), "next is .*y"),
    "a loop that jumps": (GOOD.replace('"x"', '"x"\nloop = true').replace("1.0 }", "1.0, up = -0.1 }"), "another pose"),
    "a jump to the next": (
        GOOD.replace('"x"', '"x"\nnext = "y"').replace("1.0 }", "1.0, up = -0.1 }") + GOOD.replace('"x"', '"y"'),
        "ends in another pose",
    ),
    "hours": (GOOD.replace("1.0", "7200.0"), "to 120"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_design_is_said(case, tmp_path):
    text, said = BAD[case]
    with pytest.raises(UserError, match=said):
        design.read(written(tmp_path, text), ROBOT, MODEL)


def test_the_same_design_without_the_mistake_is_read(tmp_path):
    """Control of the test above."""
    assert design.read(written(tmp_path, GOOD), ROBOT, MODEL).movement.names == ["x"]
    with pytest.raises(UserError, match="expected one of bow, dance, sit, wave"):
        load(MotionConfig(file="cartwheel"), ROBOT, MODEL)


def test_feet_are_found_by_where_they_are():
    six = get_robot("hexapod")
    stance = design.Stance(six, load_model(six, visuals=False))
    assert [len(stance.chosen(name, "")) for name in ("front", "middle-left", "right", "rear-right")] == [2, 1, 3, 1]
    four = design.Stance(ROBOT, MODEL)
    names = [ROBOT.leg_names[int(four.chosen(name, "")[0])] for name in ("front-right", "left-rear")]
    assert names == ["front_r", "back_l"]


def test_the_courses_file_holds_the_same_movement():
    """Velocities of the bodies are differences of their places; nothing is pickled."""
    import io

    one = load(MotionConfig(file="bow"), ROBOT, MODEL)
    file = np.load(io.BytesIO(packed(one, ROBOT, MODEL)), allow_pickle=False)
    frames, bodies = len(one.base), MODEL.nbody - 1
    assert file["body_pos_w"].shape == (frames, bodies, 3) and file["joint_pos"].shape == (frames, 12)
    np.testing.assert_array_equal(file["body_pos_w"][:, 0], one.base)
    assert file["clip_names"].tolist() == one.movement.names and file["clip_nexts"].tolist() == ["", "stand"]
    moved = np.diff(file["body_pos_w"], axis=0) * 50.0
    middle = 0.5 * (file["body_lin_vel_w"][1:] + file["body_lin_vel_w"][:-1])
    inside = np.ones(frames - 1, bool)
    inside[[clip.end - 1 for clip in one.movement.clips[:-1]]] = False
    assert np.abs(moved - middle)[inside].max() < 0.02
    assert np.abs(file["body_ang_vel_w"]).max() < 10.0


def test_a_steady_turn_has_a_steady_speed():
    angles = np.linspace(0.0, 1.0, 51)
    turns = np.stack([about_z(angles)] * 2, axis=1)
    np.testing.assert_allclose(angular_velocity(turns, 50.0), np.tile([0.0, 0.0, 1.0], (51, 2, 1)), atol=1e-9)
