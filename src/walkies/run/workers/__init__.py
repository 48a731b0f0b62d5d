"""One training on several processes or machines: Ray starts, watches and restarts them; JAX computes on all of them."""
