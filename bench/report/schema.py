"""What the columns of a run's tables are: titles, units, types and meanings, in a file beside the tables.

``tables/datapackage.json`` follows the Frictionless standard for tabular data packages (specs.frictionlessdata.io), so
that a table is read with its types by whoever has the file, and by `bench.load` without being built again.
"""

import math
import re
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from bench.errors import BenchError
from bench.experiments.base import Table

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.model import Report

FILE: Final = "tables/datapackage.json"
Dtype = Literal["bool", "boolean", "int64", "Int64", "float64", "string"]
#: pandas' types -> those of the standard.  Int64 is a number: a column with gaps may be written with a point.
_TYPES: Final = {
    "bool": "boolean", "boolean": "boolean", "int64": "integer", "Int64": "number", "float64": "number",
    "string": "string",
}  # fmt: skip
_TRUTHS: Final = {"True": True, "False": False}
#: Forms of columns whose numbers may all be whole by nature, not by chance.
_WHOLE_FORMS: Final = ("", ".0f", "d", ",d")
#: What columns mean that many tables have, where the title does not say it.
_COMMON: Final = {
    "processes": "fresh processes that were measured; each counts once",
    "blocks": "blocks in which all variants were measured close together, over all processes",
    "voided": "blocks or repeats that do not count, for others took too much of the machine meanwhile",
    "harness_share": "what the measuring loop itself adds to a call",
    "repeats": "whole repeats; each counts once",
    "pairs": "repeats in which both the variant and its base were measured",
    "failed": "cases that were tried and gave no result",
    "is_weak": "collisions are practical: measured for comparison only",
    "base": "the variant that the row is compared with",
    "version": "version of the library",
    "openssl": "the OpenSSL that the library uses",
    "energy_status": "whether energy was measured by the processor's counters or estimated from its time",
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A column.  ``dtype`` is pandas'; ``role`` is key, control, ratio, low, high, verdict, exact, order or value."""

    name: str
    title: str
    type: str = "string"
    unit: str = ""
    dtype: Dtype | None = None
    role: str = "value"
    description: str = ""


class Schema(msgspec.Struct, frozen=True, rename="camel"):
    """The columns in their order; an empty cell is a missing value, of words, too."""

    fields: list[Field]
    missing_values: list[str] = msgspec.field(default_factory=lambda: [""])


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A table; ``description`` is its caption."""

    name: str
    path: str
    experiment: str
    description: str
    schema: Schema

    @property
    def fields(self) -> list[Field]:
        return self.schema.fields

    @property
    def units(self) -> dict[str, str]:
        """Column -> unit, of those that have one."""
        return {field.name: field.unit for field in self.fields if field.unit}


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """All tables of a run."""

    profile: str = "tabular-data-package"
    name: str = "tables"
    resources: list[Resource]


def write_package(report: "Report") -> bytes:
    """The content of `FILE`; equal reports give equal bytes."""
    resources = [
        describe_table(section.experiment.id, built.table, built.frame)
        for section in report.sections
        for built in section.tables
    ]
    return msgspec.json.format(msgspec.json.encode(Package(resources=resources)), indent=1) + b"\n"


def read_package(data: bytes, source: str) -> dict[str, Resource]:
    """Tables by name; `BenchError` naming ``source`` for anything else than a package."""
    try:
        package = msgspec.json.decode(data, type=Package)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BenchError(f"{source}: expected a description of tables, found: {error}") from None
    for item in package.resources:
        # Files are read and written by these names: none of them leads out of a folder.
        if not re.fullmatch(r"[\w-]+", item.name) or item.path != f"{item.name}.csv":
            raise BenchError(f"{source}: expected tables and files of one name, found {item.name!r} in {item.path!r}")
    return {item.name: item for item in package.resources}


def describe_table(experiment: str, table: Table, frame: "pd.DataFrame | None" = None) -> Resource:
    """What a table's columns are; without its values no types."""
    fields = []
    for name, column in table.columns.items():
        dtype = None if frame is None else find_dtype(frame[name], column.form)
        role, meaning = _describe_column(table, name)
        fields.append(
            Field(name=name, title=column.title, type=_TYPES[dtype or "string"], unit=column.unit, dtype=dtype,
                  role=role, description=meaning)
        )  # fmt: skip
    path = f"{table.name}.csv"
    return Resource(name=table.name, path=path, experiment=experiment, description=table.caption, schema=Schema(fields))


def _describe_column(table: Table, name: str) -> tuple[str, str]:
    """A column's role and what it means, in words."""
    title = table.columns[name].title
    keys = {key for item in table.comparisons for key in item.keys} | set(table.keys)
    bare, _, end = name.rpartition("_")
    ends = {"low": "lower end of the interval", "high": "upper end of the interval"}
    if name == "is_control":
        return "control", "true where the base was measured against itself"
    if end in ends and bare in table.columns:
        return end, f"{ends[end]} of: {table.columns[bare].title}"
    for item in table.comparisons:
        if name == item.verdict:
            return "verdict", f"what the interval lets one say of: {table.columns[item.ratio].title}"
        if name == item.ratio:
            return "ratio", f"{title}: the row's variant over the base"
    if name in keys:
        return "key", f"{title}; names the row"
    role = "exact" if name in table.exact else "order" if name in table.ordered else "value"
    return role, _COMMON.get(name, title)


def find_dtype(values: "pd.Series[Any]", form: str = "") -> Dtype:
    """The type as which the values of a built column are to be read back; ``form`` is the column's."""
    import pandas as pd

    present = [value for value in values.dropna() if value != ""]
    has_gaps = len(present) < len(values)
    if present and all(pd.api.types.is_bool(value) for value in present):
        return "boolean" if has_gaps else "bool"
    if pd.api.types.is_integer_dtype(values.dtype) and not has_gaps:
        return "int64"
    if present and all(pd.api.types.is_integer(value) for value in present):
        return "Int64"
    if pd.api.types.is_float_dtype(values.dtype) or (present and all(map(pd.api.types.is_number, present))):
        is_whole = present and all(math.isfinite(value) and value == int(value) for value in present)
        return "Int64" if is_whole and has_gaps and form in _WHOLE_FORMS else "float64"
    return "string"


def parse_table(data: bytes, resource: Resource, source: str) -> "pd.DataFrame":
    """The table that a CSV file holds, with its types; caption, titles and units stand in its ``attrs``.

    Of columns without a type, what all of their cells look like decides.  Raises `BenchError` naming ``source`` if the
    columns or a cell are not those of ``resource``.
    """
    import pandas as pd

    try:  # words such as NA and None are words: only nothing is missing
        text = pd.read_csv(BytesIO(data), dtype=str, na_filter=False)
    except ValueError as error:
        raise BenchError(f"{source}: expected a CSV file, found: {error}") from None
    names = [field.name for field in resource.fields]
    if list(text.columns) != names:
        raise BenchError(f"{source}: expected the columns {', '.join(names)}, found {', '.join(text.columns)}")
    columns = {}
    for field in resource.fields:
        try:
            columns[field.name] = _convert(text[field.name], field.dtype or guess_dtype(text[field.name]))
        except (ValueError, KeyError, OverflowError) as error:
            raise BenchError(f"{source}: expected a {field.dtype} in column {field.name}, found: {error}") from None
    frame = pd.DataFrame(columns, columns=names)
    titles = {field.name: field.title for field in resource.fields}
    frame.attrs = {"name": resource.name, "experiment": resource.experiment, "caption": resource.description,
                   "titles": titles, "units": resource.units}  # fmt: skip
    return frame


def _convert(values: "pd.Series[str]", dtype: Dtype) -> "pd.Series[Any]":
    import pandas as pd

    if dtype == "string":
        return values.mask(values == "")
    found: list[Any]
    if dtype in {"bool", "boolean"}:
        found = [None if cell == "" and dtype == "boolean" else _TRUTHS[cell] for cell in values]
    elif dtype in {"int64", "Int64"}:
        found = [None if cell == "" and dtype == "Int64" else _to_whole(cell) for cell in values]
    else:
        found = [float(cell) if cell else math.nan for cell in values]
    return pd.Series(found, dtype=dtype, index=values.index)


def _to_whole(cell: str) -> int:
    whole, _, rest = cell.partition(".")
    if rest.strip("0"):
        raise ValueError(repr(cell))
    return int(whole)


def guess_dtype(values: Iterable[str]) -> Dtype:
    """The narrowest type that all cells allow: truths, whole numbers, numbers, words."""
    cells = list(values)
    present = [cell for cell in cells if cell]
    if present and all(cell in _TRUTHS for cell in present):
        return "bool" if len(present) == len(cells) else "boolean"
    try:
        numbers = [float(cell) for cell in present]
    except ValueError:
        return "string"
    if numbers and all(cell.lstrip("-").isdigit() for cell in present):
        return "int64" if len(present) == len(cells) else "Int64"
    return "float64" if all(map(_is_written_plain, present)) else "string"


def _is_written_plain(cell: str) -> bool:
    """Whether a cell is a number as tables write it: not one of the other words that `float` takes."""
    return not cell.strip("-+.0123456789e") or cell.lstrip("-") == "inf"


DICTIONARY_COLUMNS: Final = ("table", "column", "title", "unit", "type", "role", "meaning")


def list_columns(resources: Iterable[Resource]) -> "pd.DataFrame":
    """The data dictionary: a row per table and column."""
    import pandas as pd

    rows = [
        (item.name, field.name, field.title, field.unit, field.dtype or "", field.role, field.description)
        for item in resources
        for field in item.fields
    ]
    return pd.DataFrame(rows, columns=list(DICTIONARY_COLUMNS), dtype=str)
