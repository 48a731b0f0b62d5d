"""Messages find their control steps whatever the recorder lost, doubled or received late."""

from dataclasses import replace

import numpy as np
import pytest

from pupper_frame import SLICES
from walkies.deploy.excite import excitation
from walkies.deploy.policy_file import Layer
from walkies.deploy.recordings.align import RESTART, align, targets
from walkies.deploy.recordings.logs import Messages, Recording
from walkies.errors import UserError
from walkies.robots import get_robot

PUPPER = get_robot("pupper")
PERIOD = 10 / 520


def policy_with(history):
    one = excitation(PUPPER)
    layer = Layer(one.layers[0].weights[: 36 * history], one.layers[0].bias, "tanh")
    return replace(one, observation_history=history, layers=(layer,))


def perfect(history=3, steps=200, seed=0, fade=40):
    """(policy, recording, frames (K, 36), applied (K, 12)) of a controller with random sensors, received at once."""
    rng = np.random.default_rng(seed)
    policy = policy_with(history)
    frame = rng.normal(size=(steps, 36)).astype(np.float32)
    frame[:, SLICES["last_action"]] = 0.0
    buffer = np.zeros((history, 36), np.float32)
    seen, output, applied = [], [], []
    for k in range(steps):
        if k:
            frame[k, SLICES["last_action"]] = applied[-1]
        buffer = np.concatenate([frame[k][None], buffer[:-1]])
        seen.append(buffer.ravel())
        output.append(policy.act(seen[-1][None])[0])
        applied.append(np.float32(min(k / fade, 1.0)) * output[-1])
    time = 50.0 + PERIOD * np.arange(steps)
    command = np.clip(
        np.array(applied) * policy.action_scale + policy.default_joint_pos,
        policy.joint_lower_limits,
        policy.joint_upper_limits,
    )
    recording = Recording(*(Messages(time, np.array(v, float)) for v in (seen, output, command)))
    return policy, recording, frame.astype(float), np.array(applied, float)


def lose(recording, rng, share=0.1, jitter=0.006):
    """Each topic loses its own messages; the first observation stays, so that steps count from it."""

    def one(messages, first):
        kept = rng.random(len(messages.time)) >= share
        kept[0] |= first
        late = np.maximum.accumulate(messages.time + rng.exponential(jitter, len(messages.time)))
        return Messages(late[kept], messages.values[kept])

    return Recording(*(one(m, i == 0) for i, m in enumerate(recording)))


@pytest.mark.parametrize("history", [1, 2, 3])
def test_perfect_recording(history):
    policy, recording, frame, applied = perfect(history)
    log = align(recording, policy, PUPPER)
    assert log.period == pytest.approx(PERIOD, rel=1e-6)
    np.testing.assert_allclose(log.frame, frame, atol=1e-7)
    np.testing.assert_allclose(log.applied[:-1], applied[:-1], atol=1e-7)
    np.testing.assert_allclose(log.target[:-1], targets(applied, policy, PUPPER)[:-1], atol=1e-7)
    np.testing.assert_allclose(log.output[1:-1], recording.policy_output.values[1:-1], atol=1e-7)
    assert log.gaps == 0 and log.recovered == 0
    assert np.isnan(log.output[[0, -1]]).all(), "what was faded to zero, or not yet seen to be applied, has no step"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("history", [1, 3])
def test_lost_and_late_messages(history, seed):
    """Every message is at its step; with three frames each, nearly all lost ones are found in their successors."""
    policy, recording, frame, applied = perfect(history, steps=400, seed=seed)
    jitter = 0.006 if history == 3 else 0.002  # isolated messages have nothing but their time
    log = align(lose(recording, np.random.default_rng(seed), jitter=jitter), policy, PUPPER)
    share = sum(run.stop - run.start for run in log.runs(8)) / 400
    assert share > (0.95 if history == 3 else 0.4)
    for run in log.runs(8):
        np.testing.assert_allclose(log.frame[run], frame[run], atol=1e-7)
        np.testing.assert_allclose(log.applied[run], applied[run], atol=1e-7)
        answered = np.isfinite(log.output[run]).all(axis=1)
        np.testing.assert_allclose(log.output[run][answered], recording[1].values[run][answered], atol=1e-7)
    assert np.isfinite(log.output).all(axis=1).mean() > (0.85 if history == 3 else 0.7)
    assert abs(log.period - PERIOD) < 2e-5


@pytest.mark.parametrize("history", [1, 3])
def test_blackout_is_counted_by_time(history):
    policy, recording, frame, _ = perfect(history)
    dark = Recording(
        *(Messages(np.delete(m.time, np.s_[80:117]), np.delete(m.values, np.s_[80:117], 0)) for m in recording)
    )
    log = align(dark, policy, PUPPER)
    assert len(log.frame) == 200 and log.gaps == 1
    missing = np.flatnonzero(~np.isfinite(log.frame).all(axis=1))
    np.testing.assert_array_equal(missing, np.arange(80, 117 - (history - 1)))
    known = np.isfinite(log.frame).all(axis=1)
    np.testing.assert_allclose(log.frame[known], frame[known], atol=1e-7)
    assert [(r.start, r.stop) for r in log.runs()] == [(0, 79), (117 - (history - 1), 199)]


