"""Simulators on engines that are not MuJoCo's: the robot goes in as a URDF, and everything else as numbers."""
