"""Small policies for the tests of the rehearsal."""

import numpy as np

from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.robots import get_robot

PUPPER = get_robot("pupper")


def policy_of(bias=0.0, weights=0.0, history=1, seed=0):
    """One layer: tanh(observation · random weights + bias); nothing hangs on the constant inputs."""
    matrix = weights * np.random.default_rng(seed).normal(size=(36 * history, 12))
    matrix.reshape(history, 36, 12)[:, 9:12] = 0.0
    layer = Layer(matrix, np.broadcast_to(bias, (12,)).astype(float), "tanh")
    limits = PUPPER.lower_limits, PUPPER.upper_limits
    return PolicyFile((layer,), history, 5.0, 0.25, (0.75,) * 12, PUPPER.default_pose, *limits, edition=2025)


STANDING = policy_of()
TOPPLING = policy_of(bias=[3.0, 0.0, 3.0, 3.0, 0.0, 3.0] * 2)
TWITCHING = policy_of(weights=0.1, history=2)
