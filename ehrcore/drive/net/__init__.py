"""Nodes as processes of the operating system that talk HTTP and keep real ledgers: the roles, driven for real."""
