"""Several runs side by side: what is stable over machines, what differs, and nothing absolute between unlike ones."""

import csv
import io
import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.__main__ import main
from bench.analysis.compare import Cell
from bench.analysis.compare_many import Standing, choose_places, compare_many, find_spread, judge_spread, tell_apart
from bench.cli.compare import split_words
from bench.errors import BenchError
from bench.report.comparison_figure import MOST_ROWS, Panel, Point, write_figure
from bench.report.comparison_many import describe_many, read_many

SPANS = st.lists(st.floats(1e-2, 1e2), min_size=3, max_size=3).map(sorted)
OTHER = {"machine": {"cpu": "B", "cpu_flags": ["aes"], "sha_ni": "absent"}}


def stand(*folders: Path, tolerance: float = 0.25) -> dict[tuple[str, str], Standing]:
    runs = read_many(folders)
    return {(item.place.kind, item.place.name): item for item in compare_many(runs.reports, runs.alike, tolerance)}


# -- the arithmetic ----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(spans=st.lists(SPANS, min_size=2, max_size=4), shares=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_the_interval_of_the_spread_covers_whatever_all_intervals_allow(
    spans: list[list[float]], shares: list[float]
) -> None:
    """The definition: wherever in its interval each ratio lies, the greatest over the least lies in the spread's."""
    spread = find_spread([Cell(middle, low, high) for low, middle, high in spans])
    assert spread is not None
    assert spread.low is not None
    assert spread.high is not None
    values = [low + share * (high - low) for (low, _, high), share in zip(spans, shares, strict=False)]
    assert spread.low * (1 - 1e-9) <= max(values) / min(values) <= spread.high * (1 + 1e-9)
    corners = [max(corner) / min(corner) for corner in product(*((low, high) for low, _, high in spans))]
    assert spread.high == pytest.approx(max(corners)), "and no wider than that"


@pytest.mark.parametrize(
    ("cells", "outcome"),
    [
        ([(1.0, 0.95, 1.05), (1.1, 1.05, 1.15)], "stable"),
        ([(1.0, 0.9, 1.1), (1.1, 1.0, 1.2)], "unresolved"),
        ([(1.0, 0.99, 1.01), (1.5, 1.4, 1.6)], "differs"),
        ([(1.0, 0.99, 1.01), (1.5, None, None)], "unresolved"),
        ([(1.0, 0.99, 1.01), (1.5, 1.4, 1.6), (1.5, None, None)], "differs"),
        ([(0.9, 0.85, 0.95, "faster"), (1.05, 1.03, 1.07, "slower")], "reversed"),
        ([(0.9, 0.85, 0.95, "faster"), (0.95, 0.85, 1.02, "unresolved")], "stable"),
        ([(None,), (1.0, 0.9, 1.1)], "unresolved"),
    ],
)
def test_what_is_stable(cells: list[tuple[Any, ...]], outcome: str) -> None:
    found = [Cell(*cell) for cell in cells]
    assert judge_spread(found, find_spread(found), 0.25) == outcome


@pytest.mark.parametrize("value", [None, 0, -1.0, math.inf, "text"])
def test_what_is_no_positive_number_has_no_spread(value: Any) -> None:
    assert find_spread([Cell(value), Cell(1.0)]) is None


# -- what is found -----------------------------------------------------------------------------------------------


def test_planted_differences_between_machines_are_found(two_runs: Any) -> None:
    changed = {("slow", 64): (4.0, 3.8, 4.2), ("fast", 64): (1.5, 1.4, 1.6)}
    found = stand(two_runs.write("a"), two_runs.write("b"), two_runs.write("c", changed, **OTHER))
    assert found["ratio", "slow 64"].outcome == "differs"
    assert found["ratio", "fast 64"].outcome == "reversed"
    assert found["ratio", "same 64"].outcome == "stable"
    assert found["ratio", "slow 1024"].outcome == "stable"
    assert found["control", "A/A control 64"].outcome == "holds"
    assert [cell and cell.value for cell in found["ratio", "slow 64"].cells] == [2, 2, 4]


def test_a_run_beside_itself_is_stable(two_runs: Any) -> None:
    run = two_runs.write("a")
    found = stand(run, run, run)
    assert {item.outcome for key, item in found.items() if key[0] == "ratio"} == {"stable"}


def test_a_ratio_of_one_run_alone_is_told(two_runs: Any) -> None:
    runs = (two_runs.write("a"), two_runs.write("b"), two_runs.write("c", {("new", 64): (1.5, 1.4, 1.6)}))
    assert stand(*runs)["ratio", "new 64"].outcome == "in one run"


