"""End to end: records through all five roles into ledgers on disk, which are opened again and checked."""

from typing import Final

from bench.experiments.base import Case, Column, Experiment, Frame, Scenario, Table
from bench.experiments.catalogue import QUESTIONS
from bench.experiments.rows import select_rows


def declare_cases(scenario: Scenario) -> list[Case]:
    """One run, which the engine repeats once to compare."""
    del scenario
    return [Case("end-to-end", "framework")]


def build_checks(raw: Frame) -> Frame:
    """Every check with both sides."""
    return select_rows(raw, "check", CHECK_COLUMNS, {"holds": bool})


def build_roles(raw: Frame) -> Frame:
    """Counted work by role."""
    return select_rows(raw, "role", ROLE_COLUMNS, dict.fromkeys(("nodes", "ledgers", "kept_bytes"), int))


CHECK_COLUMNS: Final = {
    "check": Column("Check"),
    "expected": Column("Expected"),
    "found": Column("Found"),
    "holds": Column("Holds"),
}
ROLE_COLUMNS: Final = {
    "role": Column("Role"),
    "nodes": Column("Nodes"),
    "signs_per_tx": Column("Signatures made", "1/tx", ".2f"),
    "verifies_per_tx": Column("Signatures verified", "1/tx", ".2f"),
    "hashes_per_tx": Column("Hashes", "1/tx", ".1f"),
    "hashed_bytes_per_tx": Column("Hashed", "B/tx", ".0f"),
    "ledgers": Column("Ledgers kept"),
    "kept_bytes": Column("Kept durably, largest", "B"),
}

EXPERIMENT: Final = Experiment(
    "framework", QUESTIONS["framework"], ("C13", "C14", "C21", "C24", "C27", "C31", "C38", "C42"), declare_cases,
    (
        Table(
            "framework_checks",
            "The framework end to end with real signatures, unequal stakes, SQLite ledgers and every message through "
            "its bytes; simulated network and time. Each line compares what must be with what was found in "
            "the run or, for ledgers and proofs, in the ledger files.",
            CHECK_COLUMNS, build_checks,
            ("check", "found", "holds"),
            keys=("check",), exact=("holds",),
        ),
        Table(
            "framework_roles",
            "Counted operations of one node per transaction, by role, and the size of what it keeps on disk. "
            "Signatures that a node has verified before count once. An administrator is asked to keep the last "
            "hash alone.",
            ROLE_COLUMNS, build_roles,
            ("role", "nodes", "signs_per_tx", "verifies_per_tx", "hashes_per_tx", "kept_bytes"),
        ),
    ),
    needs_records=True,
)  # fmt: skip
