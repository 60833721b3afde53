"""Tables of a run for other programs: CSV, Parquet and LaTeX, wide or long, with a data dictionary beside them.

What is written depends on the run alone, byte for byte.  CSV and LaTeX are the run's own files.  Parquet carries units,
titles and captions in its metadata, those of a column with the column.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.compare_sources import write_level
from bench.errors import BenchError
from bench.experiments.base import Column
from bench.files import write_atomic
from bench.loading import Run, refuse_name
from bench.report.latex import latex_rows
from bench.report.schema import DICTIONARY_COLUMNS, Field, Resource, Schema, list_columns

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES: Final = {"csv": ".csv", "parquet": ".parquet", "latex": ".tex", "bibtex": ".bib"}
DICTIONARY: Final = "dictionary"
LONG: Final = "long"
_LONG_TITLES: Final = {
    "table": "the table's name",
    "row": "the number of the row in its table, from 1",
    "name": "the columns that name the row, with their values",
    "column": "the column's name",
    "unit": "the unit of the number",
    "number": "the cell's number, 1 and 0 for true and false; missing for words and missing cells",
    "text": "the cell's words; missing for numbers and missing cells",
}


def export_tables(run: Run, form: str, names: Sequence[str], target: Path, *, is_long: bool = False) -> list[Path]:
    """Write tables (all if none is named) as ``form``, csv, parquet or latex; the paths that were written.

    A ``target`` that ends like such a file is one; everything else is a folder with a file per table.  Nothing is
    written unless everything can be made.  Raises `BenchError` for a table that the run does not have, a file that was
    edited, and a target inside of the run.
    """
    suffix = SUFFIXES[form]
    chosen = _choose(run, names)
    if is_long and form == "latex":
        raise BenchError("--long: expected csv or parquet, found latex, whose tables are those of the run")
    if (other := target.suffix.lower()) in SUFFIXES.values() and other != suffix:
        raise BenchError(f"-o: expected a folder or a file that ends in {suffix}, found {target}")
    if target.resolve().is_relative_to(run.folder.resolve()):
        raise BenchError(f"-o: expected a place outside of the run, which holds what it recorded alone, found {target}")
    is_file = target.suffix.lower() == suffix
    if is_file and len(chosen) > 1 and not is_long and form != "latex":
        raise BenchError(f"-o: expected a folder, one table or --long, found {target} for {len(chosen)} tables")
    contents = _make(run, form, chosen, is_long=is_long)
    # The dictionary of the long form says first what its own columns are.
    dictionary = encode(list_columns([_LONG, *chosen] if is_long else chosen), form, _DICTIONARY)
    if not is_file:
        files = {target / f"{name}{suffix}": data for name, data in contents.items()}
        files[target / f"{DICTIONARY}{suffix}"] = dictionary
    else:
        files = {target: b"\n".join(contents.values())}
        files[target.with_name(f"{target.stem}.{DICTIONARY}{suffix}")] = dictionary
    for path, data in files.items():
        write_atomic(path, data)
    return list(files)


def _choose(run: Run, names: Sequence[str]) -> list[Resource]:
    for name in names:
        if name not in run.schemas:
            raise refuse_name("table", name, run.schemas)
    if not run.schemas:
        raise BenchError(f"{run.folder}: expected tables, found none (make them with: ehrbench report {run.folder})")
    return [run.schemas[name] for name in dict.fromkeys(names or run.schemas)]


def _make(run: Run, form: str, chosen: Sequence[Resource], *, is_long: bool) -> dict[str, bytes]:
    """Content by the name of its file."""
    if is_long:
        return {LONG: encode(lengthen(run, chosen), form, _LONG)}
    if form == "latex":
        return {item.name: run.read_file(f"tables/{item.name}.tex") for item in chosen}
    # Each is read with its types first: a table that is not what it says is not handed on.
    frames = {item.name: run.tables[item.name] for item in chosen}
    if form == "csv":
        return {item.name: run.read_file(f"tables/{item.path}") for item in chosen}
    identity = {"run_id": run.id, "record_sha256": run.record_sha256 or ""}
    return {item.name: encode(frames[item.name], form, item, identity) for item in chosen}


def lengthen(run: Run, chosen: Sequence[Resource]) -> "pd.DataFrame":
    """All cells of the tables one below the other but for those that name rows, with columns as `_LONG_TITLES` says."""
    import pandas as pd

    rows = [row for item in chosen for row in _list_cells(item, run.tables[item.name])]
    frame = pd.DataFrame(rows, columns=list(_LONG_TITLES))
    return frame.astype({"row": "int64", "number": "float64"})


def _list_cells(item: Resource, frame: "pd.DataFrame") -> list[tuple[Any, ...]]:
    import pandas as pd

    keys = [field.name for field in item.fields if field.role in {"key", "control"}]
    rows: list[tuple[Any, ...]] = []
    columns = {name: frame[name].tolist() for name in frame}
    for number in range(len(frame)):
        named = {key: columns[key][number] for key in keys}
        name = ", ".join(
            f"{key}={write_level(value)}" for key, value in named.items() if not pd.isna(value) and value is not False
        )
        for field in item.fields:
            if field.name not in named:
                value = columns[field.name][number]
                is_word, is_gap = isinstance(value, str), pd.isna(value)
                figure = None if is_word or is_gap else float(value)
                rows.append((item.name, number + 1, name, field.name, field.unit, figure, value if is_word else None))
    return rows


def encode(frame: "pd.DataFrame", form: str, item: Resource, facts: dict[str, str] | None = None) -> bytes:
    """A frame as the content of a file of ``form``; ``facts`` go into Parquet's metadata."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    if form == "parquet":
        return _encode_parquet(frame, item, facts or {})
    columns = [Column(field.title, field.unit) for field in item.fields]
    rows = [["" if cell is None else str(cell) for cell in row] for row in frame.itertuples(index=False)]
    return latex_rows(item.name, item.description, columns, rows, [False] * len(columns)).encode()


def _encode_parquet(frame: "pd.DataFrame", item: Resource, facts: dict[str, str]) -> bytes:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise BenchError("parquet: expected pyarrow, found none (install it with: pip install pyarrow)") from None
    table = pa.Table.from_pandas(frame, preserve_index=False)
    about = {field.name: field for field in item.fields}
    fields = [
        field.with_metadata({"title": about[field.name].title, "unit": about[field.name].unit,
                             "meaning": about[field.name].description})
        for field in table.schema
    ]  # fmt: skip
    own = {"table": item.name, "caption": item.description, **facts}
    schema = pa.schema(fields, metadata={**(table.schema.metadata or {}), **own})
    buffer = BytesIO()
    parquet.write_table(table.cast(schema), buffer)
    return buffer.getvalue()


def _describe(name: str, caption: str, titles: dict[str, str]) -> Resource:
    fields = [Field(name=column, title=column.capitalize(), description=title) for column, title in titles.items()]
    return Resource(name=name, path=f"{name}.csv", experiment="", description=caption, schema=Schema(fields))


_DICTIONARY: Final = _describe(
    DICTIONARY, "What the columns of the tables hold.", {name: name for name in DICTIONARY_COLUMNS}
)
_LONG: Final = _describe(LONG, "The cells of tables, one a row.", _LONG_TITLES)
