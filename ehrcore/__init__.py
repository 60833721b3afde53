"""A reference implementation of a permissioned health-record chain."""

__version__ = "0.1.0"
