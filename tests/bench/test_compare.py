"""What changed from one run to another: each change with an interval that cannot be too narrow, nothing hidden."""

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from bench.__main__ import main
from bench.analysis.compare import Cell, Finding, Place, compare_runs, divide, list_cells, rank_rows
from bench.errors import BenchError
from bench.report import read_report
from bench.report.comparison import read_runs


def compare(before: Path, after: Path) -> dict[tuple[str, str], Finding]:
    """Findings by kind and the row's name."""
    runs = read_runs(before, after, ("A", "B"))
    found = compare_runs(runs.before, runs.after, runs.differences)
    return {(item.place.kind, item.place.name): item for item in found}


def out_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(["compare", *words])
    out, err = capsys.readouterr()
    assert err == ""
    return out


# -- the arithmetic ----------------------------------------------------------------------------------------------

SPANS = st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3).map(sorted)


@given(before=SPANS, after=SPANS, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_the_interval_of_a_change_covers_whatever_both_intervals_allow(
    before: list[float], after: list[float], shares: tuple[float, float]
) -> None:
    """The definition: any value of the one over any value of the other; and no wider than that."""
    change = divide(Cell(after[1], after[0], after[2]), Cell(before[1], before[0], before[2]))
    assert change is not None
    assert change.low is not None
    assert change.high is not None
    old, new = (span[0] + share * (span[2] - span[0]) for span, share in zip((before, after), shares, strict=True))
    assert change.low * (1 - 1e-9) <= new / old <= change.high * (1 + 1e-9)
    assert change.low == after[0] / before[2]
    assert change.high == after[2] / before[0]
    assert change.low <= change.value <= change.high


@pytest.mark.parametrize("value", [None, 0, -1.0, math.inf, True, "text"])
def test_what_is_no_positive_number_has_no_change(value: Any) -> None:
    assert divide(Cell(value), Cell(1.0)) is None
    assert divide(Cell(1.0), Cell(value)) is None


def test_without_an_interval_there_is_a_change_without_one() -> None:
    assert divide(Cell(3.0), Cell(2.0, 1.9, 2.1)) == Cell(1.5, None, None)


@given(pairs=st.lists(st.tuples(st.integers(-5, 5), st.floats(-9, 9)), max_size=12))
def test_rho_is_that_of_scipy(pairs: list[tuple[int, float]]) -> None:
    cells = [
        (Place("e", "t", "rank", "c", (("row", row),)), Cell(one), Cell(other))
        for row, (one, other) in enumerate(pairs)
    ]
    found = list(rank_rows(cells))
    if not pairs:
        assert found == []
        return
    (finding,) = found
    assert finding.place.row == (("rows", len(pairs)),)
    if len(pairs) < 3 or any(len(set(values)) < 2 for values in zip(*pairs, strict=True)):
        assert (finding.change, finding.outcome) == (None, "unresolved")
        return
    expected = spearmanr(*zip(*pairs, strict=True)).statistic
    assert finding.change is not None
    assert finding.change.value == pytest.approx(expected, abs=1e-9)
    assert finding.outcome == ("same" if finding.change.value >= 0.9 else "changed")


# -- what is found -----------------------------------------------------------------------------------------------


def test_a_run_beside_itself_has_not_changed(two_runs: Any) -> None:
    run = two_runs.write("a")
    found = compare(run, run)
    assert Counter(item.outcome for item in found.values()) == {"unresolved": 10, "same": 7, "holds": 1}
    assert all(item.change is None or item.change.value == pytest.approx(1) for item in found.values())


def test_a_planted_change_is_found_with_its_interval(two_runs: Any) -> None:
    found = compare(two_runs.write("a"), two_runs.write("b", {("slow", 64): (4.0, 3.8, 4.2)}))
    item = found["ratio", "slow 64"]
    assert item.outcome == "changed"
    assert (item.before, item.after) == (Cell(2, 1.9, 2.1, "slower"), Cell(4, 3.8, 4.2, "slower"))
    assert item.change == Cell(2.0, 3.8 / 2.1, 4.2 / 1.9)
    changed = {key for key, item in found.items() if item.outcome == "changed"}
    assert changed == {("ratio", "slow 64"), ("value", "slow 64")}, "the ratio and the time behind it"


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ((1.03, 1.029, 1.031), "changed"),
        ((0.97, 0.969, 0.971), "changed"),
        ((1.015, 1.014, 1.016), "unresolved"),  # sure, but less than 2 %
        ((1.30, 0.95, 1.6), "unresolved"),  # large, but not sure
        ((1.30, None, None), "unresolved"),
    ],
)
def test_a_change_is_sure_and_at_least_two_per_cent(two_runs: Any, after: Any, outcome: str) -> None:
    before = two_runs.write("a", {("same", 64): (1.0, 0.9999, 1.0001)})
    assert compare(before, two_runs.write("b", {("same", 64): after}))["ratio", "same 64"].outcome == outcome


