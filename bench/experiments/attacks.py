"""The table that all attack experiments share: attack x variant x protection -> what happened, beside what theory says.

An engine counts the tries of an attack in a `Tally` and hands on its row; `check_attacks` adds the row that makes a run
fail where a result is not what theory says; `attack_table` turns rows into the table, `answer_attacks` into sentences.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Final, Literal

from bench.experiments.base import Column, Frame, Row, Table
from bench.experiments.rows import list_rows, to_frame

#: What theory says of an attack: it is refused before it has an effect; it is found afterwards; nothing stops it.
Expected = Literal["refused", "detected", "succeeds"]
KIND: Final = "attack"
#: The group of rows that name none, for a table that leaves all others to others.
UNGROUPED: Final = "-"
KEYS: Final = ("attack", "variant", "protection")
COLUMNS: Final = {
    "attack": Column("Attack"),
    "variant": Column("Variant"),
    "protection": Column("Protection"),
    "expected": Column("Expected"),
    "tries": Column("Tries"),
    "succeeded": Column("Succeeded"),
    "detected": Column("Detected"),
    "where": Column("Where, by what"),
    "detect_us": Column("Time to detect, median", "us", ".3g"),
    "holds": Column("As expected"),
    "note": Column("Note"),
}
HIGHLIGHTS: Final = (*KEYS, "tries", "succeeded", "detected", "where", "holds")


@dataclass
class Tally:
    """The tries of one attack on one variant under one protection, counted as they are made.

    A try that is neither found nor succeeds had no effect (a byte of an unused page, say): it counts as a try alone.
    """

    attack: str
    variant: str
    protection: str
    expected: Expected
    note: str = ""
    tries: int = 0
    succeeded: int = 0
    found: Counter[str] = field(default_factory=Counter)
    times_ns: list[int] = field(default_factory=list)

    def add(self, found_by: str | None, time_ns: int | None = None, *, is_success: bool | None = None) -> None:
        """Count a try: found by the rule, role or check ``found_by`` after ``time_ns``; by nothing, it succeeded.

        ``is_success`` says otherwise: found after it had its effect (True), or neither found nor of effect (False).
        """
        self.tries += 1
        self.succeeded += found_by is None if is_success is None else is_success
        if found_by is not None:
            self.found[found_by] += 1
            if time_ns is not None:
                self.times_ns.append(time_ns)

    def watch(self, check: Callable[[], str | None], *, has_effect: bool = True) -> str | None:
        """Count a try that ``check`` judges: what it names has found the attack, None lets it pass; it is timed.

        What passes has succeeded if it ``has_effect``.
        """
        begin_ns = time.perf_counter_ns()
        found_by = check()
        self.add(found_by, time.perf_counter_ns() - begin_ns, is_success=found_by is None and has_effect)
        return found_by

    def row(self) -> Row:
        """The raw row; ``where`` is what found most tries, with how many others did."""
        common = self.found.most_common(1)
        others = len(self.found) - 1
        where = common[0][0] + (f" (and {others} more)" if others > 0 else "") if common else ""
        return {
            "kind": KIND, "attack": self.attack, "variant": self.variant, "protection": self.protection,
            "expected": self.expected, "tries": self.tries, "succeeded": self.succeeded,
            "detected": self.found.total(), "where": where,
            "detect_us": median(self.times_ns) / 1_000 if self.times_ns else None, "note": self.note,
        }  # fmt: skip


def is_as_expected(row: Mapping[str, Any]) -> bool:
    """Whether what happened is what theory says: at least one try got past everything, or, of some, none did.

    What is to be detected must have been so at least once: nothing found and nothing done is no detection.
    """
    if row["expected"] == "succeeds":
        return bool(row["succeeded"] > 0)
    return bool(row["tries"] > 0 and row["succeeded"] == 0 and (row["expected"] == "refused" or row["detected"] > 0))


def check_attacks(rows: Iterable[Row]) -> list[Row]:
    """The rows and, after them, a check that makes the run's command fail if one of them is not as expected."""
    listed = list(rows)
    wrong = [row for row in listed if row["kind"] == KIND and not is_as_expected(row)]
    name = "every attack ends as theory says"
    if wrong:
        name += ": " + "; ".join(_name(row) for row in wrong)
    return [*listed, {"kind": "check", "check": name, "holds": not wrong}]


