"""What options of several commands have in common."""

from pathlib import Path
from typing import Any, Final

import click


class Place(click.Path):
    """A path; an empty one is refused, for it would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("expected a path, found ''", param, ctx)
        return super().convert(value, param, ctx)


PLACE: Final = Place(path_type=Path)
#: How much a ratio may change and still be the same, as a share, unless told otherwise.
TOLERANCE: Final = 0.25
RESULTS: Final = click.option(
    "--results", type=PLACE, default=Path("results"), show_default=True, help="Where runs are kept."
)
