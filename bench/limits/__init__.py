"""The project's own speed limits: each part is measured beside the limit that it is compared with."""

from bench.limits.base import Finding, Metric, Unavailable
from bench.limits.table import PARTS, find_part

__all__ = ["PARTS", "Finding", "Metric", "Unavailable", "find_part"]
