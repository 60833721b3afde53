"""Runs schedules by the thousand, in several processes, and asks the negative controls whether they are caught."""

import hashlib
import multiprocessing
import shlex
import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec

from ehrcore.drive.extensions import LOADED, load_inherited
from ehrcore.errors import ParameterError
from ehrcore.faults.mixtures import make_random
from ehrcore.faults.mutants import MUTANTS, Mutant, find_mutant, planted
from ehrcore.faults.schedules import Schedule, count_splits, make_split
from ehrcore.faults.trial import Show, Trial, Verdict
from ehrcore.params import ConsensusRule
from ehrcore.types import require_count

#: Among how many random schedules the search has to find a mutant that has none made for it.
CONTROL_SEEDS: Final = 200
_CHUNK: Final = 8
_NODES: Final = 4
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Search(msgspec.Struct, frozen=True):
    """Which schedules: a half-open range of seeds (or of splits), and what is planted."""

    first: int
    end: int
    nodes: int = _NODES
    rule: str = ConsensusRule.PROOF_OF_STAKE
    is_split: bool = False
    mutant: str = ""

    def validate(self) -> None:
        """Raise `ParameterError` for what does not exist."""
        if find_mutant(self.mutant) and self.rule != ConsensusRule.PROOF_OF_STAKE:
            raise ParameterError(f"rule: expected pos, which {self.mutant!r} is planted in, found {self.rule}")
        require_count("nodes", self.nodes, 1)
        most = count_splits(self.nodes) if self.is_split else 1 << 53
        if not 0 <= self.first < self.end <= most:
            found = f"{self.first}:{self.end}"
            raise ParameterError(f"seeds: expected A:B, a range within 0:{most}, found {found}")

    def schedule(self, seed: int) -> Schedule:
        """The schedule of one seed."""
        make = make_split if self.is_split else make_random
        schedule, mutant = make(seed, self.nodes, self.rule), find_mutant(self.mutant)
        return mutant.change(schedule) if mutant and mutant.change else schedule

    def command(self, seed: int) -> str:
        """What replays it, word for word."""
        given = (
            ("--nodes", self.nodes, default_nodes(self.mutant)),
            ("--rule", self.rule, "pos"),
            ("--mutant", self.mutant, ""),
        )
        words = [f"{flag} {value}" for flag, value, default in given if value != default]
        files = [f"--extend {shlex.quote(str(item.path))}" for item in LOADED.values()]
        return " ".join(
            ["ehrcore", *files, "check --seed", str(seed), *["--splits"] * self.is_split, *words, "--trace"]
        )


def default_nodes(mutant: str) -> int:
    """How many administrators there are where nobody says it: what the planted bug takes, if there is one."""
    return MUTANTS[mutant].nodes if mutant in MUTANTS else _NODES


def run_schedule(schedule: Schedule, seed: int, mutant: Mutant | None = None, show: Show | None = None) -> Verdict:
    """One schedule, with a bug or without."""
    with planted(mutant):
        return Trial(schedule, show, mutant.overlooked if mutant else frozenset()).verdict(seed)


def run_seed(search: Search, seed: int, show: Show | None = None) -> Verdict:
    """One schedule of a search."""
    try:
        return run_schedule(search.schedule(seed), seed, find_mutant(search.mutant), show)
    except Exception as error:
        error.add_note(f"replay: {search.command(seed)}")
        raise


def run_many(search: Search, jobs: int) -> Generator[Verdict]:
    """Every schedule of a search, in order, in ``jobs`` processes; closing the iterator ends them."""
    search.validate()
    yield from _in_processes(partial(run_seed, search), range(search.first, search.end), jobs)


def _in_processes(task: Callable[[_In], _Out], items: Iterable[_In], jobs: int) -> Generator[_Out]:
    if jobs == 1:
        yield from map(task, items)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, _begin_worker) as pool:
        yield from pool.imap(task, items, _CHUNK)


def _begin_worker() -> None:
    """Ctrl-C is for the parent alone, which keeps what it has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load_inherited()


class Control(msgspec.Struct, frozen=True):
    """What became of a negative control: the schedule that caught it, by which rule, and whether that is in order.

    ``is_caught``: one of the invariants broke that have to, and none under the same schedule without the bug.
    """

    name: str
    label: str
    rule: str
    is_caught: bool


def run_control(name: str) -> Control:
    """Look for a mutant under the schedule made for it, else under random ones."""
    mutant = MUTANTS[name]
    for seed in range(CONTROL_SEEDS):
        sound = mutant.made or make_random(seed, mutant.nodes, ConsensusRule.PROOF_OF_STAKE)
        worse = mutant.change(sound) if mutant.change else sound
        verdict = run_schedule(worse, seed, mutant)
        if verdict.rule:
            is_clean = not run_schedule(sound, seed).rule
            return Control(name, worse.label, verdict.rule, is_caught=is_clean and verdict.rule in mutant.rules)
        if mutant.made:
            break
    return Control(name, "", "", is_caught=False)


def run_controls(jobs: int) -> Generator[Control]:
    """Every negative control, in order."""
    yield from _in_processes(run_control, MUTANTS, jobs)


def compute_digest(verdicts: Sequence[Verdict]) -> str:
    """One digest over the traces of many runs: equal searches have equal ones."""
    return hashlib.blake2b("".join(item.digest for item in verdicts).encode(), digest_size=16).hexdigest()
