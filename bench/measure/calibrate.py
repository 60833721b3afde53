"""Unit costs of this machine, measured in the run that simulates with them.

Each operation is timed in epochs of at least 2 ms after a warm-up; the operations take turns, so a slow moment hits
all alike; the median epoch counts, and the spread of the epochs is published beside it.
"""

import gc
import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from bench.engines.load import sample_block
from ehrcore.codec import decode, encode
from ehrcore.consensus.work import grind
from ehrcore.drive.cost import CostModel
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.messages import Endorse, Finalised
from ehrcore.signing import CURVES, derive_secret, find_scheme

if TYPE_CHECKING:
    from bench.scenario import Scenario

_EPOCHS: Final = 11
_EPOCH_NS: Final = 2_000_000
_COMMITS: Final = 40
_SMALL, _LARGE = 64, 30_720
_GRIND_TRIES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Measured:
    """Median time of one operation over epochs, and the interquartile range as a share of it."""

    name: str
    median_ns: float
    spread: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A cost model per hash suite, and what they were made from."""

    costs: dict[str, CostModel]
    measured: tuple[Measured, ...]


def time_in_turns(operations: dict[str, Callable[[], object]]) -> dict[str, Measured]:
    """Time each operation (ns per call), epoch by epoch in turn; garbage collection is off meanwhile."""
    loops = {name: _count_loops(operation) for name, operation in operations.items()}
    epochs: dict[str, list[float]] = {name: [] for name in operations}
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(_EPOCHS):
            for name, operation in operations.items():
                epochs[name].append(_epoch(operation, loops[name]))
    finally:
        if was_enabled:
            gc.enable()
    return {name: _summarise(name, values) for name, values in epochs.items()}


def _epoch(operation: Callable[[], object], loops: int) -> float:
    begin = time.perf_counter_ns()
    for _ in range(loops):
        operation()
    return (time.perf_counter_ns() - begin) / loops


def _count_loops(operation: Callable[[], object]) -> int:
    """How many calls fill an epoch, found warm."""
    loops = 1
    while _epoch(operation, loops) * loops < _EPOCH_NS:
        loops *= 2
    return loops


def _summarise(name: str, values: list[float]) -> Measured:
    low, median, high = statistics.quantiles(values, n=4)
    return Measured(name, median, (high - low) / median)


def calibrate(scenario: "Scenario", folder: Path) -> Calibration:
    """Measure everything that a `CostModel` needs for each suite of the scenario; commits go to ``folder``."""
    suites = sorted({"sha256", *scenario.variants.suites})
    operations: dict[str, Callable[[], object]] = {
        **_signing(scenario.curve),
        **_messages(),
        **{key: value for name in suites for key, value in _hashing(name).items()},
    }
    measured = time_in_turns(operations)
    measured["persist"] = _time_commits(folder)
    value = {name: item.median_ns for name, item in measured.items()}
    small, large = len(encode(_endorse())), len(encode(sample_block()))
    pair_small, pair_large = value["message-small"] / 2, value["message-large"] / 2
    per_message_byte = max(pair_large - pair_small, 0) / (large - small)
    costs = {}
    # None below 0, which noise can make of a difference: time would run backwards.
    for name in suites:
        per_byte = max(value[f"{name}-large"] - value[f"{name}-small"], 0) / (_LARGE - _SMALL)
        costs[name] = CostModel(
            sign_ns=round(value["sign"]),
            verify_ns=round(value["verify"]),
            hash_ns=max(round(value[f"{name}-small"] - per_byte * _SMALL), 0),
            hash_byte_ps=round(per_byte * 1_000),
            message_ns=max(round(pair_small - per_message_byte * small), 0),
            message_byte_ps=round(per_message_byte * 1_000),
            persist_ns=round(value["persist"]),
            grind_ns=max(round(value[f"{name}-grind"] / _GRIND_TRIES), 1),
        )
    return Calibration(costs, tuple(measured.values()))


def _signing(curve: str) -> dict[str, Callable[[], object]]:
    scheme = find_scheme(f"{curve}/cryptography")
    key = scheme.private_key(derive_secret(CURVES[curve], "calibration"))
    public, digest = scheme.verifying_key(key.public_bytes), bytes(range(32))
    signature = key.sign(digest)
    return {"sign": lambda: key.sign(digest), "verify": lambda: public.verify(digest, signature)}


def _hashing(name: str) -> dict[str, Callable[[], object]]:
    suite, small, large = find_suite(name), bytes(_SMALL), bytes(_LARGE)
    header = sample_block(suite=name).block.header
    hard = msgspec.structs.replace(header, difficulty=1 << 61)
    return {
        f"{name}-small": lambda: suite.hash(small),
        f"{name}-large": lambda: suite.hash(large),
        f"{name}-grind": lambda: grind(suite, hard, 0, _GRIND_TRIES),
    }


def _endorse() -> Endorse:
    endorsed = sample_block().block.transactions[0]
    return Endorse(endorsed.transaction, Reason.ACCEPTED, endorsed.endorsements[0])


def _messages() -> dict[str, Callable[[], object]]:
    """Encoding plus decoding of a small message and of a full block, the smallest and the largest on the wire."""
    small, large = _endorse(), sample_block()
    return {
        "message-small": lambda: decode(encode(small), Endorse),
        "message-large": lambda: decode(encode(large), Finalised),
    }


def _time_commits(folder: Path) -> Measured:
    """Durable SQLite commits of one block each, where the run is kept."""
    path, content = folder / ".calibration.db", encode(sample_block())
    times = []
    try:
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE blocks (height INTEGER PRIMARY KEY, content BLOB)")
        for height in range(_COMMITS):
            begin = time.perf_counter_ns()
            with db:
                db.execute("INSERT INTO blocks VALUES (?, ?)", (height, content))
            times.append(float(time.perf_counter_ns() - begin))
        db.close()
    finally:
        for name in (path, *path.parent.glob(f"{path.name}-*")):
            name.unlink(missing_ok=True)
    return _summarise("persist", times)