def build_attacks(raw: Frame, group: str = "") -> Frame:
    """A row per attack, variant and protection: over several cases, sums of counts and the median of medians.

    Of rows with ``group`` in the column of that name alone, if it is given; `UNGROUPED` is for those without.
    """
    found = raw.reindex(columns=[*raw.columns, *({"kind", "group", *KEYS} - {*raw.columns})])
    if group:
        groups = found["group"].astype(object)
        found = found[groups.where(groups.notna(), UNGROUPED) == group]
    found = found[found["kind"] == KIND]
    rows = []
    for keys, part in found.groupby(list(KEYS), sort=False):
        counts = {name: int(part[name].sum()) for name in ("tries", "succeeded", "detected")}
        most = part.sort_values("detected", ascending=False, kind="stable").iloc[0]
        row: Row = {
            **dict(zip(KEYS, keys, strict=True)), **counts, "expected": part["expected"].iloc[0],
            "where": most["where"], "detect_us": part["detect_us"].astype(float).median(),
            "note": "; ".join(dict.fromkeys(note for note in part["note"] if note)),
        }  # fmt: skip
        rows.append(row | {"holds": is_as_expected(row)})
    return to_frame(rows, COLUMNS)


def attack_table(
    name: str,
    caption: str,
    notes: str = "",
    exact: Sequence[str] = ("holds", "succeeded", "detected"),
    group: str = "",
    strongest: Callable[[Row], bool] | None = None,
) -> Table:
    """The table called ``name`` of an experiment's attack rows; of those of one ``group`` if it is given.

    ``notes`` follow the terms in the caption; ``exact`` are the columns that the seed alone determines; ``strongest``
    says which rows are attacks on the strongest variant, which the report counts over all experiments.
    """
    terms = (
        "Succeeded: tries that got past every check; detected: tries that some check found; a try may be neither, if "
        "it changes nothing. As expected: theory says 'succeeds' and at least one try did, or it says 'refused' or "
        "'detected' and none did. Times are per try, on this machine."
    )
    text = " ".join(part for part in (caption, terms, notes) if part)
    return Table(
        name, text, COLUMNS, partial(build_attacks, group=group), HIGHLIGHTS, keys=KEYS, exact=tuple(exact),
        strongest=strongest and partial(_select, is_strongest=strongest),
    )  # fmt: skip


def _select(frame: Frame, is_strongest: Callable[[Row], bool]) -> list[Row]:
    return [row for row in list_rows(frame) if is_strongest(row)]


def answer_attacks(frame: Frame, reasons: Mapping[str, str] | None = None) -> list[str]:
    """What a table of attacks says: how many ended as theory says, which did not, what succeeded under what, and why.

    ``reasons`` are sentences by a part of the protection's name.
    """
    if frame.empty:
        return []
    rows = list_rows(frame)
    wrong = [row for row in rows if not row["holds"]]
    tries = sum(row["tries"] for row in rows)
    held = f"{len(rows) - len(wrong)} of {len(rows)} combinations of attack, variant and protection"
    lines = [f"{held} ended as theory says ({tries:,} tries)."]
    if wrong:
        lines.append(f"Not as theory says: {'; '.join(map(_name, wrong))}.")
    done = frame[frame["succeeded"] > 0]
    for protection, part in done.groupby("protection", sort=False):
        under = frame[frame["protection"] == protection]
        names = []
        for attack, same in part.groupby("attack", sort=False):
            is_every = len(same) == (under["attack"] == attack).sum()
            names.append(str(attack) if is_every else f"{attack} ({', '.join(map(str, same['variant']))})")
        why = next((why for key, why in (reasons or {}).items() if key in str(protection)), "")
        lines.append(f"Succeeded under '{protection}': {'; '.join(names)}.{' ' if why else ''}{why}")
    return lines


def _name(row: Mapping[str, Any]) -> str:
    place = " / ".join(filter(None, (row["attack"], row["variant"], row["protection"])))
    return f"{place} ({row['succeeded']} of {row['tries']} succeeded, expected: {row['expected']})"
