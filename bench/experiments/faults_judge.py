"""What came of the runs of experiment faults, in a few words: outcomes, whether they had to be, and what claims say."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.analysis.recovery import LIVE
from bench.experiments.base import Column, Frame, Tables
from bench.experiments.faults_cells import MAY_STALL, OPEN, SAFE
from bench.experiments.rows import list_rows, to_frame

HELD: Final = "held"


def name_outcome(run: Mapping[str, Any]) -> str:
    """What came of one run: 'safe' with the verdict on liveness, or which invariant was violated."""
    if run["safety"] == HELD:
        return f"{SAFE}{run['liveness']}"
    return f"{run['safety'].removeprefix('violated: ')} violated"


def is_expected(run: Mapping[str, Any]) -> bool:
    """Whether one run ended as it had to; what was taken and is lost is never as expected."""
    if run["expected"] == OPEN:
        return True
    if run["lost"] or run["safety"] != HELD:
        return False
    return run["expected"] in {MAY_STALL, name_outcome(run)}


def summarise_outcomes(runs: Frame) -> str:
    """The outcomes of several runs, the commonest first, with how many each if they differ."""
    counts = Counter(name_outcome(run) for run in list_rows(runs))
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{outcome} ({count})" for outcome, count in counts.most_common())


# -- claims ------------------------------------------------------------------------------------------------------------

CLAIM_COLUMNS: Final = {
    "claim": Column("Claim"),
    "cells": Column("Cells"),
    "runs": Column("Runs"),
    "as_expected": Column("As expected", "runs"),
    "violated": Column("Safety violated within the limit", "runs"),
    "lost": Column("Lost", "tx"),
    "answer": Column("What was found"),
}


def build_claims(raw: Frame) -> Frame:
    """A row per claim: the runs that bear on it, and what they say, in a sentence of their own numbers."""
    runs = raw[raw["kind"] == "cell"]
    rows = []
    for claim, answer in _ANSWERS.items():
        part = runs[runs["claims"].str.split(", ").apply(lambda found, claim=claim: claim in found)]
        if part.empty:
            continue
        promised = part[part["expected"] != OPEN]
        rows.append({
            "claim": claim, "cells": part["cell"].nunique(), "runs": len(part),
            "as_expected": sum(is_expected(run) for run in list_rows(part)),
            "violated": int((promised["safety"] != HELD).sum()), "lost": int(promised["lost"].sum()),
            "answer": answer(part),
        })  # fmt: skip
    return to_frame(rows, CLAIM_COLUMNS)


def _is_live(runs: Frame) -> str:
    """'yes' if every run was safe and live, 'no' if none was."""
    good = sum(name_outcome(run) == SAFE + LIVE for run in list_rows(runs))
    if runs.empty:
        return "not run"
    return "yes" if good == len(runs) else f"in {good} of {len(runs)}" if good else "no"


def _answer_harm(runs: Frame) -> str:
    within = runs[runs["expected"].str.startswith(SAFE)]
    beyond = runs[runs["expected"] == OPEN]
    return (
        f"up to the limit: safety violated in {int((within['safety'] != HELD).sum())} of {len(within)} runs, "
        f"{int(within['lost'].sum())} transactions lost; beyond it: safety violated in "
        f"{int((beyond['safety'] != HELD).sum())} of {len(beyond)} runs"
    )


def _answer_centre(runs: Frame) -> str:
    one = runs[runs["rule"] == "single"]
    ledgers = runs[runs["fault"] == "crash of contributors"]
    some = ledgers[ledgers["count"] < ledgers["contributors"]]
    return (
        f"live without its only orderer: {_is_live(one)}; without one of three contributors: "
        f"{_is_live(some[some['count'] == 1])}; lost with all of them down: "
        f"{int(ledgers[ledgers['count'] == ledgers['contributors']]['lost'].sum())}"
    )


def _answer_size(runs: Frame) -> str:
    grid = runs[(runs["group"] == "limit") & (runs["count"] == 1)]
    words = []
    for size in (3, 4):
        for fault, verb in (("crash", "crashes"), ("equivocate", "lies")):
            part = grid[(grid["administrators"] == size) & (grid["fault"] == fault)]
            words.append(f"{size} administrators, one {verb}: {_is_live(part)}")
    tolerant = runs[(runs["group"] == "rules") & (runs["administrators"] == 3) & (runs["count"] == 1)]
    if not tolerant.empty:
        words.append(f"3 under a rule for crashes only, one crashes: {_is_live(tolerant)}")
    return "safe and live? " + "; ".join(words)


def _answer_ledger(runs: Frame) -> str:
    down = runs[runs["fault"] == "crash of contributors"]
    lost, taken = (int(down[name].sum()) for name in ("lost", "taken"))
    return f"with up to all contributors down and back: {lost} of {taken} transactions lost"


def _answer_tree(runs: Frame) -> str:
    words = [
        f"{fault}: longest stall {part['stall_s'].median():.1f} s, {summarise_outcomes(part)}"
        for fault, part in runs.groupby("fault", sort=False)
    ]
    return "; ".join(words)


_ANSWERS: Final[dict[str, Callable[[Frame], str]]] = {
    "C09": _answer_harm,
    "C10": _answer_centre,
    "C11": _answer_size,
    "C22": _answer_ledger,
    "C23": _answer_tree,
}


def answer(tables: Tables) -> list[str]:
    """The claims' answers, the cells that ended otherwise than they had to, and whether the controls were caught."""
    cells = [tables[name] for name in ("faults", "faults_net")]
    others = [
        f"{row['cell']} ({row['found']})"
        for frame in cells
        for row in list_rows(frame[~frame["is_expected"].astype(bool)])
    ]
    lines = [f"{row['claim']}: {row['answer']}." for row in list_rows(tables["faults_claims"])]
    lines += [f"Not as expected: {', '.join(others)}."] if others else []
    caught = tables["faults_controls"]["is_caught"]
    return lines + ([f"Negative controls: {caught.sum()} of {len(caught)} caught."] if len(caught) else [])
