"""Reinforcement learning by the policy gradient: policies, weights, objectives, steps, and the recipes they make."""
