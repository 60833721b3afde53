"""What options of several commands have in common."""

from pathlib import Path
from typing import Any, Final

import click

from bench.errors import BenchError


class Place(click.Path):
    """A path; an empty one is refused, for it would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("expected a path, found ''", param, ctx)
        return super().convert(value, param, ctx)


class Tolerance(click.FloatRange):
    """How far apart ratios may be, as a share above 0."""

    def __init__(self) -> None:
        super().__init__(0, 100, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not found > 0:  # NaN is in every range
            raise BenchError(f"--tolerance: expected a number above 0, found {found}")
        return found


PLACE: Final = Place(path_type=Path)
#: How much a ratio may change and still be the same, as a share, unless told otherwise.
TOLERANCE: Final = 0.25
#: A run to read, the newest if none is named.
RUN: Final = click.argument("folder", type=PLACE, required=False, metavar="[RUN]")
RESULTS: Final = click.option(
    "--results", type=PLACE, default=Path("results"), show_default=True, help="Where runs are kept."
)
