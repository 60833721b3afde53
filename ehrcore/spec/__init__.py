"""Definitions as their sources print them: slow, readable, the oracle of the fast paths."""
