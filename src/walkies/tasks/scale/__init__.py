"""A robot's own measures, and the numbers of tasks in them."""
