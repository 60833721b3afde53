"""Unit costs of this machine, measured in the run that simulates with them.

Operations are measured by the paired engine: those that are compared (a hash suite with another) in one group, so that
a slow moment hits both alike.  The base of each group is measured twice in the same blocks: a cost model made of the
second measurements prices the A/A control.  The median epoch counts; the spread of epochs is published beside it.
"""

import sqlite3
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.engines.load import sample_block
from bench.measure.paired import CONTROL, Clock, Group, PairedMeasurement, Plan, repeat_call
from ehrcore.codec import decode, encode
from ehrcore.consensus.work import grind
from ehrcore.drive.cost import CostModel
from ehrcore.errors import ParameterError
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.messages import Endorse, Finalised
from ehrcore.signing import CURVES, SCHEMES, derive_secret, find_scheme

if TYPE_CHECKING:
    from bench.scenario import Scenario

#: The suite that the others are compared with.
BASE_SUITE: Final = "sha256"
DEFAULT_LIBRARY: Final = "cryptography"
_BLOCKS: Final = 6
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
    """A cost model per hash suite, the base suite's measured a second time (``control``), and what they are made of.

    They are for the scenario's curve; ``signing`` holds the nanoseconds to sign and to verify by ``curve/library``.
    """

    costs: dict[str, CostModel]
    control: CostModel
    measured: tuple[Measured, ...]
    signing: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, suite: str, curve: str) -> CostModel:
        """The cost model of a suite with the library that stands for a curve: no operation is measured twice for it."""
        held = self.costs[suite]
        found = self.signing.get(f"{curve}/{self.library(curve)}")
        return held if found is None else replace(held, sign_ns=found[0], verify_ns=found[1])

    def library(self, curve: str) -> str:
        """What stands for a curve: what ``costs`` hold for theirs; libsecp256k1 where it can, OpenSSL being far slower.

        Real nodes sign with OpenSSL, so the scenario's own curve stays with it.
        """
        first = next(iter(self.signing), "")
        has_better = f"{curve}/coincurve" in self.signing and not first.startswith(f"{curve}/")
        return "coincurve" if has_better else DEFAULT_LIBRARY


def measure_operations(groups: list[Group], seed: str, clock: Clock = time.perf_counter_ns) -> dict[str, Measured]:
    """The time of each variant (ns per call) by its name; that of each base's control ends in `CONTROL`."""
    measurement = PairedMeasurement(groups, Plan(_BLOCKS, seed=seed), clock)
    measurement.calibrate()
    epochs: dict[str, list[float]] = {}
    bases = {group.name: group.base for group in groups}
    for block in (block for blocks in measurement.rounds() for block in blocks):
        for variant in block.order:
            name = second_name(bases[block.group]) if variant == CONTROL else variant
            times = (block.forward_ns[variant], block.backward_ns[variant])
            epochs.setdefault(name, []).extend(time_ns / block.loops for time_ns in times)
    return {name: _summarise(name, values) for name, values in sorted(epochs.items())}


def second_name(operation: str) -> str:
    """What the second measurement of an operation is called."""
    return f"{operation} {CONTROL}"


def _summarise(name: str, values: list[float]) -> Measured:
    low, median, high = statistics.quantiles(values, n=4)
    return Measured(name, median, (high - low) / median)


def calibrate(scenario: "Scenario", folder: Path, label: str = "") -> Calibration:
    """Measure everything that a `CostModel` needs for each suite of the scenario; commits go to ``folder``."""
    plan = scenario.variants
    suites = sorted({*plan.suites, *plan.factors.suites} - {BASE_SUITE})
    schemes = _list_schemes(scenario)
    groups = [*_signing(schemes), *_messages(), *_hashing([BASE_SUITE, *suites])]
    measured = measure_operations(groups, f"{scenario.seed}|calibration|{label}")
    measured["persist"] = _time_commits(folder)
    times = {name: item.median_ns for name, item in measured.items()}
    again = times | {name: times[second] for name in times if (second := second_name(name)) in times}
    costs = {name: _build_model(name, times) for name in (BASE_SUITE, *suites)}
    signing = {name: (round(times[sign]), round(times[verify])) for name, (sign, verify) in schemes.items()}
    return Calibration(costs, _build_model(BASE_SUITE, again), tuple(measured.values()), signing)