def test_absolute_values_stand_beside_each_other_only_on_one_machine(two_runs: Any) -> None:
    a, b, c = two_runs.write("a"), two_runs.write("b"), two_runs.write("c", scale=7000, **OTHER)
    found = stand(a, b, c)
    cells = found["value", "slow 64"].cells
    assert [cell and cell.value for cell in cells] == [2000, 2000, None]
    assert "value" not in {kind for kind, _ in stand(a, c)}


def test_runs_are_grouped_by_what_they_ran_on(two_runs: Any) -> None:
    """However they are given: those of one machine stand beside each other."""
    a, b, c = two_runs.write("a"), two_runs.write("b", **OTHER), two_runs.write("c")
    runs = read_many([a, b, c])
    assert [report.folder for report in runs.reports] == [a, c, b]
    assert runs.alike.groups == ((0, 1), (2,))
    assert runs.alike.classes == ((0, 1), (2,))
    facts = {fact.key: fact.values for fact in runs.alike.facts}
    assert facts["machine.cpu"] == ("A", "A", "B")
    assert facts["machine.sha_ni"] == (None, None, "absent")
    assert runs.describe() == [
        "A: A, SHA-NI unknown", "B: A, SHA-NI unknown", "C: B, SHA-NI absent",
    ]  # fmt: skip


def test_a_package_that_differs_makes_no_group_but_no_absolute_values_either() -> None:
    contents = [{"machine": {"cpu": "A"}, "versions": {"packages": {"numpy": number}}} for number in ("1", "2", "1")]
    alike = tell_apart(contents)
    assert (alike.facts, alike.others) == ((), 1)
    assert alike.groups == ((0, 1, 2),)
    assert alike.classes == ((0, 2), (1,))


def test_another_question_is_refused_with_both_runs_and_the_key(two_runs: Any) -> None:
    a, b, c = two_runs.write("a"), two_runs.write("b"), two_runs.write("c", scenario={"pair": {"size": 2}})
    with pytest.raises(
        BenchError, match=r"^pair: expected the same scenario.pair.size in .*a and .*c, found .*: 1 -> 2"
    ):
        read_many([a, b, c])


def test_what_is_asked_for_is_chosen(two_runs: Any) -> None:
    runs = read_many([two_runs.write("a"), two_runs.write("b")])
    standings = compare_many(runs.reports, runs.alike, 0.25)
    chosen = choose_places(standings, ["library=slow,fast", "size_bytes=64", "column=ratio"])
    assert [item.place.name for item in chosen] == ["fast 64", "slow 64"]
    for words in ("hash=md5", "library=none"):
        with pytest.raises(BenchError, match=r"^--where: expected "):
            choose_places(standings, [words])


def test_the_caption_says_for_how_much_the_intervals_hold(two_runs: Any) -> None:
    caption = describe_many(read_many([two_runs.write("a"), two_runs.write("b"), two_runs.write("c")]), 0.1)
    assert "hold at 95 % for each table over the 3 runs at once" in caption
    assert "within 10 %" in caption


# -- what is printed ---------------------------------------------------------------------------------------------


