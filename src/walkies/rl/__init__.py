"""Policy-gradient reinforcement learning: policies, advantages, objectives, updates, and recipes made of them."""
