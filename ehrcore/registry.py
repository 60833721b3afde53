"""Tables that others may add rows to: what is found by name (a hash suite, a library, a rule) can be somebody else's.

Rows are added when a program starts (`ehrcore.drive.extensions`) and are never replaced: a name means one thing.
"""

import re
from collections.abc import MutableMapping
from typing import Any, Final, NamedTuple, TypeVar

from ehrcore.errors import ParameterError

T = TypeVar("T")

_NAME: Final = re.compile(r"[a-z][a-z0-9-]*(/[a-z][a-z0-9-]*)?")
_LONGEST: Final = 40


class Added(NamedTuple):
    """A row that is not the project's own: its table, and what kind of thing is called by which name there."""

    kind: str
    name: str
    table: MutableMapping[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


#: All rows that were added, in order.
ADDED: Final[list[Added]] = []


def register(kind: str, table: MutableMapping[str, T], name: str, row: T) -> None:
    """Add a row to a table; `ParameterError` for a name that is no word (a-z, 0-9, -), or that is taken."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ParameterError(f"{kind}: expected a name of a-z, 0-9 and - (40 at most), found {name!r}")
    if name in table:
        raise ParameterError(f"{kind}: expected a name that is not taken, found {name!r}")
    table[name] = row
    ADDED.append(Added(kind, name, table))


def forget(since: int) -> None:
    """Take away what was added after the first ``since`` rows: a file that fails half-way adds nothing."""
    for item in ADDED[since:]:
        del item.table[item.name]
    del ADDED[since:]
