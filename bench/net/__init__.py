"""Load on a real network: a generator in a process of its own, and what all processes used meanwhile."""
