"""Commands: ranges, exact zeros, and how often they change."""

import jax
import numpy as np

from walkies.tasks.commands import DRAWS, Commands, change_command, draw_command

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
