"""Functions for numpy and JAX arrays alike, so that training and examination run the same code."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
"""numpy.ndarray or jax.Array"""


def namespace(array: Array) -> Any:
    """The array library of `array`: numpy for numpy arrays, jax.numpy for everything JAX traces."""
    if isinstance(array, np.ndarray):
        return np
    import jax.numpy

    return jax.numpy
