"""Start-up: how long the command line takes to show its help, beside an interpreter that does nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import bench
from bench.limits.base import MILLISECOND, Demand, Finding, Metric, Part, Unavailable, take_turns, wall_ns

_BLOCKS: Final = 9
_ROOT: Final = str(Path(bench.__file__).parent.parent)


def environment() -> dict[str, str]:
    """This process's environment, with byte code kept: without it, imports take two to four times as long."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    paths = [_ROOT, *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def start(*words: str) -> None:
    """Run the interpreter with ``words``; `Unavailable` with its last line if it fails."""
    done = subprocess.run([sys.executable, *words], env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"python {' '.join(words)}: {last}")


def measure(folder: Path) -> list[Finding]:
    """Milliseconds by the clock, byte code and file cache warm."""
    del folder
    for _ in range(2):
        start("-m", "bench", "--help")
    ours, peers = take_turns(
        _BLOCKS, lambda: wall_ns(lambda: start("-m", "bench", "--help")), lambda: wall_ns(lambda: start("-c", "pass"))
    )
    return [Finding.in_unit(MILLISECOND, ours, peers)]


PART: Final = Part((Metric("command line --help", "ms", "python -c pass", Demand("at most", 150, "value")),), measure)
