"""What a table's file says of its columns, and that it is read back as it was built."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.experiments.base import Column, Comparison, Table
from bench.report.schema import (
    Field,
    Package,
    Resource,
    Schema,
    describe_table,
    find_dtype,
    guess_dtype,
    list_columns,
    parse_table,
    read_package,
)

#: Words that pandas would take for missing values, numbers or truths.
WORDS = ["NA", "None", "nan", "null", "7.0", "12", "1e5", "inf", "True", "a,b", 'say "so"', "x\ny", "é–µ", " "]
CELLS: dict[str, Any] = {
    "bool": st.booleans(),
    "int64": st.integers(-(2**53), 2**53),
    "float64": st.floats(allow_nan=False),
    "string": st.sampled_from(WORDS),
}


def table_of(columns: dict[str, Column], **more: Any) -> Table:
    return Table("demo", "A demo.", columns, lambda raw: raw, **more)


def reread(frame: pd.DataFrame, columns: dict[str, Column]) -> pd.DataFrame:
    resource = describe_table("e", table_of(columns), frame)
    return parse_table(frame.to_csv(index=False, lineterminator="\n").encode(), resource, "demo.csv")


def plain(values: "pd.Series[Any]") -> list[Any]:
    """Values with their Python types; what is missing, and the empty word, as None."""
    return [None if pd.isna(value) or value == "" else value for value in values.tolist()]


@settings(max_examples=40)
@given(data=st.data(), kind=st.sampled_from(list(CELLS)), has_gaps=st.booleans())
def test_a_column_is_read_back_as_it_was_built(data: st.DataObject, kind: str, has_gaps: bool) -> None:
    cells = st.one_of(st.none(), CELLS[kind]) if has_gaps else CELLS[kind]
    values = data.draw(st.lists(cells, min_size=1, max_size=6).filter(lambda found: any(v is not None for v in found)))
    # An engine's rows give objects; a plan's give numbers with gaps.
    frame = pd.DataFrame({"key": range(len(values)), "x": pd.Series(values, dtype=None if not has_gaps else object)})
    found = reread(frame, {"key": Column("Key"), "x": Column("X", "ns", ".3f")})
    assert plain(found["x"]) == plain(frame["x"])
    assert [type(value) for value in plain(found["x"])] == [type(value) for value in plain(frame["x"])]
    assert found["key"].dtype == "int64"


@pytest.mark.parametrize(
    ("values", "form", "expected"),
    [
        ([True, False], "", "bool"),
        ([True, None], "", "boolean"),
        ([1, 2], "", "int64"),
        ([12.0, math.nan], ".0f", "Int64"),
        ([12.0, 16.0], ".0f", "float64"),  # whole by chance
        ([1.0, math.nan], ".3f", "float64"),  # a ratio
        ([1.5, math.nan], ".0f", "float64"),
        ([math.inf, math.nan], "", "float64"),
        ([math.nan, math.nan], "", "float64"),
        (["a", None], "", "string"),
        (["12", 12], "", "string"),
        ([None, None], "", "string"),
        ([], "", "string"),
    ],
)
def test_the_type_of_a_column_is_told_by_its_values_and_its_form(values: Any, form: str, expected: str) -> None:
    assert find_dtype(pd.Series(values, dtype=None if values else object), form) == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["True", "False"], "bool"),
        (["True", ""], "boolean"),
        (["1", "-2"], "int64"),
        (["1", ""], "Int64"),
        (["1.0", ""], "float64"),
        (["inf", "-inf", "2e-05"], "float64"),
        (["nan"], "string"),
        (["1_0"], "string"),
        (["3.11.7"], "string"),
        (["", ""], "float64"),
    ],
)
def test_without_a_description_the_cells_decide(cells: list[str], expected: str) -> None:
    assert guess_dtype(cells) == expected


def test_a_version_that_looks_like_a_number_stays_a_word() -> None:
    """The description is what tells: the cells could not."""
    found = reread(pd.DataFrame({"version": ["7.0", "8.1"]}), {"version": Column("Version")})
    assert found["version"].tolist() == ["7.0", "8.1"]


def test_columns_say_what_they_are_for() -> None:
    names = ("size", "is_control", "ratio", "ratio_low", "ratio_high", "verdict", "count", "rate", "processes")
    columns = {name: Column(name.capitalize()) for name in names}
    table = table_of(columns, comparisons=(Comparison(("size",)),), exact=("count",), ordered=("rate",))
    fields = {field.name: field for field in describe_table("e", table).fields}
    assert {name: field.role for name, field in fields.items()} == {
        "size": "key", "is_control": "control", "ratio": "ratio", "ratio_low": "low", "ratio_high": "high",
        "verdict": "verdict", "count": "exact", "rate": "order", "processes": "value",
    }  # fmt: skip
    assert fields["ratio_low"].description == "lower end of the interval of: Ratio"
    assert fields["processes"].description == "fresh processes that were measured; each counts once"


def test_the_dictionary_has_a_row_per_column() -> None:
    fields = [Field(name="a", title="A", unit="ns"), Field(name="b", title="B")]
    item = Resource(name="t", path="t.csv", experiment="e", description="T.", schema=Schema(fields))
    assert list_columns([item])[["table", "column", "unit"]].to_numpy().tolist() == [["t", "a", "ns"], ["t", "b", ""]]
    assert item.units == {"a": "ns"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", "demo.csv: expected the columns a, found a, b"),
        ("a\nx\n", "demo.csv: expected a int64 in column a, found: "),
        ("a\n1.5\n", "demo.csv: expected a int64 in column a, found: "),
        ('a\n""\n', "demo.csv: expected a int64 in column a, found: "),
    ],
)
def test_what_is_not_as_described_is_refused(text: str, expected: str) -> None:
    schema = Schema([Field(name="a", title="A", dtype="int64", type="integer")])
    item = Resource(name="t", path="t.csv", experiment="e", description="T.", schema=schema)
    with pytest.raises(BenchError) as error:
        parse_table(text.encode(), item, "demo.csv")
    assert str(error.value).startswith(expected)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"resources": [{"name": 1}]}', b"\xff"])
def test_what_is_no_package_is_one_line(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"^here: expected a description of tables, found: ") as error:
        read_package(data, "here")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "path"),
    [("../evil", "../evil.csv"), ("t", "../t.csv"), ("t", "/etc/passwd"), ("", ".csv"), ("a\0", "a\0.csv")],
)
def test_a_table_that_leads_out_of_its_folder_is_refused(name: str, path: str) -> None:
    item = Resource(name=name, path=path, experiment="e", description="T.", schema=Schema([]))
    with pytest.raises(BenchError, match=r"^here: expected tables and files of one name, found "):
        read_package(msgspec.json.encode(Package(resources=[item])), "here")


@pytest.mark.parametrize("data", [b"", b"a\n1,2\n1,2,3\n", b"a\n\xff\n", b"a\n99999999999999999999\n"])
def test_a_file_that_is_no_such_table_is_one_line(data: bytes) -> None:
    schema = Schema([Field(name="a", title="A", dtype="int64", type="integer")])
    item = Resource(name="t", path="t.csv", experiment="e", description="T.", schema=schema)
    with pytest.raises(BenchError, match=r"^demo.csv: expected "):
        parse_table(data, item, "demo.csv")


def test_the_package_is_one_of_frictionless() -> None:
    """The standard asks for these names: a path per resource, and a name and a type per field."""
    frame = pd.DataFrame({"a": [1], "b": [True], "c": [1.5], "d": ["x"]})
    item = describe_table("e", table_of({name: Column(name) for name in frame}), frame)
    content = json.loads(msgspec.json.encode(Package(resources=[item])))
    assert content["profile"] == "tabular-data-package"
    (resource,) = content["resources"]
    assert resource["path"] == "demo.csv"
    assert resource["schema"]["missingValues"] == [""]
    assert [field["type"] for field in resource["schema"]["fields"]] == ["integer", "boolean", "number", "string"]