@pytest.fixture
def call(two_runs: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    changed = {("slow", 64): (4.0, 3.8, 4.2)}
    folders = [two_runs.write("a"), two_runs.write("b"), two_runs.write("c", changed, **OTHER)]

    def run(*words: str) -> str:
        main(["compare", *map(str, folders), *words])
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


def test_the_text_has_a_column_per_run(call: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = call("pair")
    for part in (
        "A (group 1): ",
        "C (group 2): ",
        "cpu",
        "SHA-NI",
        "max/min",
        "1 differs",
        "[3.8, 4.2]",
        "2 slower",
    ):
        assert part in text
    assert "in one run is counted; --all lists it" in " ".join(text.split())


def test_csv_and_json_hold_every_run(call: Callable[..., str]) -> None:
    rows = list(csv.DictReader(io.StringIO(call("--format", "csv"))))
    content = json.loads(call("--format", "json"))
    assert len(rows) == len(content["findings"])
    (row,) = [row for row in rows if row["row"] == "library=slow, size_bytes=64" and row["kind"] == "ratio"]
    assert (row["A"], row["C"], row["C_low"], row["C_verdict"], row["outcome"]) == (
        "2",
        "4",
        "3.8",
        "slower",
        "differs",
    )
    assert content["groups"] == [["A", "B"], ["C"]]
    assert content["differences"]["machine.cpu"] == {"A": "A", "B": "A", "C": "B"}


def test_latex_has_a_column_per_run(call: Callable[..., str]) -> None:
    text = call("--format", "latex", "--where", "library=slow", "--where", "column=ratio")
    assert text.startswith("% From ehrbench compare; ")
    assert r"slow 64 & 2 {[}1.9, 2.1] & 2 {[}1.9, 2.1] & 4 {[}3.8, 4.2] &" in text


def test_a_tolerance_asks_the_same_of_two_runs(two_runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(two_runs.write("a")), str(two_runs.write("b")), "--format", "json", "--tolerance", "0.2"]
    main(["compare", *words])
    outcomes = {item["kind"]: item["outcome"] for item in json.loads(capsys.readouterr().out)["findings"]}
    assert outcomes["ratio"] == "stable"


def test_two_runs_have_latex_and_a_figure_too(
    two_runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(two_runs.write("a")), str(two_runs.write("b", {("slow", 64): (4.0, 3.8, 4.2)}))]
    main(["compare", *runs, "--format", "latex", "--figure", str(tmp_path / "x.svg")])
    out = capsys.readouterr().out
    assert "slow 64 & 2 {[}1.9, 2.1] & 4 {[}3.8, 4.2] & 2 {[}1.81, 2.211] & changed" in out
    assert "at 90 \\% or more" in out
    main(["compare", *runs, "--format", "csv", "--where", "library=slow", "--where", "size_bytes=64"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["row"] for row in rows} == {"library=slow, size_bytes=64"}
    assert b"at 90 % or more" in (tmp_path / "x.svg").read_bytes(), "the file carries its caption"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("table9",), "experiment: expected one of two runs or more (pair), found 'table9'"),
        (("--where", "x=1"), "--where: expected a key of a row (experiment, table, column, library, size_bytes"),
        (("--measure", "cpu"), "compare without --variants: expected nothing of the kind, found --measure"),
        (("--tolerance", "nan"), "--tolerance"),
        (("--figure", "x"), "--figure: expected a file that ends in .svg, .pdf, .png, found x"),
    ],
)
def test_bad_words_are_one_line(
    two_runs: Any, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["compare", *[str(two_runs.write(name)) for name in "abc"], *words])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1


def test_what_is_a_run_and_what_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder called like an experiment is a run only if it holds one."""
    monkeypatch.chdir(tmp_path)
    for name in ("load", "third"):
        (tmp_path / name).mkdir()
    assert split_words(("a", "hashes", "load", "third", "x/y", "table9")) == (
        [Path("a"), Path("hashes"), Path("third"), Path("x/y")], ["load", "table9"],
    )  # fmt: skip
    (tmp_path / "load" / "manifest.json").touch()
    assert split_words(("a", "b", "load"))[0] == [Path("a"), Path("b"), Path("load")]


# -- the figure --------------------------------------------------------------------------------------------------

PANELS = [
    Panel("time", "ratio", [("heading", []), ("one", [Point(1.5, 1.4, 1.6, is_resolved=True)]),
                            ("two", [Point(1.0, math.nan, math.nan, is_resolved=False)]),
                            ("A/A", [Point(1.0, 0.9, 1.1, is_resolved=False, is_control=True)])]),
    Panel("runs", "ratio", [("one", [Point(0.1, 0.09, 0.2, is_resolved=True, series=place) for place in range(3)])]),
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".svg", *(pytest.param(name, marks=pytest.mark.slow) for name in (".pdf", ".png"))])
def test_the_same_panels_are_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    files = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for file in files:
        write_figure(file, PANELS[: 2 if suffix == ".svg" else 1], ["a", "b", "c"], "A caption.", is_stacked=True)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_runs_are_told_apart_without_colour(tmp_path: Path) -> None:
    """By the shape of the mark; resolved ones are filled, others hollow, controls crosses."""
    from bench.report import comparison_figure

    styles = [comparison_figure._style_of(place, is_resolved=True, is_control=False) for place in range(7)]
    assert len({style["marker"] for style in styles}) == 7
    hollow = comparison_figure._style_of(0, is_resolved=False, is_control=False)
    assert hollow["markerfacecolor"] == "white" != styles[0]["markerfacecolor"]
    assert comparison_figure._style_of(0, is_resolved=False, is_control=True)["marker"] == "x"


def test_more_rows_than_a_page_are_refused(tmp_path: Path) -> None:
    rows = [(str(number), [Point(1.0, 0.9, 1.1, is_resolved=False)]) for number in range(MOST_ROWS + 1)]
    for panels in ([Panel("t", "x", rows)], []):
        with pytest.raises(BenchError, match=r"^--figure: expected 1 to 60 rows, found .*: choose some with --where$"):
            write_figure(tmp_path / "x.svg", panels, ["a"], "", is_stacked=True)
    assert list(tmp_path.iterdir()) == []