def test_another_life_is_not_this_ones_past():
    """After a re-activation the buffer still holds the last life's frames; they are not the steps before."""
    policy, recording, _, _ = perfect(3)
    pause = (RESTART + 30) * PERIOD
    again = Recording(
        *(Messages(np.append(m.time, m.time + 200 * PERIOD + pause), np.tile(m.values, (2, 1))) for m in recording)
    )
    log = align(again, policy, PUPPER)
    first = 200 + RESTART + 30
    assert np.isnan(log.frame[200:first]).all() and np.isfinite(log.frame[first:]).all()


def test_doubled_messages_count_once():
    policy, recording, frame, _ = perfect(2)
    twice = np.sort(np.append(np.arange(200), [50, 51, 120]))
    observation = recording.observation
    doubled = Messages(observation.time[twice] + 0.001 * (np.diff(twice, prepend=-1) == 0), observation.values[twice])
    log = align(recording._replace(observation=doubled), policy, PUPPER)
    np.testing.assert_allclose(log.frame, frame, atol=1e-7)


def damaged(recording, rng):
    """One topic with a wrong value or time, times in another unit, most of its messages lost, or out of order."""
    which = rng.integers(3)
    time, values = recording[which].time.copy(), recording[which].values.copy()
    row, wrong = rng.integers(len(time)), rng.choice([1e30, -3.4e38, 100.0, 0.0, 1e-30])
    times = rng.choice([0.0, 1e300, -1e300, 1e18, 5e-324, 52.0])
    match rng.integers(8):
        case 0:
            values[row, rng.integers(values.shape[1])] = wrong
        case 1:
            values[:, rng.integers(values.shape[1])] = wrong
        case 2:
            values[:] = wrong
        case 3:
            time[row] = times
        case 4:
            time[:] = times
        case 5:
            time *= rng.choice([1e-3, 1e9, 0.5, 0.0, -1.0])
        case 6:
            kept = rng.random(len(time)) < rng.choice([0.05, 0.5])
            time, values = np.append(time[0], time[kept]), np.append(values[:1], values[kept], axis=0)
        case 7:
            values = rng.permutation(values)
    order = np.argsort(time, kind="stable")
    return Recording(*(Messages(time[order], values[order]) if i == which else m for i, m in enumerate(recording)))


@pytest.mark.parametrize("history", [1, 3])
def test_damaged_recordings_are_aligned_or_refused_in_one_line(history, recwarn):
    """Never an exception of another kind, a warning, or an array as long as a wrong time is far."""
    policy, recording, _, _ = perfect(history, steps=60)
    rng, outcomes = np.random.default_rng(0), {"aligned": 0, "refused": 0}
    for _ in range(100):
        try:
            log = align(damaged(recording, rng), policy, PUPPER)
            assert len(log.frame) <= 10 * log.received and 0.012 < log.period < 0.03
            outcomes["aligned"] += 1
        except UserError as error:
            assert str(error).isprintable()
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10, outcomes
    assert not recwarn.list


def test_what_the_controller_clamps_and_when_it_acts_is_known():
    """Each bound, from within and from beyond."""
    policy, recording, _, _ = perfect(3)
    messages = recording.observation
    for largest, good in ((100.0, True), (101.0, False)):
        values = messages.values.copy()
        values[-1, 0] = largest
        changed = recording._replace(observation=Messages(messages.time, values))
        if good:
            align(changed, policy, PUPPER)
        else:
            with pytest.raises(UserError, match="holds 101, which the controller would have clamped to 100"):
                align(changed, policy, PUPPER)
    for span, good in ((9e6, "every"), (1.1e7, "expected seconds")):
        time = np.linspace(0, span, 200)
        with pytest.raises(UserError, match=good):
            align(recording._replace(observation=Messages(time, messages.values)), policy, PUPPER)
    for pause, good in ((5 * 200 * PERIOD, True), (11 * 200 * PERIOD, False)):
        lost = slice(100, 105)  # their neighbours have no frame in common
        parted = Recording(
            *(
                Messages(np.delete(np.where(m.time > 52, m.time + pause, m.time), lost), np.delete(m.values, lost, 0))
                for m in recording
            )
        )
        if good:
            assert len(align(parted, policy, PUPPER).frame) > 1000
        else:
            with pytest.raises(UserError, match="several recordings in one"):
                align(parted, policy, PUPPER)


def test_a_clock_that_is_set_during_a_recording_is_no_gap():
    """A robot without a clock of its own learns the time from the network: hours in one step, contents unbroken."""
    policy, recording, frame, _ = perfect(3)
    late = Recording(*(Messages(m.time + 7200 * (m.time > 53.5), m.values) for m in recording))
    log = align(late, policy, PUPPER)
    np.testing.assert_allclose(log.frame, frame, atol=1e-7)
    assert log.period == pytest.approx(PERIOD, rel=0.01)


def test_wrong_policy_or_rate_is_refused():
    policy, recording, _, _ = perfect(3)
    with pytest.raises(UserError, match="108 numbers, the policy takes 36"):
        align(recording, policy_with(1), PUPPER)
    with pytest.raises(UserError, match=r"every 192\.3 ms"):
        align(Recording(*(Messages(m.time * 10, m.values) for m in recording)), policy, PUPPER)
    with pytest.raises(UserError, match="at least 50"):
        align(Recording(*(Messages(m.time[:20], m.values[:20]) for m in recording)), policy, PUPPER)
    with pytest.raises(UserError, match="policy_output: got messages of 11"):
        align(
            recording._replace(policy_output=Messages(recording[1].time, recording[1].values[:, :11])), policy, PUPPER
        )
