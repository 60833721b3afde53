"""`ehrcore check`: faults by the thousand in simulated networks, and whether everything held."""

import argparse
import sys
from collections.abc import Generator
from contextlib import closing

from ehrcore.errors import ParameterError
from ehrcore.faults.schedules import count_splits
from ehrcore.faults.search import Search, compute_digest, default_nodes, run_controls, run_many, run_seed
from ehrcore.faults.trial import Verdict
from ehrcore.params import FAMILIES, ConsensusRule

_SEEDS = 1_000
_RULE = ConsensusRule.PROOF_OF_STAKE
#: Messages grow with the square of this: more would take hours.
_MOST_NODES = 100
#: Each control has a schedule of its own, so these would say nothing.
_ALONE = ("splits", "nodes", "mutant", "trace")
_PROGRESS = 50


def check(options: argparse.Namespace) -> int:
    """Run what was asked for; 1 if an invariant broke, or if a mutant broke none."""
    if options.mutants:
        given = [f"--{name}" for name in _ALONE if getattr(options, name)] + ["--rule"] * (options.rule != _RULE)
        if given:
            raise ParameterError(f"--mutants: expected --jobs alone beside it, found {', '.join(given)}")
        return _check_mutants(options.jobs)
    search = _search(options)
    return _show_one(search) if options.trace else _check_many(search, options.jobs)


def _search(options: argparse.Namespace) -> Search:
    nodes = default_nodes(options.mutant) if options.nodes is None else options.nodes
    if not 1 <= nodes <= _MOST_NODES:
        raise ParameterError(f"--nodes: expected 1 to {_MOST_NODES}, found {nodes}")
    if options.seed is not None:
        first, end = options.seed, options.seed + 1
    elif options.seeds:
        first, end = options.seeds
    else:
        first, end = 0, count_splits(max(nodes, 1)) if options.splits else _SEEDS
    if options.rule not in FAMILIES:
        raise ParameterError(f"--rule: expected one of {', '.join(FAMILIES)}, found {options.rule!r}")
    search = Search(first, end, nodes, options.rule, options.splits, options.mutant)
    search.validate()
    if options.trace and end - first > 1:
        raise ParameterError(f"--trace: expected one seed (--seed N), found {end - first}")
    return search


def _show_one(search: Search) -> int:
    schedule = search.schedule(search.first)
    print(
        f"{schedule.label}: stakes {', '.join(map(str, schedule.stakes))}; healed at {schedule.healed_ns / 1e9:.6f} s"
    )
    for fault in schedule.plan.faults:
        print(f"  {fault}")
    verdict = run_seed(search, search.first, print)
    print(verdict.detail or f"all invariants held over {verdict.heights} heights (trace {verdict.digest[:16]})")
    for name, height in verdict.reverted.items():
        print(f"reversed: {name} holds other blocks final from height {height} on")
    return int(bool(verdict.rule))


def _check_many(search: Search, jobs: int) -> int:
    verdicts: list[Verdict] = []
    try:
        with closing(_reported(search, run_many(search, jobs))) as found:
            for verdict in found:
                verdicts.append(verdict)
                if verdict.rule:
                    _show_break(search, verdict)
    finally:
        _summarise(search, verdicts)
    return int(any(verdict.rule for verdict in verdicts))


def _reported(search: Search, verdicts: Generator[Verdict]) -> Generator[Verdict]:
    """The same, with a line on standard error now and then of how far it is."""
    total, is_shown = search.end - search.first, sys.stderr.isatty()
    for done, verdict in enumerate(verdicts, start=1):
        yield verdict
        if is_shown and (done % _PROGRESS == 0 or done == total):
            sys.stderr.write(f"\r{done} of {total} schedules" + "\n" * (done == total))
            sys.stderr.flush()


def _show_break(search: Search, verdict: Verdict) -> None:
    print(f"seed {verdict.seed}: {verdict.detail}")
    for line in verdict.context:
        print(f"  {line}")
    print(f"  replay: {search.command(verdict.seed)}", flush=True)


def _summarise(search: Search, verdicts: list[Verdict]) -> None:
    broken = [verdict for verdict in verdicts if verdict.rule]
    reversals = [len(verdict.reverted) for verdict in verdicts if verdict.reverted]
    what, asked = "splits" if search.is_split else "random schedules", search.end - search.first
    done = f"{len(verdicts)} of {asked}" if len(verdicts) < asked else f"{asked}"
    print(
        f"{done} {what} of {search.nodes} nodes under {search.rule}: "
        + (f"{len(broken)} broke an invariant" if broken else "all invariants held")
        + (f"; {len(reversals)} reversed final blocks, of {sum(reversals)} nodes" if reversals else "")
        + f"; {sum(verdict.heights for verdict in verdicts)} heights, at most"
        f" {max((verdict.rounds for verdict in verdicts), default=0)} rounds and"
        f" {max((verdict.live_ns for verdict in verdicts), default=0) / 1e9:.0f} s after healing"
        f" (traces {compute_digest(verdicts)})"
    )


def _check_mutants(jobs: int) -> int:
    missed = 0
    with closing(run_controls(jobs)) as controls:
        for control in controls:
            found = f"{control.rule} under {control.label}" if control.rule else "nothing"
            print(f"{'caught' if control.is_caught else 'MISSED':<7} {control.name:<16} {found}", flush=True)
            missed += not control.is_caught
    return int(missed > 0)
