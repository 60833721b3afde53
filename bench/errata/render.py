"""The errata as a terminal, a program and a document read them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any, Final

from bench.errata.base import Erratum, Outcome

_MARKS: Final = {"shown": "shown", "not shown": "NOT SHOWN", "not run": "not run", "reading": "a matter of reading"}
_INDENT: Final = " " * 5
_HEAD: Final = """# Errata of the paper

What is printed, what is right (or what is done here where the paper leaves it open), and what shows it. `ehrbench
errata` runs every demonstration on the spot and prints both sides, `ehrbench errata E03` one in detail; the definitions
that it runs are those of `ehrcore.spec`, and comments in the code cite these ids. The paper is read as our copy has it,
which a machine has read: symbols may have been lost on the way (E26 and E27 put back those that may). This file is
written by `ehrbench errata --markdown`.

| id | place | as printed | what is right | shown by | source |
|---|---|---|---|---|---|
"""


def render_text(outcomes: Sequence[Outcome], *, width: int, is_whole: bool) -> str:
    """Each erratum with what was computed, in lines of ``width``; ``is_whole`` adds the source and what was run."""
    blocks = [_render_one(outcome, width, is_whole=is_whole) for outcome in outcomes]
    counts = (f"{sum(o.status == name for o in outcomes)} {mark}" for name, mark in _MARKS.items())
    found = ", ".join(count for count in counts if not count.startswith("0 "))
    return "\n\n".join([*blocks, f"Errata: {len(outcomes)} ({found})"]) + "\n"


def _render_one(outcome: Outcome, width: int, *, is_whole: bool) -> str:
    erratum = outcome.erratum
    rows = [("printed: ", erratum.printed), ("right:   ", erratum.right)]
    if is_whole:
        rows += [("source:  ", erratum.source), ("shown by ", erratum.shown_by)]
    parts = [f"{erratum.id}  {erratum.place}: {_MARKS[outcome.status]}"]
    parts += [_wrap(label, text, width) for label, text in rows]
    if erratum.show is None and not is_whole:
        parts.append(_wrap("source:  ", erratum.source, width))
    if outcome.reason:
        parts.append(_wrap("not run: ", outcome.reason, width))
    for line in outcome.lines:
        parts.append(_wrap("- ", line.what + ("" if line.holds else "  (BOTH SIDES AGREE)"), width))
        parts += [_wrap("    as printed    ", line.printed, width), _wrap("    as corrected  ", line.right, width)]
    return "\n".join(parts)


def _wrap(label: str, text: str, width: int) -> str:
    hanging = _INDENT + " " * len(label)
    # A digest stays in one piece, to be copied, however narrow the terminal is.
    return fill(
        text or "''",
        width,
        initial_indent=_INDENT + label,
        subsequent_indent=hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )


def as_json(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Every erratum as an object, for programs."""
    return [
        {
            **{key: getattr(o.erratum, key) for key in ("id", "place", "printed", "right", "source", "shown_by")},
            "status": o.status,
            "reason": o.reason,
            "lines": [{**asdict(line), "holds": line.holds} for line in o.lines],
        }
        for o in outcomes
    ]


def render_markdown(errata: Iterable[Erratum]) -> str:
    """`paper/errata.md`: the table without what a run computes."""
    return _HEAD + "".join(f"| {' | '.join(map(_escape, erratum.cells))} |\n" for erratum in errata)


def _escape(text: str) -> str:
    """Text as Markdown shows it; code between backquotes stays."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_") if "`" not in text else text
