"""Robots read off their files: what a robot is made of, how it stands, and a folder of its own."""
