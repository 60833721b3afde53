"""Engine `energy`: one repeat of all operations in windows of time, there and back, with idle windows around them.

Every operation has a window in an order drawn from the seed, then one in reverse, so that whatever drifts steadily
cancels.  Idle windows stand before, between and after.  Processor time is that of the thread that works: a progress bar
in another one costs nothing here.
"""

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from bench.engines.base import Context, judge_noise
from bench.experiments.base import Case, Row
from bench.experiments.energy import BASES
from bench.measure.energy import Meter, Window, attribute, compute_co2_g
from bench.measure.noise import NoiseWatch
from bench.measure.paired import Runner, repeat_call
from ehrcore.errors import EhrError
from ehrcore.hashing import find_suite
from ehrcore.signing import CURVES, derive_secret, find_scheme

if TYPE_CHECKING:
    from bench.scenario import Energy

#: The paper's block of fifteen transactions, in bytes.
BLOCK_BYTES: Final = 30_720
_CURVE: Final = "p256"
#: Work between two looks at the clock, in seconds.
_CHUNK_S: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Operation:
    """What is repeated in a window; a control is the base of its group once more, built anew."""

    group: str
    operation: str
    is_control: bool
    run: Runner

    def describe(self) -> Row:
        """The columns that name it."""
        return {"group": self.group, "operation": self.operation, "is_control": self.is_control}


#: An operation's place in a repeat and its calls, its window, and the idle windows before and after its pass.
Played = tuple[Row, Window, list[Window]]


def run_energy(context: Context, case: Case) -> list[Row]:
    """A row about the repeat and one per window; with the first repeat, one per operation that is missing here.

    Settings: ``repeat`` (its number), ``seconds`` (of a window).  If others took too much, all of its windows are void.
    """
    operations, missing = build_operations(context.scenario.hashes.suites)
    order = random.Random(f"{context.scenario.seed}|energy|{case.label}").sample(operations, len(operations))
    watch = NoiseWatch()
    played = play(Meter(cpu_clock=time.thread_time), order, float(case.settings["seconds"]))
    noise = watch.lap()
    status = judge_noise(context.scenario, noise)
    rows = [{**status, **case.settings, **row} for row in describe(played, context.scenario.energy)]
    about = {"kind": "repeat", **case.settings, **noise, "is_void": bool(status)}
    return [about, *rows, *(missing if case.settings["repeat"] == 0 else [])]


def describe(played: Sequence[Played], energy: "Energy") -> list[Row]:
    """A row per window with what its work took."""
    rows = []
    for place, window, around in played:
        use = asdict(attribute(window, around, energy))
        about = {"wall_s": window.wall_s, "package_j": window.joules}
        about |= {"energy_status": use.pop("status"), "energy_reason": use.pop("reason")}
        rows.append({"kind": "window", **place, **about, **use, "co2_g": compute_co2_g(use["joules_mid"], energy)})
    return rows


def build_operations(suites: Sequence[str]) -> tuple[list[Operation], list[Row]]:
    """Every operation and control, and a row for each suite whose package is not installed."""
    message, operations, missing = bytes(BLOCK_BYTES), [], []
    base = BASES["hash"]
    for name, is_control in [*((name, False) for name in dict.fromkeys((base, *suites))), (base, True)]:
        try:
            operations.append(Operation("hash", name, is_control, repeat_call(find_suite(name).hash, message)))
        except EhrError as error:
            skipped = {"status": "skipped", "reason": str(error), "kind": "window"}
            missing.append({**skipped, "group": "hash", "operation": name, "is_control": is_control})
    return operations + _sign_and_verify(), missing


def _sign_and_verify() -> list[Operation]:
    scheme, digest = find_scheme(f"{_CURVE}/cryptography"), bytes(range(32))
    operations = []
    for is_control in (False, True):
        key = scheme.private_key(derive_secret(CURVES[_CURVE], "energy"))
        operations.append(Operation("signature", BASES["signature"], is_control, repeat_call(key.sign, digest)))
    public, signature = scheme.verifying_key(key.public_bytes), key.sign(digest)
    verify = repeat_call(public.verify, digest, signature)
    return [*operations, Operation("signature", "verify", is_control=False, run=verify)]


def play(
    meter: Meter, order: Sequence[Operation], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> list[Played]:
    """A window of ``seconds`` for each operation in this order, then in reverse; ``clock`` counts seconds."""
    chunks = [count_chunk(operation.run, clock) for operation in order]
    turns = list(enumerate(order))
    played: list[Played] = []
    before = meter.rest(seconds)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for direction, turn in (("forward", turns), ("backward", turns[::-1])):
            found = [(place, *fill(meter, each.run, chunks[place], seconds, clock)) for place, each in turn]
            after = meter.rest(seconds)
            for place, calls, window in found:
                about = {"direction": direction, "place": place, **order[place].describe(), "calls": calls}
                played.append((about, window, [before, after]))
            before = after
    finally:
        if was_enabled:
            gc.enable()
    return played


def count_chunk(run: Runner, clock: Callable[[], float]) -> int:
    """Calls that take a thousandth of a second, found warm."""
    run(1)
    calls = 1
    while True:
        begin = clock()
        run(calls)
        if clock() - begin >= _CHUNK_S:
            return calls
        calls *= 2


def fill(meter: Meter, run: Runner, chunk: int, seconds: float, clock: Callable[[], float]) -> tuple[int, Window]:
    """Repeat the operation for at least so many seconds; its calls, and the window."""
    calls = 0

    def work() -> None:
        nonlocal calls
        end = clock() + seconds
        while clock() < end:
            run(chunk)
            calls += chunk

    window = meter.measure(work)
    return calls, window
