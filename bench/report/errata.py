"""The errata of the paper as a table of the report: as printed, what is right, and how it is shown.

Nothing is run for it, so that it is the same on every machine; ``ehrbench errata`` runs the demonstrations.
"""

from typing import Final

from bench.errata.table import ERRATA

HEADINGS: Final = ("Id", "Place", "As printed", "What is right", "How it is shown", "Source")
INTRODUCTION: Final = (
    "What is printed, what is right (or what is done here where the paper leaves it open), and what shows it. "
    "ehrbench errata runs every demonstration on the spot and prints both sides, ehrbench errata E03 one in detail. "
    "The paper is read as our copy has it, which a machine has read: symbols may have been lost on the way."
)


def list_errata() -> list[tuple[str, ...]]:
    """The rows, in order, by `HEADINGS`; plain text."""
    return [erratum.cells for erratum in ERRATA]
