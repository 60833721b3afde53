"""Faults on purpose, in virtual time: what goes wrong, when, to whom, and what must hold all the same."""