def test_there_and_back_are_reciprocal(two_runs: Any) -> None:
    one, other = two_runs.write("a"), two_runs.write("b", {("slow", 64): (4.0, 3.8, 4.2)}, {3: (31, 1.0)})
    there, back = compare(one, other), compare(other, one)
    assert there.keys() == back.keys()
    for key, item in there.items():
        assert item.outcome == back[key].outcome
        if key[0] in {"ratio", "value"} and item.change and item.change.low:
            mirror = back[key].change
            assert mirror is not None
            assert item.change[:3] == pytest.approx((1 / mirror.value, 1 / mirror.high, 1 / mirror.low))


def test_rows_of_one_run_alone_are_listed(two_runs: Any) -> None:
    found = compare(two_runs.write("a", {("slow", 64): None}), two_runs.write("b", {("fast", 64): None}, {6: None}))
    assert {key[1]: item.outcome for key, item in found.items() if item.outcome.startswith("only")} == {
        "slow 64": "only in B",
        "fast 64": "only in A",
        "6": "only in A",
    }
    assert found["ratio", "slow 64"].before is None


def test_what_the_seed_determines_is_compared_exactly(two_runs: Any) -> None:
    found = compare(two_runs.write("a"), two_runs.write("b", facts={3: (31, 21.0)}))
    assert [key for key, item in found.items() if item.outcome == "changed"] == [("exact", "3")]
    assert (found["exact", "3"].before, found["exact", "3"].after) == (Cell(30), Cell(31))


def test_an_order_that_changed_is_found(two_runs: Any) -> None:
    found = compare(two_runs.write("a"), two_runs.write("b", facts={row: (10 * row, -row) for row in range(1, 7)}))
    item = found["rank", "6"]
    assert (item.outcome, item.change) == ("changed", Cell(pytest.approx(-1)))


@pytest.mark.parametrize(("low", "verdict"), [(0.99, "holds"), (1.001, "violated")])
def test_a_control_that_is_violated_in_either_run_shows(two_runs: Any, low: float, verdict: str) -> None:
    one, other = two_runs.write("a"), two_runs.write("b", control=(1.005, low, 1.01))
    assert compare(one, other)["control", "A/A control 64"].outcome == verdict
    assert compare(other, one)["control", "A/A control 64"].outcome == verdict


def test_two_rows_of_one_name_are_a_bug(two_runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    report = read_report(two_runs.write("a"))
    built = report.sections[0].tables[0]
    doubled = pd.concat([built.frame, built.frame])
    object.__setattr__(built, "frame", doubled)
    with pytest.raises(ValueError, match="expected keys that name a row"):
        list_cells(report)


# -- runs that are not alike -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"machine": {"cpu": "B"}}, {"versions": {"python": "3.12.0"}}, {"versions": {"packages": {}}}]
)
def test_absolute_values_are_compared_only_on_machines_and_versions_that_are_alike(two_runs: Any, changes: Any) -> None:
    one = two_runs.write("a")
    assert "value" in {kind for kind, _ in compare(one, two_runs.write("b"))}
    unlike = compare(one, two_runs.write("c", scale=7, **changes))
    assert {kind for kind, _ in unlike} == {"ratio", "control", "exact", "rank"}
    assert "changed" not in {item.outcome for item in unlike.values()}, "ratios within each run are what they were"


