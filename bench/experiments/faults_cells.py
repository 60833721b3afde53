"""The cells of experiment faults: what goes wrong in which network, when, and what has to come of it.

Who is faulty are the last nodes of a role, unless it is said otherwise.  All that is down or cut for good comes back
once nobody measures any more, so that "lost" means: not in every ledger although everybody is there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.analysis.recovery import HALTED, LIVE, STALLED
from bench.experiments.base import Case, Scenario
from ehrcore.faults.mutants import MUTANTS
from ehrcore.faults.plan import (
    Behaviour,
    Byzantine,
    Crash,
    Cut,
    Fault,
    FaultPlan,
    Lossy,
    Pause,
    Skew,
    Slow,
    Twin,
    partition,
)
from ehrcore.params import ConsensusRule, Dissemination
from ehrcore.types import MILLISECOND, SECOND, Role, node_id

if TYPE_CHECKING:
    from bench.net.sections import Faults

#: Nodes of each role where administrators fail, and where others do; policies are majorities.
GRID: Final = {"agents": 1, "coordinators": 1, "contributors": 2}
EVERYBODY: Final = {"agents": 3, "coordinators": 3, "administrators": 4, "contributors": 3}
GROUPS: Final = ("limit", "rules", "stakes", "kinds", "roles", "controls")
START, MIDWAY = "from the start", "mid-run"
#: What has to come of a cell: safety with a verdict on liveness or with none, or nothing in particular.
SAFE: Final = "safe, "
MAY_STALL: Final = "safe, may stall"
OPEN: Final = "nothing is promised"


@dataclass(frozen=True, slots=True)
class Times:
    """Instants of a run, ns from the begin of its load; what is there ``for good`` ends at ``back``."""

    fault: int
    heal: int
    back: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One thing that goes wrong: ``start`` and ``end`` are None for good, the ``claims`` are what it bears on."""

    name: str
    group: str
    fault: str
    count: int
    counts: dict[str, int]
    faults: tuple[Fault, ...]
    start: int
    end: int | None
    expected: str
    claims: str = ""
    rule: ConsensusRule = ConsensusRule.PROOF_OF_STAKE
    dissemination: Dissemination = Dissemination.ALL
    stakes: tuple[int, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that an engine needs, as JSON values."""
        named = {name: getattr(self, name) for name in ("group", "fault", "count", "expected", "claims")}
        plan = {"plan": msgspec.to_builtins(FaultPlan(self.faults)), "fault_ns": self.start, "heal_ns": self.end}
        when = {"cell": self.name, "when": MIDWAY if self.start else START}
        rule = {"rule": self.rule.value, "dissemination": self.dissemination.value, "stakes": list(self.stakes)}
        return {**when, **named, **self.counts, **rule, **plan}


def read_times(plan: "Faults") -> Times:
    """The scenario's instants."""
    ends = plan.fault_s, plan.heal_s, plan.seconds + plan.settle_s
    return Times(*(round(instant * SECOND) for instant in ends))


def last_nodes(role: Role, of: int, count: int) -> tuple[str, ...]:
    """The last ``count`` of ``of`` nodes of a role."""
    return tuple(node_id(role, index) for index in range(of - count, of))


def administrators(of: int, count: int) -> tuple[str, ...]:
    """The last ``count`` of ``of`` administrators."""
    return last_nodes(Role.ADMINISTRATOR, of, count)


def crash(names: Iterable[str], start: int, end: int | None, times: Times) -> tuple[Crash, ...]:
    """All of them are down from ``start`` on."""
    return tuple(Crash(name, start, times.back if end is None else end) for name in names)


def expect_crash(*, is_tolerated: bool, end: int | None) -> str:
    """What has to come of crashes, which never break safety."""
    return SAFE + (LIVE if is_tolerated else HALTED if end is None else STALLED)


def declare_limit(sizes: Sequence[int], times: Times) -> Iterator[Cell]:
    """Administrators that crash and that equivocate, from none to one past the limit, from the start and in mid-run.

    A quorum q is the least number of more than two thirds.  f crashes leave one if f <= n - q; two quorums have an
    honest one in common if f < 2 q - n: that much can lie before two blocks can be final.
    """
    for size in sizes:
        quorum = find_quorum(size)
        network = partial(Cell, group="limit", counts=_with(size), claims="C09, C11" if size in {3, 4} else "C09")
        yield network(
            name=f"none-of-{size}", fault="none", count=0, faults=(), start=times.fault, end=times.heal,
            expected=SAFE + LIVE,
        )  # fmt: skip
        for count in range(1, size - quorum + 2):
            is_live, is_safe = count <= size - quorum, count < 2 * quorum - size
            for start, end in ((0, None), (times.fault, times.heal)):
                names, name = administrators(size, count), f"{count}-of-{size}-{'mid' if start else 'start'}"
                cell = partial(network, count=count, start=start)
                yield cell(
                    name=f"crash-{name}", fault="crash", faults=crash(names, start, end, times), end=end,
                    expected=expect_crash(is_tolerated=is_live, end=end),
                )  # fmt: skip
                yield cell(
                    name=f"equivocate-{name}", fault="equivocate", end=None,
                    faults=tuple(Byzantine(item, Behaviour.EQUIVOCATE, start) for item in names),
                    expected=SAFE + LIVE if is_live else MAY_STALL if is_safe else OPEN,
                )  # fmt: skip


def find_quorum(size: int) -> int:
    """The least number of more than two thirds of ``size`` administrators of equal stake."""
    return 2 * size // 3 + 1


def _with(size: int) -> dict[str, int]:
    return {**GRID, "administrators": size}


def declare_rules(times: Times) -> Iterator[Cell]:
    """What cheaper rules stand: nothing, or the crashes of less than half; who leads is among the first to crash."""
    found = [(ConsensusRule.SINGLE_ORDERER, 1, 1, False)]
    for size, count, is_tolerated in ((3, 1, True), (3, 2, False), (5, 2, True), (5, 3, False)):
        found.append((ConsensusRule.LEADER, size, count, is_tolerated))
    for rule, size, count, is_tolerated in found:
        yield Cell(
            name=f"{rule.value}-crash-{count}-of-{size}", group="rules", fault="crash", count=count, rule=rule,
            counts=_with(size), start=times.fault, end=times.heal,
            faults=crash(administrators(size, size)[:count], times.fault, times.heal, times),
            expected=expect_crash(is_tolerated=is_tolerated, end=times.heal),
            claims="C10" if size == 1 else "C11",
        )  # fmt: skip


def declare_stakes(times: Times) -> Iterator[Cell]:
    """Which share of the stake fails counts, not how many administrators."""
    ones = ((1, 1, 1, 2), (2, 1, 1, 1), (1, 3, 3, 3), (1, 1, 1, 1, 1, 1, 4))
    for stakes, count in (*((stakes, 1) for stakes in ones), ((4, 4, 4, 1, 1), 2)):
        size = len(stakes)
        is_tolerated = 3 * sum(stakes[size - count :]) < sum(stakes)
        yield Cell(
            name=f"stakes-{'-'.join(map(str, stakes))}-crash-{count}", group="stakes", fault="crash", count=count,
            counts=_with(size), stakes=stakes, start=times.fault, end=times.heal,
            faults=crash(administrators(size, count), times.fault, times.heal, times),
            expected=expect_crash(is_tolerated=is_tolerated, end=times.heal), claims="C11",
        )  # fmt: skip


def declare_kinds(times: Times) -> Iterator[Cell]:
    """Every other fault of four administrators: of one of them, or of the ways between them."""
    every, (last,) = administrators(4, 4), administrators(4, 1)
    start, end, back = times.fault, times.heal, times.back
    others, halves = every[:3], (every[:2], every[2:])
    lossy = Lossy(every, every, start, end, loss=0.1, duplication=0.1, delay_ns=20 * MILLISECOND)
    found: list[tuple[str, int, tuple[Fault, ...], int | None, str]] = [
        ("pause", 1, (Pause(last, start, end),), end, LIVE),
        ("slow, 20 times", 1, (Slow(last, start, end, 20.0),), end, LIVE),
        ("clock 2 s ahead", 1, (Skew(last, 2 * SECOND),), None, LIVE),
        ("crash, log truncated", 1, (Crash(last, start, end, is_torn=True),), end, LIVE),
        ("crash of all four", 4, crash(every, start, end, times), end, STALLED),
        ("loss, doubling, reordering", 4, (lossy,), end, LIVE),
        ("one cannot be heard", 1, (Cut((last,), others, start, back),), None, LIVE),
        ("one cannot hear", 1, (Cut(others, (last,), start, back),), None, LIVE),
        ("one-way cut", 1, (Cut((last,), every[:1], start, back),), None, LIVE),
        ("partition 1 | 3", 1, partition((last,), others, start, end), end, LIVE),
        ("partition 2 | 2", 2, partition(*halves, start, end), end, STALLED),
        ("partition 2 | 2 for good", 2, partition(*halves, start, back), None, HALTED),
        *((behaviour.value, 1, (Byzantine(last, behaviour, start),), None, LIVE)
          for behaviour in Behaviour if behaviour is not Behaviour.EQUIVOCATE),
        ("twin", 1, (Twin(last, every[:2], every[2:3]),), None, LIVE),
    ]  # fmt: skip
    for fault, count, faults, until, liveness in found:
        begins = 0 if isinstance(faults[0], Skew | Twin) else start
        yield Cell(
            name=fault.translate(_WORDS), group="kinds", fault=fault, count=count, start=begins, end=until,
            counts=_with(4), faults=faults, expected=SAFE + liveness, claims="C09",
        )  # fmt: skip


_WORDS: Final = str.maketrans(" |", "--", ",")


def declare_roles(times: Times) -> Iterator[Cell]:
    """Crashes of the other roles, up to all of their nodes; policies of agents and coordinators are majorities."""
    kept = {Role.AGENT: "C09", Role.COORDINATOR: "C09", Role.CONTRIBUTOR: "C09, C10, C22"}
    for role, claims in kept.items():
        of = EVERYBODY[f"{role.value}s"]
        for count in range(1, of + 1):
            faults = crash(last_nodes(role, of, count), times.fault, times.heal, times)
            yield Cell(
                name=f"{role.value}-crash-{count}-of-{of}", group="roles", fault=f"crash of {role.value}s", count=count,
                counts=EVERYBODY, start=times.fault, end=times.heal, faults=faults,
                expected=expect_crash(is_tolerated=2 * count < of, end=times.heal), claims=claims,
            )  # fmt: skip
    first, others = (node_id(Role.CONTRIBUTOR, 0),), last_nodes(Role.CONTRIBUTOR, 3, 2)
    tree = partial(Cell, group="roles", count=1, counts=EVERYBODY, dissemination=Dissemination.TREE,
                   start=times.fault, end=times.heal, expected=SAFE + LIVE)  # fmt: skip
    yield tree(
        name="tree-root-crash", fault="crash of the tree's root", claims="C22, C23",
        faults=crash(first, times.fault, times.heal, times),
    )  # fmt: skip
    yield tree(
        name="tree-root-cut-off", fault="the tree's root cannot forward", claims="C23",
        faults=partition(first, others, times.fault, times.heal),
    )  # fmt: skip


def declare_cells(scenario: Scenario) -> list[Cell]:
    """Every cell that is simulated."""
    plan, times = scenario.faults, read_times(scenario.faults)
    limit = declare_limit(plan.administrators, times)
    every = [*limit, *declare_rules(times), *declare_stakes(times), *declare_kinds(times), *declare_roles(times)]
    return [cell for cell in every if cell.group in plan.groups]


def declare_real(scenario: Scenario) -> dict[str, Cell]:
    """The cells that real nodes can be given, by name: those whose faults are crashes, pauses and cuts alone.

    What is down for good for the simulator is so here, too: it is started again after the measurement.
    """
    times = read_times(scenario.faults)
    every = [*declare_limit((3, 4, 5), times), *declare_rules(times), *declare_kinds(times), *declare_roles(times)]
    return {cell.name: cell for cell in every if all(map(_is_real, cell.faults))}


def _is_real(fault: Fault) -> bool:
    return isinstance(fault, Crash | Pause | Cut) and not getattr(fault, "is_torn", False)


def declare_cases(scenario: Scenario) -> list[Case]:
    """Controls, each cell once, real networks, the other seeds: a run that is cut short has something of all."""
    plan, cells, real = scenario.faults, declare_cells(scenario), declare_real(scenario)
    simulated = [
        Case(f"{cell.name}-{seed}", "faults", {**cell.settings, "seed": seed, "planned": plan.seeds})
        for seed in range(plan.seeds)
        for cell in cells
    ]
    measured = [
        Case(f"net-{name}-{repeat}", "faults-net", {**real[name].settings, "seed": repeat, "planned": plan.repeats})
        for repeat in range(plan.repeats)
        for name in scenario.net_faults
    ]
    names = MUTANTS if "controls" in plan.groups else ()
    controls = [Case(f"control-{name}", "faults-control", {"mutant": name}) for name in names]
    return controls + simulated[: len(cells)] + measured + simulated[len(cells) :]
