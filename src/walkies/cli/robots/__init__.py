"""Robots on the command line: which one is meant, and the commands about them."""
