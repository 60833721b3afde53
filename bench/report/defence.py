"""What attacks on the strongest variant came to, over all experiments of a run, in a few sentences."""

from collections.abc import Sequence

from bench.experiments.base import Row
from bench.report.model import Section

STRONGEST = "the strongest variant (SHA-256, ECDSA, proof of stake, every protection)"


def describe_defence(sections: Sequence[Section]) -> tuple[str, ...]:
    """How many tries had to fail and how many did not, by experiment, and what nothing stops; empty without attacks."""
    parts = {section.experiment.id: list_strongest(section) for section in sections}
    bound = {name: [row for row in rows if row["expected"] != "succeeds"] for name, rows in parts.items()}
    bound = {name: rows for name, rows in bound.items() if rows}
    if not bound:
        return ()
    every = [row for rows in bound.values() for row in rows]
    tries, won = sum(row["tries"] for row in every), [row for row in every if row["succeeded"]]
    counted = ", ".join(f"{name} {sum(row['tries'] for row in rows):,}" for name, rows in bound.items())
    head = "No attack" if not won else f"{len(won)} ATTACKS"
    said = (
        f"{head} on {STRONGEST} succeeded of those that have to fail: {sum(row['succeeded'] for row in won):,} of "
        f"{tries:,} tries in {len(every):,} combinations ({counted})."
    )
    lines = [said]
    missing = [
        f"{section.experiment.id} ({failure.case}: {failure.status})"
        for section in sections
        if section.experiment.id in bound
        for failure in section.failures
    ]
    if missing:
        lines.append(f"NOT ALL WERE PLAYED, and what was not is not counted: {'; '.join(dict.fromkeys(missing))}.")
    if won:
        lines.append(f"Succeeded: {'; '.join(dict.fromkeys(_name(row) for row in won))}.")
    free = [row for rows in parts.values() for row in rows if row["expected"] == "succeeds" and row["succeeded"]]
    if free:
        names = "; ".join(dict.fromkeys(_name(row) for row in free))
        lines.append(f"What it does not stop, as theory says, so that it is not counted there: {names}.")
    return tuple(lines)


def list_strongest(section: Section) -> list[Row]:
    """The section's rows of attacks on all protections at once."""
    return [row for built in section.tables if (pick := built.table.strongest) for row in pick(built.frame)]


def _name(row: Row) -> str:
    parts = (str(row.get(key, "")) for key in ("variant", "protection"))
    return f"{row['attack']} ({', '.join(part for part in parts if part not in {'', 'sha256'})})"
