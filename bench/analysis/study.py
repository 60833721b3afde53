"""How often the measuring engine is right: the real engine on synthetic machines, whose true ratios are known.

A synthetic machine is virtual time that only operations move, disturbed in the ways that real machines are.  On each
the same table is measured again and again: variants that cost what the base costs, 0.5 % and 3 % more, and ten times
as much.  How often intervals and verdicts are right is counted: those of the engine, and beside them those of simpler
ways on the same machine, which take the engine's blocks for independent witnesses or one variant after the other.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import NormalDist, fmean, median, variance
from typing import Any, Final

from bench.analysis.blocks import compute_log_ns
from bench.analysis.paired import FAMILY_ERROR, UNRESOLVED, VIOLATED, Estimate, compare, judge, judge_control
from bench.measure.paired import CONTROL, Group, PairedMeasurement, Plan, Runner, hold_heap

BASE: Final = "base"
SAME: Final = ("same", "same again")
SMALL, LARGE, TENFOLD = "+0.5 %", "+3 %", "tenfold"
#: Variant -> its true cost over the base's.
TRUTHS: Final[Mapping[str, float]] = {**dict.fromkeys(SAME, 1.0), SMALL: 1.005, LARGE: 1.03, TENFOLD: 10.0}
#: Ways to measure and to analyse: the engine's own, its blocks as independent witnesses, and what most tools do.
ENGINE, UNCLUSTERED, IN_TURN = "engine", "unclustered", "A, then B"
PROCESSES, BLOCKS_EACH = 14, 4
#: One call of the base: a few fill an epoch.
_CALL_NS: Final = 300_000.0
_CALLS: Final = 7


@dataclass(frozen=True, slots=True)
class Machine:
    """What a synthetic machine does to measurements; lengths of time are means, and 0 is what it does not do.

    ``layout`` and ``jitter`` are the spreads of the logarithms of factors with median 1: of one that a variant keeps
    for a whole process, as memory layout makes it, and of one that each epoch has of its own.  After ``calm_ms`` comes
    an interruption of ``interruption_ms``, exponential, or with Pareto's tail of the index ``tail`` (that is then its
    least length).  After ``alone_ms`` at full speed come ``shared_ms`` at half of it, as when a sibling shares the
    core.  ``drift`` is how much longer work takes once the machine is warm, which takes it a second or so.
    """

    name: str
    layout: float = 0.007
    jitter: float = 0.003
    calm_ms: float = 0.0
    interruption_ms: float = 0.0
    tail: float = 0.0
    alone_ms: float = 0.0
    shared_ms: float = 0.0
    drift: float = 0.0


#: By name, from quiet to all at once.
MACHINES: Final = {
    machine.name: machine
    for machine in (
        Machine("quiet"),
        Machine("skewed epochs", jitter=0.03),
        Machine("interruptions", calm_ms=10, interruption_ms=0.2),
        Machine("heavy tails", calm_ms=10, interruption_ms=0.05, tail=1.1),
        Machine("shared core", alone_ms=60, shared_ms=30),
        Machine("drift", drift=0.2),
        Machine("all at once", 0.01, 0.02, 10, 0.05, 1.1, 60, 30, 0.2),
    )
}


class VirtualProcess:
    """One process on a synthetic machine: a clock, and runners that move it."""

    def __init__(self, machine: Machine, seed: str) -> None:
        self._machine, self._chance = machine, random.Random(seed)
        self._now = 0.0
        self._calm = self._draw(machine.calm_ms)
        self._is_shared, self._until = False, self._draw(machine.alone_ms)

    def clock(self) -> int:
        return int(self._now)

    def build(self, cost_ns: float) -> Runner:
        """A runner whose calls take ``cost_ns`` where nothing disturbs them."""
        cost_ns *= math.exp(self._chance.gauss(0, self._machine.layout))
        return lambda count: self._work(cost_ns * count)

    def time(self, runner: Runner) -> float:
        """What one epoch of a few calls takes, in nanoseconds."""
        begin = self._now
        runner(_CALLS)
        return self._now - begin

    def _draw(self, mean_ms: float) -> float:
        """Nanoseconds until something happens that happens every so often, by chance; never for 0."""
        return self._chance.expovariate(1e-6 / mean_ms) if mean_ms else math.inf

    def _work(self, time_ns: float) -> None:
        machine, chance = self._machine, self._chance
        time_ns *= math.exp(chance.gauss(0, machine.jitter)) * (1 - machine.drift * math.expm1(-1e-9 * self._now))
        self._calm -= time_ns
        while self._calm < 0:
            length = chance.paretovariate(machine.tail) if machine.tail else chance.expovariate(1)
            time_ns += length * machine.interruption_ms * 1e6
            self._calm += self._draw(machine.calm_ms)
        while self._now + time_ns * (1 + self._is_shared) > self._until:
            time_ns -= (self._until - self._now) / (1 + self._is_shared)
            self._now, self._is_shared = self._until, not self._is_shared
            self._until += self._draw(machine.shared_ms if self._is_shared else machine.alone_ms)
        self._now += time_ns * (1 + self._is_shared)


@dataclass(frozen=True, slots=True)
class Found:
    """What one way of measuring says of one table: of each variant alone, and of all of them together."""

    alone: Mapping[str, Estimate]
    together: Mapping[str, Estimate]


def measure_in_blocks(machine: Machine, seed: str, processes: int, blocks: int) -> dict[str, list[list[float]]]:
    """By variant and process, the log ratios of its blocks, from the paired engine."""
    found: dict[str, list[list[float]]] = {variant: [] for variant in (*TRUTHS, CONTROL)}
    for number in range(processes):
        process = VirtualProcess(machine, f"{seed}|machine {number}")
        variants = {name: partial(process.build, _CALL_NS * truth) for name, truth in {BASE: 1.0, **TRUTHS}.items()}
        plan = Plan(blocks, seed=f"{seed}|process {number}")
        measurement = PairedMeasurement([Group("study", variants)], plan, process.clock)
        measurement.calibrate()
        played = [block for (block,) in measurement.rounds()]
        logs = {
            name: [compute_log_ns(block.forward_ns, block.backward_ns, name) for block in played]
            for name in (BASE, *found)
        }
        for name, clusters in found.items():
            clusters.append([one - base for one, base in zip(logs[name], logs[BASE], strict=True)])
    return found


def measure_in_turn(machine: Machine, seed: str, epochs: int) -> dict[str, list[float]]:
    """By variant, the times of epochs that follow each other in one process; the base comes first and last."""
    process, found = VirtualProcess(machine, f"{seed}|in turn"), {}
    for name, truth in {BASE: 1.0, **TRUTHS, CONTROL: 1.0}.items():
        runner = process.build(_CALL_NS * truth)
        found[name] = [process.time(runner) for _ in range(epochs)]
    return found


def compare_all(clusters: Mapping[str, Iterable[Sequence[float]]]) -> Found:
    """The engine's verdicts; each cluster is one witness."""
    lists = {name: list(items) for name, items in clusters.items()}
    return _judge_rows(lambda name, comparisons: compare(lists[name], comparisons, is_control=name == CONTROL))


