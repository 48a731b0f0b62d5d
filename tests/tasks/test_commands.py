"""Commands: ranges, exact zeros, and how often they change."""

import jax
import numpy as np

from walkies.tasks.commands import DRAWS, Commands, approach, change_command, draw_command

N = 40_000


def test_commands_fill_their_ranges_and_contain_exact_zeros():
    config = Commands(zero_probability=0.2, axis_probability=0.3)
    command = np.array(draw_command(jax.random.uniform(jax.random.key(0), (N, DRAWS)), config))
    limits = np.array([config.forward, config.sideways, config.yaw])
    assert (np.abs(command) <= limits).all() and (np.abs(command).max(0) > 0.99 * limits).all()
    zeros = (command == 0.0).sum(axis=1)
    assert abs((zeros == 3).mean() - 0.2) < 0.01
    assert abs((zeros == 2).mean() - 0.3) < 0.01
    alone = command[zeros == 2] != 0.0
    np.testing.assert_allclose(alone.mean(0), 1 / 3, atol=0.02)
    np.testing.assert_allclose(command.mean(0) / limits, 0.0, atol=0.02)


def test_commands_change_once_an_interval_on_average():
    config = Commands(interval=2.0)
    uniform = jax.random.uniform(jax.random.key(1), (N, 1 + DRAWS))
    old = np.full((N, 3), 7.0)
    command, changed = change_command(old, uniform, config, control_dt=0.02)
    assert abs(float(changed.mean()) - 0.01) < 0.002
    assert (np.array(command)[~np.array(changed)] == 7.0).all()
    assert (np.array(command)[np.array(changed)] != 7.0).all()


def test_the_rewarded_velocity_reaches_a_reversed_command_at_the_given_rate():
    config = Commands(acceleration=2.0, yaw_acceleration=6.0)
    command = np.array([[-0.75, 0.1, 2.0]])
    goal, path = np.array([[0.75, 0.1, -2.0]]), []
    for _ in range(60):
        goal = np.array(approach(goal, command, config, 0.02))
        path.append(goal[0])
    np.testing.assert_allclose(path[0], [0.71, 0.1, -1.88], rtol=1e-5)
    np.testing.assert_allclose(path[-1], command[0], rtol=1e-6)
    arrived = np.abs(np.array(path) - command).max(axis=1) < 1e-5
    assert arrived.argmax() + 1 in (38, 39), "1.5 m/s at 2 m/s² takes 0.75 s; the yaw rate is there before"
