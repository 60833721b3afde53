"""What an erratum is, and what running its demonstration says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Line:
    """One question, answered by what is printed and by what is right; both answers are computed."""

    what: str
    printed: str
    right: str

    @property
    def holds(self) -> bool:
        """Whether the two differ, which is what a demonstration claims."""
        return self.printed != self.right


class NotRunError(Exception):
    """What a demonstration needs is not on this machine."""


@dataclass(frozen=True, slots=True)
class Erratum:
    """One row of the table, in our words; ``place`` and ``printed`` speak of the paper as our copy reads.

    ``show`` computes the lines; its docstring says what of.  None marks a matter of reading: of meaning, or of what
    another text says, which ``source`` names.
    """

    id: str
    place: str
    printed: str
    right: str
    source: str
    show: Callable[[], list[Line]] | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as it is printed."""
        return self.id, self.place, self.printed, self.right, self.shown_by, self.source

    @property
    def shown_by(self) -> str:
        """What the demonstration computes."""
        if self.show is None:
            return "a matter of reading"
        return " ".join((self.show.__doc__ or "").split()).rstrip(".")


Status = Literal["shown", "not shown", "not run", "reading"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A demonstration that was run: ``shown`` if there are lines and all hold; ``reason`` says why it was not run."""

    erratum: Erratum
    status: Status
    lines: tuple[Line, ...] = ()
    reason: str = ""


def demonstrate(erratum: Erratum) -> Outcome:
    """Run the demonstration of an erratum; one that fails is a bug and raises."""
    if erratum.show is None:
        return Outcome(erratum, "reading")
    try:
        lines = tuple(erratum.show())
    except NotRunError as error:
        return Outcome(erratum, "not run", reason=str(error))
    return Outcome(erratum, "shown" if lines and all(line.holds for line in lines) else "not shown", lines)
