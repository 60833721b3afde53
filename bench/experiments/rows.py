"""From raw rows to those of tables, and back."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from bench.experiments.base import Column, Frame, Row


def select_rows(raw: Frame, kind: str, columns: Mapping[str, Column], types: Mapping[str, type] | None = None) -> Frame:
    """Rows of a kind (all, where none has any) with a table's columns; one that no row has is missing throughout.

    What is counted is a whole number again where none is missing; ``types`` are those of other columns.
    """
    rows = raw[raw["kind"] == kind] if "kind" in raw else raw
    rows = rows.reindex(columns=list(columns)).reset_index(drop=True)
    whole = [name for name, column in columns.items() if column.form.endswith("d") and rows[name].notna().all()]
    return rows.astype({**dict.fromkeys(whole, int), **(types or {})})


def to_frame(rows: Collection[Any], columns: Mapping[str, Column]) -> Frame:
    """Rows, as mappings or in the columns' order, as a table."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns))


def list_rows(frame: Frame) -> list[Row]:
    """The rows of a table."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def describe_medians(part: Frame, sources: Mapping[str, tuple[str, float]]) -> Row:
    """Medians of raw columns, scaled: by their new names, what they are made of and the factor."""
    return {name: part[source].astype(float).median() * scale for name, (source, scale) in sources.items()}


def list_legs(columns: Iterable[object]) -> Iterator[tuple[str, str, str]]:
    """Each leg that raw columns ``messages:SENDER>RECEIVER`` name: as they do, its sender and its receiver."""
    for name in map(str, columns):
        if name.startswith("messages:"):
            leg = name.removeprefix("messages:")
            sender, _, receiver = leg.partition(">")
            yield leg, sender, receiver
