"""Engine `paired`: one fresh process of the paired engine, with a hash seed of its own, per case.

Settings: ``suite`` (groups to measure) with its ``options``, ``process`` (its number), ``instructions`` (what every row
repeats: which of the processor's instructions the libraries may use) and ``environment`` (variables that say so).
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

import bench
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments.base import Case, Row

#: More than the longest profile takes; a process that needs longer has stopped.
TIMEOUT_S: Final = 1_800
#: Of Python's own variables only those that say where packages lie are inherited: others change how fast code runs.
_PLACES: Final = ("PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONUSERBASE")


def run_paired(context: Context, case: Case) -> list[Row]:
    """The rows of the process; `TimeoutError` and `BenchError` with what it said last if it fails."""
    settings, plan = case.settings, context.scenario.paired
    # The same for all sets of instructions: they are measured in the same orders.
    seed = f"{context.scenario.seed}|{settings['suite']}|process {settings['process']}"
    job = {
        "suite": settings["suite"],
        "options": dict(settings["options"]),
        # A suite of few groups can afford more blocks.
        "plan": {"blocks": settings.get("blocks", plan.blocks), "epoch_ns": round(plan.epoch_ms * 1e6), "seed": seed},
        "limits": msgspec.to_builtins(context.scenario.noise),
    }
    environment = {**plain_environment(), "PYTHONHASHSEED": str(hash_seed(seed)), **settings.get("environment", {})}
    rows = _run_worker(job, environment)
    shared = {"process": settings["process"], "instructions": settings["instructions"]}
    return [{**shared, **row} for row in rows]


def hash_seed(label: str) -> int:
    """The value of ``PYTHONHASHSEED``, from a label: 0 to 2^32 - 1."""
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:4])


def plain_environment() -> dict[str, str]:
    """This process's environment without what changes measurements, with the packages importable as they are here."""
    kept = {key: value for key, value in os.environ.items() if not _changes_speed(key)}
    root = str(Path(bench.__file__).parents[1])
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))}


def _changes_speed(key: str) -> bool:
    is_mask = key.startswith("OPENSSL_") and key.endswith("cap")
    return is_mask or (key.startswith("PYTHON") and key not in _PLACES)


def _run_worker(job: Mapping[str, Any], environment: Mapping[str, str]) -> list[Row]:
    try:
        done = subprocess.run(
            # -P: a file that happens to lie in the current directory is not taken for a module.
            [sys.executable, "-P", "-m", "bench.measure.worker"],
            input=json.dumps(job),
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the measuring process took more than {TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise BenchError(f"the measuring process ended with status {done.returncode}: {said[-1]}")
    return [json.loads(line) for line in done.stdout.splitlines()]
