"""Does a run confirm a reference?  Ratios and orders, never absolute times; what contradicts it is always caught."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import main
from bench.analysis.alike import Difference, find_differences
from bench.analysis.claims import Claim
from bench.analysis.compare import Cell, Place, divide
from bench.analysis.paired import judge
from bench.analysis.verdicts import Verdict
from bench.analysis.verify import (
    _AMOUNTS,
    _BESIDE,
    _ROWS,
    UNLIKE,
    Verification,
    _equate_masks,
    _find_orders,
    _Judge,
    find_obstacles,
    judge_ratio,
    match_verdicts,
    verify_runs,
)
from bench.errors import BenchError
from bench.experiments import find_experiment
from bench.report.comparison import read_runs
from bench.report.verification import print_verification
from bench.scenario import load_scenario


def verify(reference: Path, run: Path, tolerance: float = 0.25) -> Verification:
    runs = read_runs(reference, run, ("reference", "run"))
    return verify_runs(runs.before, runs.after, runs.differences, tolerance)


def contradicted(found: Verification) -> set[tuple[str, str]]:
    return {(item.place.kind, item.place.name) for item in found.select("contradicted")}


def code_of(*words: str) -> Any:
    try:
        main(["verify", *words])
    except SystemExit as end:
        return end.code
    return 0


# -- one ratio ---------------------------------------------------------------------------------------------------


def cell(value: float, low: float | None = None, high: float | None = None, verdict: str = "") -> Cell:
    known = judge(value, low, high) if low is not None and high is not None else "unresolved"
    return Cell(value, low, high, verdict or known)


RATIOS = {
    "the same": (cell(2, 1.9, 2.1), cell(2, 1.9, 2.1), "confirmed"),
    "within the tolerance": (cell(2, 1.9, 2.1), cell(2.4, 2.3, 2.5), "confirmed"),
    "just within it": (cell(2, 1.9, 2.1), cell(2.5, 2.3, 2.6), "confirmed"),
    "just within it, below": (cell(2.5, 2.4, 2.6), cell(2, 1.9, 2.1), "confirmed"),
    "beyond it, not surely": (cell(2, 1.9, 2.1), cell(2.6, 2.5, 2.7), "unresolved"),
    "beyond it, surely": (cell(2, 1.9, 2.1), cell(2.8, 2.7, 2.9), "contradicted"),
    "beyond it, below": (cell(2.8, 2.7, 2.9), cell(2, 1.9, 2.1), "contradicted"),
    "the other way round": (cell(0.97, 0.96, 0.975), cell(1.03, 1.025, 1.04), "contradicted"),
    "unresolved in one": (cell(1.05, 1.03, 1.07), cell(1.01, 0.98, 1.04), "unresolved"),
    "unresolved in both": (cell(1.0, 0.99, 1.01), cell(1.0, 0.99, 1.01), "unresolved"),
    "unresolved before, far away now": (cell(1.0, 0.99, 1.01), cell(2.0, 1.9, 2.1), "contradicted"),
    "no interval": (cell(2.0), cell(2.0, 1.9, 2.1), "unresolved"),
    "no interval, far away": (cell(2.0), cell(9.0), "unresolved"),
}  # fmt: skip


@pytest.mark.parametrize("name", RATIOS)
def test_a_ratio_is_judged_by_the_rule(name: str) -> None:
    before, after, outcome = RATIOS[name]
    assert judge_ratio(before, after, divide(after, before), 0.25) == outcome


def test_the_tolerance_is_as_told() -> None:
    before, after = cell(2, 1.99, 2.01), cell(2.3, 2.29, 2.31)
    assert [judge_ratio(before, after, divide(after, before), most) for most in (0.05, 0.145, 0.2)] == [
        "contradicted", "unresolved", "confirmed",
    ]  # fmt: skip


CELLS = st.lists(st.floats(0.2, 5), min_size=3, max_size=3).map(sorted).map(lambda v: cell(v[1], v[0], v[2]))


@given(one=CELLS, other=CELLS, tolerance=st.floats(0.01, 2))
def test_the_judgement_is_the_same_both_ways(one: Cell, other: Cell, tolerance: float) -> None:
    there = judge_ratio(one, other, divide(other, one), tolerance)
    assert there == judge_ratio(other, one, divide(one, other), tolerance)


@given(one=CELLS, other=CELLS, tolerance=st.floats(0.01, 2))
def test_intervals_that_meet_and_verdicts_that_agree_never_contradict(one: Cell, other: Cell, tolerance: float) -> None:
    """What chance alone explains is no contradiction."""
    assert None not in {one.low, one.high, other.low, other.high}
    meet = one.low <= other.high and other.low <= one.high  # type: ignore[operator]
    if meet and {one.verdict, other.verdict} != {"faster", "slower"}:
        assert judge_ratio(one, other, divide(other, one), tolerance) != "contradicted"


# -- whole runs --------------------------------------------------------------------------------------------------


def test_every_run_confirms_itself(two_runs: Any) -> None:
    run = two_runs.write("a")
    found = verify(run, run)
    assert dict(found.counts) == {
        ("ratio", "confirmed"): 3,
        ("ratio", "unresolved"): 1,
        ("control", "confirmed"): 1,
        ("order", "confirmed"): 4,
        ("exact", "confirmed"): 6,
        ("rank", "confirmed"): 1,
    }


PLANTED: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "a ratio beyond the tolerance": ({"ratios": {("slow", 1024): (6.0, 5.9, 6.1)}}, {("ratio", "slow 1024")}),
    "a verdict turned round": (
        {"ratios": {("fast", 64): (1.1, 1.05, 1.15)}},
        {("ratio", "fast 64"), ("order", "fast 64 against same 64")},
    ),
    "an order turned round, within the tolerance": (
        {"ratios": {("slow", 64): (2.49, 2.45, 2.55), ("slow", 1024): (2.41, 2.38, 2.44)}},
        {("order", "slow 64 against slow 1024")},
    ),
    "a control that is violated": ({"control": (1.02, 1.01, 1.03)}, {("control", "A/A control 64")}),
    "an exact value that differs": ({"facts": {2: (21, 14.0)}}, {("exact", "2")}),
    "an order of rows turned round": (
        {"facts": {row: (10 * row, -row) for row in range(1, 7)}},
        {("rank", "6")},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_contradiction_is_caught_both_ways(two_runs: Any, name: str) -> None:
    changes, expected = PLANTED[name]
    one, other = two_runs.write("a"), two_runs.write("b", **changes)
    assert contradicted(verify(one, other)) == expected
    assert contradicted(verify(other, one)) == expected
    assert code_of(str(other), "--against", str(one)) == 1


@pytest.mark.parametrize("scale", [7, 1e6])
def test_absolute_times_are_never_looked_at(two_runs: Any, scale: float) -> None:
    reference = two_runs.write("a")
    assert verify(reference, two_runs.write("b", scale=scale)) == verify(reference, reference)


def test_machines_that_differ_are_no_obstacle(two_runs: Any) -> None:
    changes = {"machine": {"cpu": "B"}, "versions": {"python": "3.13.0"}}
    assert not contradicted(verify(two_runs.write("a"), two_runs.write("b", **changes)))


def test_exact_values_are_not_comparable_under_another_seed(two_runs: Any, capsys: Any) -> None:
    one, other = two_runs.write("a"), two_runs.write("b", facts={2: (21, 14.0)}, seed="another")
    found = verify(one, other)
    assert found.counts["exact", UNLIKE] == 6
    assert found.counts["ratio", "confirmed"] == 3
    assert not contradicted(found)
    assert code_of(str(other), "--against", str(one)) == 0
    assert "Not comparable: pair, exact values, for seed: a seed -> another." in " ".join(
        capsys.readouterr().out.split()
    )


def test_another_code_may_give_other_exact_values_and_equal_ones_count(two_runs: Any) -> None:
    one = two_runs.write("a", git={"code_sha256": "ab" * 32})
    found = verify(one, two_runs.write("b", facts={2: (21, 14.0)}, git={"code_sha256": "cd" * 32}))
    assert (found.counts["exact", "confirmed"], found.counts["exact", UNLIKE]) == (5, 1)
    assert [*found.obstacles] == ["pair, exact values that differ"]
    assert not contradicted(found)


def test_where_the_question_differs_nothing_but_controls_is_comparable_and_it_says_why(
    two_runs: Any, capsys: Any
) -> None:
    """Not even what agrees: it would be chance."""
    one = two_runs.write("a", scenario={"pair": {"topology": [1]}})
    other = two_runs.write("b", {("slow", 1024): (6.0, 5.9, 6.1)}, scenario={"pair": {"topology": [2]}})
    found = verify(one, other)
    assert {outcome for kind, outcome in found.counts if kind != "control"} == {UNLIKE}
    assert found.counts["control", "confirmed"] == 1
    assert code_of(str(other), "--against", str(one), "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)["not_comparable"]
    assert told == {name: ["scenario.pair.topology: -1 +2"] for name in ("pair", "pair, exact values")}


DIFFERENCES = {
    "which sizes": ("hashes", "scenario.hashes.sizes_bytes", False, False),
    "which rules' difficulties": ("variants", "scenario.variants.difficulty_bits", False, False),
    "how many repeats": ("variants", "scenario.variants.repeats", False, True),
    "how many transactions": ("table1", "scenario.table1.transactions", False, True),
    "another design": ("variants", "scenario.variants.factors.blocks", False, True),
    "longer windows": ("energy", "scenario.energy_windows.uncounted.seconds", False, True),
    "other watts": ("variants", "scenario.energy.watts_mid", False, True),
    "other records": ("table1", "workload.digest", False, True),
    "another seed": ("merkle", "seed", False, True),
    "another topology": ("variants", "scenario.variants.topology", True, True),
    "a slower network": ("table1", "scenario.network.latency_us", True, True),
    "another curve": ("variants", "scenario.curve", True, True),
    "another machine": ("table1", "machine.cpu", False, False),
    "another experiment's": ("hashes", "scenario.variants.topology", False, False),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_makes_two_results_answers_to_different_questions(name: str) -> None:
    experiment, key, is_obstacle, is_obstacle_of_exact = DIFFERENCES[name]
    differences = [Difference(key, 1, 2)]
    found = find_experiment(experiment)
    assert bool(find_obstacles(differences, found)) == is_obstacle
    assert bool(find_obstacles(differences, found, is_exact=True)) == is_obstacle_of_exact


def test_every_key_that_is_named_is_one_of_a_scenario() -> None:
    """A key that is renamed would silently become an obstacle."""
    known = {item.key for item in find_differences({}, {"scenario": msgspec.to_builtins(load_scenario("paper"))})}
    assert known >= {key for key in _ROWS | _AMOUNTS if key != "workload.digest"}
    assert all(any(key.startswith(prefix) for key in known) for prefix in _BESIDE)


def hash_rows(**rows: float) -> list[tuple[Place, Cell | None, Cell | None]]:
    """A ratio per set of instructions: before, after, or (both) in both."""
    made = []
    for name, value in rows.items():
        side, _, kind = name.partition("_")
        row = (("instructions", {"on": "SHA-NI", "masked": "SHA-NI masked", "none": "no SHA-NI"}[kind]), ("size", 64))
        one = cell(value, value * 0.99, value * 1.01)
        place = Place("hashes", "hashes", "ratio", "ratio", row)
        made.append((place, one if side != "after" else None, one if side != "before" else None))
    return made


def judge_rows(rows: Any, *differences: Difference) -> dict[str, str]:
    judge = _Judge(0.25, {"hashes": find_experiment("hashes")}, differences)
    return {str(place.row[0][1]): judge.judge(place, *cells).outcome for place, *cells in _equate_masks(rows)}


def test_a_processor_without_the_instructions_confirms_what_was_measured_with_them_masked() -> None:
    rows = hash_rows(before_on=2.0, before_masked=0.5, after_none=0.51)
    assert judge_rows(rows) == {"SHA-NI": "missing", "SHA-NI masked": "confirmed"}
    assert judge_rows([(place, after, before) for place, before, after in rows])["SHA-NI masked"] == "confirmed"
    assert judge_rows(hash_rows(both_none=0.5)) == {"no SHA-NI": "confirmed"}


def test_instructions_that_the_user_has_masked_are_no_contradiction() -> None:
    rows = hash_rows(both_on=2.0, both_masked=0.5)
    masked = Difference("machine.sha_ni", "on", "masked")
    assert judge_rows(rows, masked) == {"SHA-NI": UNLIKE, "SHA-NI masked": "confirmed"}
    ((order, *places),) = _find_orders(rows)
    judge = _Judge(0.25, {"hashes": find_experiment("hashes")}, [masked])
    assert (order.outcome, judge.judge_order(order, *places).outcome) == ("confirmed", UNLIKE)
    assert [*judge.obstacles] == ["hashes, SHA-NI"]


VERDICTS = ("supported", "contradicted", "not tested in this run")


@pytest.mark.parametrize(("before", "after"), list(product(VERDICTS, repeat=2)))
def test_the_verdicts_of_both_runs_stand_side_by_side(before: str, after: str) -> None:
    claim = Claim(says="?", place="?")
    (found,) = match_verdicts([Verdict("C01", claim, before, "")], [Verdict("C01", claim, after, "")])
    expected = "same verdict" if before == after else "another verdict"
    assert found == ("C01", before, after, "not judged in both" if VERDICTS[2] in {before, after} else expected)


def test_rows_of_one_run_alone_are_missing_or_new(two_runs: Any) -> None:
    found = verify(two_runs.write("a", {("x", 64): (2.0, 1.9, 2.1)}), two_runs.write("b", {("y", 64): (2.0, 1.9, 2.1)}))
    assert [item.place.name for item in found.select("missing")] == ["x 64"]
    assert [item.place.name for item in found.select("new")] == ["y 64"]
    assert not contradicted(found)


def test_few_rows_make_no_order(two_runs: Any) -> None:
    """Of four rows, two neighbours that change places would be enough for a rho below 0.9."""
    few = {5: None, 6: None}
    swapped = few | {1: (10, 14.0), 2: (20, 7.0)}
    found = verify(two_runs.write("a", facts=few), two_runs.write("b", facts=swapped))
    assert found.counts["rank", "unresolved"] == 1


def test_a_control_that_the_reference_violates_counts_too(two_runs: Any) -> None:
    reference = two_runs.write("a", control=(0.98, 0.97, 0.99))
    assert contradicted(verify(reference, two_runs.write("b"))) == {("control", "A/A control 64")}


# -- the command -------------------------------------------------------------------------------------------------


def test_the_newest_run_is_held_against_the_reference(
    two_runs: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two_runs.folder.parent)
    two_runs.write("a").rename(two_runs.folder / "reference")
    newest = two_runs.write("b")
    assert code_of() == 0
    text = capsys.readouterr().out
    assert f"run: {newest.name}" in text
    assert "No results are contradicted, 15 are confirmed." in text


def test_the_text_names_what_is_contradicted_with_both_intervals(two_runs: Any, capsys: Any) -> None:
    one, other = two_runs.write("a"), two_runs.write("b", {("slow", 1024): (6.0, 5.9, 6.1)})
    assert code_of(str(other), "--against", str(one)) == 1
    text = capsys.readouterr().out
    for part in ("slow 1024", "[2.9, 3.1]", "[5.9, 6.1]", "1 results are contradicted, 14 are confirmed."):
        assert part in text
    assert "same 64" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_verbose_lists_what_is_unresolved_missing_and_new(two_runs: Any, capsys: Any) -> None:
    one, other = two_runs.write("a", {("x", 64): (2.0, 1.9, 2.1)}), two_runs.write("b", {("y", 64): (2.0, 1.9, 2.1)})
    assert code_of(str(other), "--against", str(one), "--verbose") == 0
    text = capsys.readouterr().out
    for part in ("unresolved: pair", "same 64", "missing: pair", "x 64", "new: pair", "y 64"):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "is_named"),
    [
        ({"machine": {"cpu": "A", "cpu_flags": ["aes"]}}, True),
        ({"versions": {"python": "3.13.0", "openssl_hashlib": "OpenSSL 3.0.0", "packages": {"numpy": "2.0"}}}, True),
        ({"git": {"commit": "d" * 42, "is_dirty": False}}, False),
    ],
)
def test_what_may_explain_a_contradiction_is_named(two_runs: Any, capsys: Any, changes: Any, is_named: bool) -> None:
    one, other = two_runs.write("a"), two_runs.write("b", **changes)
    assert code_of(str(other), "--against", str(one)) == 0
    assert ("Other ratios may be explained by" in capsys.readouterr().out) is is_named


def test_json_holds_the_counts(two_runs: Any, capsys: Any) -> None:
    one, other = two_runs.write("a"), two_runs.write("b", {("slow", 1024): (6.0, 5.9, 6.1)})
    assert code_of(str(other), "--against", str(one), "--format", "json", "--tolerance", "0.5") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["tolerance"] == 0.5
    assert found["counts"]["ratio contradicted"] == 1
    assert [item["row"] for item in found["findings"] if item["outcome"] == "contradicted"] == [
        {"library": "slow", "size_bytes": 1024}
    ]


def test_nothing_in_common_confirms_nothing(two_runs: Any) -> None:
    runs = read_runs(two_runs.write("a"), two_runs.write("b"), ("reference", "run"))
    object.__setattr__(runs.after, "sections", tuple(s for s in runs.after.sections if s.experiment.id != "pair"))
    with pytest.raises(BenchError, match="expected results that .* has, too, found none"):
        print_verification(runs, 0.25, "text", is_whole=False)


@pytest.mark.parametrize("tolerance", ["0", "-1", "nan", "much"])
def test_a_tolerance_that_is_none_is_refused(two_runs: Any, capsys: Any, tolerance: str) -> None:
    run = str(two_runs.write("a"))
    assert code_of(run, "--against", run, "--tolerance", tolerance) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("outcome", "code"), [("unresolved", 1), ("missing", 1), (UNLIKE, 1), ("confirmed", 0)])
def test_a_run_that_confirms_nothing_does_not_pass(
    two_runs: Any, monkeypatch: pytest.MonkeyPatch, outcome: str, code: int
) -> None:
    """Too few processes resolve nothing, and nothing is contradicted then."""
    one, other = two_runs.write("a"), two_runs.write("b")
    counts = {("ratio", "unresolved"): 3, ("control", outcome): 1}
    monkeypatch.setattr("bench.report.verification.verify_runs", lambda *_: Verification((), counts))
    assert code_of(str(other), "--against", str(one)) == code
