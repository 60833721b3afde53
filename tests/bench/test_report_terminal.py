"""The terminal: fits, is plain where nobody watches, and never breaks a number."""

import io

import pandas as pd
import pytest
from rich.console import Console

from bench.experiments.base import Column, Table
from bench.report import print_summary
from bench.report.model import BuiltTable
from bench.report.terminal import _print_table


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _print(folder, **options):
    target = io.StringIO()
    print_summary(folder, file=target, **options)
    return target.getvalue()


@pytest.fixture
def wide_run(fake_run):
    def write(name):
        row = {"status": "ok", "is_native": True, "speed": 1 / 3, "note": "", "extra": 1}
        fake_run.write_rows([{"case": "a", "library": name, **row}])
        return fake_run.folder

    return write


def test_highlights_are_shown_and_the_path_comes_last(fake_run):
    text = _print(fake_run.folder, width=200)
    assert "Speed [MB/s]" not in text  # the unit has a line of its own
    lines = text.splitlines()
    assert "12300" in next(line for line in lines if "a_lib" in line)
    assert "Extra" not in text  # a table without highlights stays in the report
    assert lines[-1] == f"Report: {fake_run.folder / 'report.html'}"


@pytest.mark.parametrize("width", [24, 30, 40, 60, 80, 200])
def test_lines_fit_and_numbers_stay_whole(fake_run, width):
    lines = _print(fake_run.folder, width=width).splitlines()
    table = lines[next(n for n, line in enumerate(lines) if "─" in line) :][:-1]
    assert all(len(line) <= width for line in lines[:-1])
    if width >= 40:
        assert any("12300" in line for line in table)
    # What does not fit is left out and said, never broken.
    assert "12300" in "".join(table) or "more column" in "".join(table)


def test_the_path_is_never_broken(fake_run):
    assert _print(fake_run.folder, width=24).splitlines()[-1].endswith("report.html")


def test_plain_text_where_nobody_watches(fake_run, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    text = _print(fake_run.folder)
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_colours_on_a_terminal(fake_run, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    target = Terminal()
    print_summary(fake_run.folder, file=target, width=80)
    assert "\x1b[1m" in target.getvalue()


def test_values_cannot_send_control_codes(wide_run):
    text = _print(wide_run("\x1b[31mred\x07\x9b2J"), width=80)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\x9b" not in text
    assert "?[31mred" in text


def test_values_are_not_taken_for_markup(wide_run):
    assert "[bold]x[/bold] :smile:" in _print(wide_run("[bold]x[/bold] :smile:"), width=120)


def test_a_digest_is_cut_for_the_terminal(wide_run):
    text = _print(wide_run("ab" * 32), width=80)
    assert "ab" * 8 + "…" in text
    assert "ab" * 9 not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_lacks_a_character_gets_another(fake_run, encoding):
    raw = io.BytesIO()
    target = io.TextIOWrapper(raw, encoding=encoding)
    print_summary(fake_run.folder, file=target, width=80)
    text = raw.getvalue().decode(encoding)
    assert "----" in text
    assert "12300" in text


def test_a_closed_pipe_is_left_to_the_caller(fake_run):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        print_summary(fake_run.folder, file=Closed())


def test_standard_output_is_the_default(fake_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    print_summary(fake_run.folder)
    assert capsys.readouterr().out == _print(fake_run.folder, width=100)


def test_failures_and_status_are_said(fake_run):
    rows = [{"case": f"case-{n}", "status": "failed", "reason": f"reason {n}"} for n in range(7)]
    fake_run.write_rows(rows)
    fake_run.write_manifest(status="interrupted")
    text = _print(fake_run.folder, width=120)
    assert "This run was interrupted" in text
    assert "! demo: 7 of 7 rows are not ok" in text
    assert "! case-0: failed reason 0" in text
    assert "case-6" not in text
    assert "! 2 more in the report" in text


def test_long_tables_are_cut(fake_run):
    row = {"status": "ok", "is_native": True, "speed": 1.0, "note": "", "extra": 1}
    fake_run.write_rows([{"case": str(n), "library": f"library-{n}", **row} for n in range(30)])
    text = _print(fake_run.folder)
    assert "library-23" in text
    assert "library-24" not in text
    assert "... 6 more rows in the report" in text


def test_a_number_too_wide_takes_its_column_out(fake_run):
    row = {"status": "ok", "is_native": True, "note": "", "extra": 1}
    fake_run.write_rows([{"case": "a", "library": "l" * 12, "speed": -1e-300, **row}])
    text = _print(fake_run.folder, width=26)
    assert "... 1 more column in the report" in " ".join(text.split())


@pytest.mark.parametrize("width", range(60, 100))
def test_no_width_shrinks_a_column_of_numbers(width):
    """A heading of text that wraps must not take its room from the numbers beside it."""
    kinds = {
        "operation": "sha256",
        "control": False,
        "low": 156.123,
        "high": 256.123,
        "verdict": "unresolved",
        "last": 987.0,
    }
    columns = {name: Column("A/A control" if name == "control" else f"{name} of", "µJ") for name in kinds}
    table = Table("t", "Caption.", columns, lambda raw: raw, tuple(kinds))
    console = Console(width=width, file=io.StringIO())
    _print_table(console, BuiltTable(1, table, pd.DataFrame([kinds] * 2)))
    lines = [line.split() for line in console.file.getvalue().splitlines() if line.startswith("sha256")]
    assert len(lines) == 2
    assert all(set(line) <= {"sha256", "no", "156.123", "256.123", "unresolved", "987"} for line in lines)
