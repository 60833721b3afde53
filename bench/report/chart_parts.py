"""What the charts are made of: records with rounded numbers, axes and lists to choose from, in Vega-Lite's JSON."""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

Frames = Mapping[str, "pd.DataFrame"]
Spec = dict[str, Any]
Records = list[dict[str, Any]]

POINT: Final[Spec] = {"type": "point", "filled": True, "size": 70, "opacity": 0.9}
LINE: Final[Spec] = {"type": "line", "point": {"size": 50}}
#: The signal by which the page switches between engines, and what leaves out the others.
ENGINE: Final[Spec] = {"name": "engine", "value": "all"}
OF_ENGINE: Final[Spec] = {"filter": "engine == 'all' || datum.engine == engine"}
_DIGITS: Final = ".6g"
_SHOWN: Final = ".4~g"
_ROLES: Final = ("agents", "coordinators", "administrators", "contributors")


def make_chart(records: Records, height: Any = 320, **parts: Any) -> Spec | None:
    """A specification as wide as its place; None without a record."""
    if not records:
        return None
    values = [{key: round_number(value) for key, value in record.items()} for record in records]
    frame = {"width": "container", "height": height, "autosize": {"type": "fit-x", "contains": "padding"}}
    return {**frame, "data": {"values": values}, **parts}


def list_rows(frames: Frames, table: str) -> Records:
    """The rows of a table, none if it was not built."""
    rows = frames[table].to_dict("records") if table in frames else []
    return [{str(name): value for name, value in row.items()} for row in rows]


def round_number(value: Any) -> Any:
    """A number in as many digits as anybody sees; None for one that is missing or infinite."""
    if not isinstance(value, float):
        return value
    return float(format(value, _DIGITS)) if math.isfinite(value) else None


def keep(row: Mapping[str, Any], *columns: str) -> dict[str, Any]:
    """These columns of a row."""
    return {name: round_number(row[name]) for name in columns}


def name_configuration(row: Mapping[str, Any]) -> str:
    """How many nodes of each role, as the paper's letters have it: A2 C2 O1 K3."""
    return " ".join(f"{letter}{row[name]:.0f}" for letter, name in zip("ACOK", _ROLES, strict=True))


def name_rule(row: Mapping[str, Any]) -> str:
    """A consensus rule, of proof of work with its difficulty."""
    bits = round_number(row["difficulty_bits"])
    return str(row["rule"]) if bits is None else f"{row['rule']}, {bits:g} bits"


def axis(field: str, title: str, *, is_log: bool = False, **scale: Any) -> Spec:
    """A number along an axis; layers share the titles that are not ''."""
    chosen = {"type": "log", **scale} if is_log else scale
    lines = {"axis": {"tickCount": 6, "format": _SHOWN}} if is_log else {}
    return {
        "field": field,
        "type": "quantitative",
        "title": title or None,
        **({"scale": chosen} if chosen else {}),
        **lines,
    }


def named(field: str, title: str) -> Spec:
    """A name that is told by colour or shape."""
    return {"field": field, "type": "nominal", "title": title or None}


def tips(records: Records, **titles: str) -> list[Spec]:
    """What the pointer shows, field by field; numbers in four digits."""
    numeric = {name for name in titles if any(isinstance(record.get(name), float) for record in records)}
    return [
        {"field": name, "title": title, **({"type": "quantitative", "format": _SHOWN} if name in numeric else
                                           {"type": "nominal"})}
        for name, title in titles.items()
    ]  # fmt: skip


def select(
    field: str, label: str, records: Iterable[Mapping[str, Any]], first: Mapping[str, int] = MappingProxyType({})
) -> Spec:
    """A list to choose one value of a field from, bound to the signal of which `picked` asks.

    The value to begin with is the one that has the most of ``first``, of several the one that occurs first.
    """
    options = list(dict.fromkeys(record[field] for record in records))
    bound = {"input": "select", "options": options, "name": f"{label} "}
    value = max(options, key=lambda option: first.get(option, 0), default="")
    return {"name": f"chosen_{field}", "value": value, "bind": bound}


def picked(field: str) -> Spec:
    """What leaves out all other values than the one that was chosen."""
    return {"filter": f"datum.{field} == chosen_{field}"}
