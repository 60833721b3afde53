"""Tables: all values for machines, one formatting for people, every special character harmless."""

import io
import math

import numpy as np
import pandas as pd
import pytest

from bench.errors import BenchError
from bench.experiments.base import Column, Table
from bench.report.tables import escape_markdown, format_value, html_table, markdown_table, write_table

COLUMNS = {"name": Column("Name_1"), "size": Column("Size", "µs", ".3g"), "is_fast": Column("Fast")}


def _table(**changes):
    fields = {"name": "demo", "caption": "A & B", "columns": COLUMNS, "build": lambda raw: raw} | changes
    return Table(**fields)


@pytest.fixture
def frame():
    return pd.DataFrame({"name": ["x_y", "a|b"], "size": [1 / 3, math.nan], "is_fast": [True, False]})


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (1234.5678, ".3g", "1230"),
        (123456.0, ".3g", "123000"),
        (1234567.0, ".3g", "1.23×10⁶"),
        (0.0000123, ".3g", "1.23×10⁻⁵"),
        (-1.5e-9, ".2g", "-1.5×10⁻⁹"),
        (0.125, ".1%", "12.5%"),
        (1e6, ",.0f", "1,000,000"),
        (3.0, "d", "3"),
        (np.int64(30720), "", "30720"),
        (np.float64(0.1), "", "0.1"),
        (1 / 3, "", "0.333333"),
        (True, ".3g", "yes"),
        (np.bool_(False), "", "no"),
        (math.nan, ".3g", "–"),
        (None, "", "–"),
        (pd.NA, "", "–"),
        (pd.NaT, "", "–"),
        (math.inf, ".3g", "∞"),
        (-math.inf, "d", "-∞"),
        ("text", ".3g", "text"),
        ("", "", ""),
        ([1.5, 2], ".1f", "1.5, 2.0"),
    ],
)
def test_values_are_shown_as_people_write_them(value, form, text):
    assert format_value(value, form) == text


def test_csv_keeps_names_and_full_precision(tmp_path, frame):
    csv, _ = write_table(_table(), frame, tmp_path / "tables")
    assert csv.read_bytes() == b"name,size,is_fast\nx_y,0.3333333333333333,True\na|b,,False\n"
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(csv.read_bytes())), frame)


def test_markdown_is_aligned_and_escaped(frame):
    assert markdown_table(_table(), frame).splitlines() == [
        r"| Name\_1 | Size \[µs\] | Fast |",
        "| --- | ---: | --- |",
        r"| x\_y | 0.333 | yes |",
        r"| a\|b | – | no |",
    ]


def test_markdown_lets_no_markup_through():
    assert escape_markdown("<b>*x*</b>\n`[a](b)`") == r"&lt;b&gt;\*x\*&lt;/b&gt; \`\[a\](b)\`"


def test_html_is_escaped_and_numbers_are_marked(frame):
    frame.loc[0, "name"] = '<img src=x onerror="alert(1)">'
    text = html_table(_table(), frame)
    assert "<img" not in text
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" in text
    assert '<th scope="col" class="num">Size <span class="unit">[µs]</span></th>' in text
    assert '<td class="num">0.333</td>' in text
    assert '<td class="num">–</td><td>no</td>' in text


@pytest.mark.parametrize("render", [markdown_table, html_table])
def test_long_tables_are_cut_where_asked(render, frame):
    assert "0.333" in render(_table(), frame, 1)
    assert "–" not in render(_table(), frame, 1)
    assert "–" in render(_table(), frame)


def test_an_empty_table_is_a_heading(tmp_path, frame):
    empty = frame.iloc[:0]
    csv, tex = write_table(_table(), empty, tmp_path)
    assert csv.read_text() == "name,size,is_fast\n"
    assert "\\midrule\n\\bottomrule" in tex.read_text()
    assert markdown_table(_table(), empty).count("\n") == 1
    assert "<tbody>" in html_table(_table(), empty)


def test_a_column_of_missing_numbers_is_still_one_of_numbers(frame):
    frame["size"] = math.nan
    assert "---:" in markdown_table(_table(), frame)


@pytest.mark.parametrize(
    "columns", [["name", "size"], ["size", "name", "is_fast"], ["name", "size", "is_fast", "more"]]
)
def test_columns_that_were_not_declared_are_a_bug(tmp_path, frame, columns):
    with pytest.raises(ValueError, match="table demo: expected the columns"):
        write_table(_table(), frame.assign(more=1)[columns], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_highlight_that_is_no_column_is_a_bug(tmp_path, frame):
    with pytest.raises(ValueError, match="highlights"):
        write_table(_table(highlights=("speed",)), frame, tmp_path)


def test_a_file_in_place_of_the_folder_is_named(tmp_path, frame):
    (tmp_path / "tables").write_text("in the way")
    with pytest.raises(BenchError, match="tables/demo.csv: expected a file that can be written"):
        write_table(_table(), frame, tmp_path / "tables")
