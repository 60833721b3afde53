"""The benchmark suite around `ehrcore`; `load` and `load_all` open its runs for pandas."""

from bench.loading import Frames, Run, Runs, load, load_all

__all__ = ["Frames", "Run", "Runs", "load", "load_all"]
