"""An MJCF model in the native engine's form: whether the robot is supported, and its numbers in the engine's order."""
