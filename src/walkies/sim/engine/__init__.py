"""What the native engine makes of an MJCF model: whether the robot fits, and its numbers in the engine's order."""