def _build_model(suite: str, times_ns: Mapping[str, float]) -> CostModel:
    """The line through the small and the large size; none below 0, which noise can make of a difference."""
    small, large = len(encode(_endorse())), len(encode(sample_block()))
    pair_small, pair_large = times_ns["message-small"] / 2, times_ns["message-large"] / 2
    per_message_byte = max(pair_large - pair_small, 0) / (large - small)
    per_byte = max(times_ns[f"{suite}-large"] - times_ns[f"{suite}-small"], 0) / (_LARGE - _SMALL)
    return CostModel(
        sign_ns=round(times_ns["sign"]),
        verify_ns=round(times_ns["verify"]),
        hash_ns=max(round(times_ns[f"{suite}-small"] - per_byte * _SMALL), 0),
        hash_byte_ps=round(per_byte * 1_000),
        message_ns=max(round(pair_small - per_message_byte * small), 0),
        message_byte_ps=round(per_message_byte * 1_000),
        persist_ns=round(times_ns["persist"]),
        grind_ns=max(round(times_ns[f"{suite}-grind"] / _GRIND_TRIES), 1),
    )


def _group(name: str, operations: Mapping[str, tuple[Any, ...]]) -> Group:
    """A group of calls, each a function with its arguments."""
    return Group(name, {key: partial(repeat_call, *operation) for key, operation in operations.items()})


def _list_schemes(scenario: "Scenario") -> dict[str, tuple[str, str]]:
    """Every ``curve/library`` to measure, that of the scenario's curve first, and what its operations are called."""
    curves = dict.fromkeys((scenario.curve, *scenario.variants.factors.curves))
    names = [f"{curve}/{DEFAULT_LIBRARY}" for curve in curves]
    names += [name for curve in curves if (name := f"{curve}/coincurve") in SCHEMES and _is_installed(name)]
    operations = {name: (f"sign {name}", f"verify {name}") for name in names}
    return operations | {names[0]: ("sign", "verify")}


def _is_installed(scheme: str) -> bool:
    try:
        find_scheme(scheme)
    except ParameterError:
        return False
    return True


def _signing(schemes: Mapping[str, tuple[str, str]]) -> list[Group]:
    """Two groups per scheme: beside one that is ten times as fast, each epoch of the slow one would be ten times it."""
    groups = []
    for name, (sign, verify) in schemes.items():
        scheme = find_scheme(name)
        key = scheme.private_key(derive_secret(CURVES[name.partition("/")[0]], "calibration"))
        public, digest = scheme.verifying_key(key.public_bytes), bytes(range(32))
        groups.append(_group(sign, {sign: (key.sign, digest)}))
        groups.append(_group(verify, {verify: (public.verify, digest, key.sign(digest))}))
    return groups


def _hashing(names: Iterable[str]) -> list[Group]:
    """A group per kind of work, so that suites are compared within it."""
    kinds: dict[str, dict[str, tuple[Any, ...]]] = {"small": {}, "large": {}, "grind": {}}
    for name in names:
        suite = find_suite(name)
        hard = msgspec.structs.replace(sample_block(suite=name).block.header, difficulty=1 << 61)
        kinds["small"][f"{name}-small"] = (suite.hash, bytes(_SMALL))
        kinds["large"][f"{name}-large"] = (suite.hash, bytes(_LARGE))
        kinds["grind"][f"{name}-grind"] = (grind, suite, hard, 0, _GRIND_TRIES)
    return [_group(kind, operations) for kind, operations in kinds.items()]


def _endorse() -> Endorse:
    endorsed = sample_block().block.transactions[0]
    return Endorse(endorsed.transaction, Reason.ACCEPTED, endorsed.endorsements[0])


def _messages() -> list[Group]:
    """Encoding plus decoding of a small message and of a full block, the smallest and the largest on the wire."""
    small, large = _endorse(), sample_block()
    return [
        _group("message-small", {"message-small": (lambda: decode(encode(small), Endorse),)}),
        _group("message-large", {"message-large": (lambda: decode(encode(large), Finalised),)}),
    ]


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