def compare_means(times: Mapping[str, Sequence[float]]) -> Found:
    """Ratios of means, with intervals from the normal distribution, as for independent epochs."""
    squares = {name: variance(values) / len(values) / fmean(values) ** 2 for name, values in times.items()}

    def judge_row(name: str, comparisons: int) -> Estimate:
        ratio = fmean(times[name]) / fmean(times[BASE])
        normal = NormalDist().inv_cdf(1 - FAMILY_ERROR / comparisons / 2)
        reach = math.exp(normal * math.sqrt(squares[name] + squares[BASE]))
        low, high = ratio / reach, ratio * reach
        verdict = judge_control(low, high) if name == CONTROL else judge(ratio, low, high)
        return Estimate(ratio, low, high, len(times[name]), verdict)

    return _judge_rows(judge_row)


def _judge_rows(judge_row: Callable[[str, int], Estimate]) -> Found:
    """Each variant judged alone, and as one of a table's comparisons; the control is one by itself in both."""
    alone, together = (
        {**{name: judge_row(name, comparisons) for name in TRUTHS}, CONTROL: judge_row(CONTROL, 1)}
        for comparisons in (1, len(TRUTHS))
    )
    return Found(alone, together)


@dataclass(slots=True)
class Tally:
    """How often one way of measuring was right."""

    counts: Counter[str] = field(default_factory=Counter)
    widths: list[float] = field(default_factory=list)
    tenfold: list[float] = field(default_factory=list)

    def add(self, found: Found) -> None:
        """Count one table."""
        one, rows = found.alone[LARGE], found.together
        self.counts["covered"] += _covers(one, LARGE)
        self.counts["table_covered"] += all(_covers(rows[name], name) for name in TRUTHS if name != TENFOLD)
        self.counts["false_alarms"] += any(rows[name].verdict != UNRESOLVED for name in SAME)
        self.counts["violated"] += rows[CONTROL].verdict == VIOLATED
        self.counts["found"] += rows[LARGE].verdict == "slower"
        self.counts["unresolved"] += rows[SMALL].verdict == UNRESOLVED
        self.counts["tenfold_covered"] += _covers(found.alone[TENFOLD], TENFOLD)
        self.widths.append(one.high / one.low)
        self.tenfold.append(rows[TENFOLD].ratio)

    def describe(self) -> dict[str, Any]:
        """Counts, the median width of an interval for 3 %, and the median error of a ratio of ten."""
        return {
            **self.counts,
            "width_percent": 100 * (median(self.widths) - 1),
            "tenfold_error_percent": 100 * (median(self.tenfold) / TRUTHS[TENFOLD] - 1),
        }


def _covers(estimate: Estimate, variant: str) -> bool:
    return estimate.low <= TRUTHS[variant] <= estimate.high


def study_machine(
    machine: Machine, replications: int, seed: str, processes: int = PROCESSES, blocks: int = BLOCKS_EACH
) -> list[dict[str, Any]]:
    """A row per way of measuring: how many of the replicated tables were right, in which respects."""
    tallies = {name: Tally() for name in (ENGINE, UNCLUSTERED, IN_TURN)}
    with hold_heap():
        for number in range(replications):
            label = f"{seed}|{machine.name}|{number}"
            clusters = measure_in_blocks(machine, label, processes, blocks)
            tallies[ENGINE].add(compare_all(clusters))
            singles = {name: [[log] for logs in items for log in logs] for name, items in clusters.items()}
            tallies[UNCLUSTERED].add(compare_all(singles))
            tallies[IN_TURN].add(compare_means(measure_in_turn(machine, label, 2 * processes * blocks)))
    shared = {"machine": machine.name, "replications": replications, "processes": processes, "blocks": blocks}
    return [{**shared, "analysis": name, **tally.describe()} for name, tally in tallies.items()]