def test_under_another_seed_nothing_is_exact(two_runs: Any) -> None:
    found = compare(two_runs.write("a"), two_runs.write("b", facts={3: (31, 21.0)}, seed="another"))
    assert "exact" not in {kind for kind, _ in found}


def test_another_question_is_refused_with_its_key(two_runs: Any) -> None:
    one, other = two_runs.write("a"), two_runs.write("b", scenario={"pair": {"size": 2}})
    with pytest.raises(BenchError, match=r"^pair: expected the same scenario.pair.size in both runs, found .*: 1 -> 2"):
        compare(one, other)


def test_a_section_that_the_experiment_does_not_depend_on_may_differ(two_runs: Any) -> None:
    scenario = {"pair": {"size": 1}, "hashes": {"suites": ["sha1"]}}
    compare(two_runs.write("a"), two_runs.write("b", scenario=scenario, workload={"digest": "cd" * 32}))


# -- what is printed ---------------------------------------------------------------------------------------------


@pytest.fixture
def runs(two_runs: Any) -> tuple[str, str]:
    more = {("slow", 64): (4.0, 3.8, 4.2), ("new", 64): (1.5, 1.4, 1.6)}
    return str(two_runs.write("a")), str(two_runs.write("b", more, {3: (31, 21.0)}, machine={"cpu": "B"}))


def test_the_text_says_first_whether_they_are_alike(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = out_of(capsys, *runs).splitlines()
    assert lines[0].startswith("A: ")
    assert lines[1].startswith("B: ")
    head = " ".join(lines[:8])
    assert "machine.cpu: A -> B" in head
    assert "no absolute value is compared" in head


def test_the_text_lists_what_changed_and_counts_the_rest(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = out_of(capsys, *runs)
    assert "pair: ratios, ratio: 3 unresolved, 1 changed, 1 only in B" in text
    for part in ("slow 64", "new 64", "[3.8, 4.2]", "[1.81, 2.211]", "only in B", "rho 1.000, n = 6", "30", "31"):
        assert part in text
    assert "fast 64" not in text
    assert "--all" in text
    assert "fast 64" in out_of(capsys, *runs, "--all")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_text_fits_and_has_no_control_codes_where_nobody_watches(
    runs: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = out_of(capsys, *runs, "--all")
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert width < 80 or "[1.81, 2.211]" in text, "an interval is not broken in two"


def test_csv_holds_every_finding(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(out_of(capsys, *runs, "--format", "csv"))))
    assert len(rows) == 5 + 1 + 6 + 1
    (row,) = [row for row in rows if row["row"] == "library=slow, size_bytes=64"]
    assert {key: row[key] for key in ("before", "before_low", "after_high", "after_verdict", "change", "outcome")} == {
        "before": "2", "before_low": "1.9", "after_high": "4.2", "after_verdict": "slower", "change": "2.0",
        "outcome": "changed",
    }  # fmt: skip


def test_json_holds_every_finding_and_difference(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(out_of(capsys, *runs, "--format", "json"))
    assert found["differences"][0] == {"key": "machine.cpu", "before": "A", "after": "B"}
    assert found["are_absolute_values_comparable"] is False
    assert (
        found["before"]["record_sha256"] == json.loads((Path(runs[0]) / "manifest.json").read_text())["record_sha256"]
    )
    (item,) = [item for item in found["findings"] if item["row"] == {"library": "slow", "size_bytes": 64}]
    assert item["change"] == {"value": 2.0, "low": 3.8 / 2.1, "high": 4.2 / 1.9, "verdict": ""}


def test_one_and_the_same_run_is_said(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "one and the same run" in out_of(capsys, runs[0], runs[0])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pair2",), "experiment: expected one of both runs (pair), found 'pair2'"),
        (("--format", "html"), "'html' is not one of 'text', 'csv', 'json'"),
    ],
)
def test_bad_words_are_one_line(runs: Any, capsys: pytest.CaptureFixture[str], words: Any, expected: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["compare", *runs, *words])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_a_run_that_was_changed_is_refused(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(runs[1]) / "raw" / "pair.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SystemExit) as end:
        main(["compare", *runs])
    assert end.value.code == 2
    assert "pair.jsonl: expected the SHA-256" in capsys.readouterr().err
