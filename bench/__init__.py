"""The benchmark suite around `ehrcore`; `load` and `load_all` open its runs for pandas."""

from bench.joining import Runs, load_all
from bench.loading import Frames, Run, load

__all__ = ["Frames", "Run", "Runs", "load", "load_all"]
