"""The project's own speed limits: each part is measured beside the limit that it is compared with."""

from bench.limits.base import Demand, Finding, Metric, Part, Unavailable
from bench.limits.table import PARTS, find_part

__all__ = ["PARTS", "Demand", "Finding", "Metric", "Part", "Unavailable", "find_part"]
