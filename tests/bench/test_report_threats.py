"""Abstract, method and threats to validity: sentences that follow the run, whatever it was."""

import json
from dataclasses import replace

import pytest

from bench.experiments.base import Comparison
from bench.report import read_report
from bench.report.abstract import write_abstract
from bench.report.errata import HEADINGS, list_errata
from bench.report.method import describe_method
from bench.report.threats import list_threats


def _threats(run):
    return {title: " ".join(sentences) for title, sentences in list_threats(read_report(run.folder))}


CLASSES = ["Internal validity", "External validity", "Construct validity", "Statistical conclusion validity"]


def test_all_four_classes_have_something_to_say(fake_run):
    found = _threats(fake_run)
    assert list(found) == CLASSES
    assert all(found.values())


@pytest.mark.parametrize(
    ("changes", "title", "said"),
    [
        ({"noise": {"steal_share": 0.011}}, 0, "1.10 % by other machines, which the limits allow."),
        ({"noise": {"steal_share": 0.5}}, 0, "The machine was not quiet: 50.0% of the processor time"),
        ({"noise": {}}, 0, "does not know what others took"),
        ({"git": {"is_dirty": True}}, 0, "changes that are not in the commit"),
        ({"status": "interrupted"}, 0, "The run is interrupted"),
        ({"calibration": {"drift": {"sign": 1.2, "hash": 2.5}}}, 0, "1 of 2 by more than 1.5 times (most: hash, 2.5"),
        ({"machine": {"cpu": "X", "is_virtual": True}}, 1, "X, a virtual machine; another processor"),
        ({"machine": {"cpu": "X", "usable_cores": 1, "memory_bytes": 1 << 30}}, 1, "X with 1 usable core and 1 GiB"),
        ({"machine": {"sha_ni": "absent"}}, 1, "SHA instructions (absent here)"),
        ({"workload": {"source": "a hospital"}}, 1, "The records are from a hospital;"),
    ],
)
def test_what_depends_on_the_run_is_taken_from_it(fake_run, changes, title, said):
    fake_run.write_manifest(**changes)
    assert said in _threats(fake_run)[CLASSES[title]]


def test_rows_that_do_not_count_are_counted_by_what_became_of_them(fake_run):
    assert "All 3 recorded rows are ok" in _threats(fake_run)[CLASSES[0]]
    rows = [json.loads(line) for line in fake_run.raw.read_text().splitlines()]
    bad = [{"case": "d", "status": status, "reason": "?"} for status in ("void", "void", "failed")]
    fake_run.write_rows([*rows, *bad])
    fake_run.write_manifest(experiments={"demo": {"status": "complete", "cases": 6, "not_begun": 2}})
    said = _threats(fake_run)[CLASSES[0]]
    assert "Of 6 rows 3 are not ok and enter no table (1 failed, 2 void)" in said
    assert "2 cases were not begun" in said


def test_controls_and_unresolved_comparisons_are_counted(two_runs):
    folder = two_runs.write("quick", control=(1.2, 1.1, 1.3))
    said = {title: " ".join(texts) for title, texts in list_threats(read_report(folder))}[CLASSES[3]]
    assert "0 of 1 A/A controls hold; flagged: ratios." in said
    assert "Of 4 comparisons 1 are unresolved, 0 of them for want of repeats" in said


def test_energy_is_told_by_how_it_was_found(fake_run, demo, monkeypatch):
    names = {"energy_mj": "extra", "energy_status": "library"}
    table = replace(
        demo.tables[1],
        columns=dict.fromkeys(names, demo.tables[1].columns["extra"]),
        build=lambda raw: raw.assign(energy_mj=1.0, energy_status=["measured", "estimated", "estimated"])[[*names]],
    )
    changed = replace(demo, tables=(table,), figures=())
    monkeypatch.setattr("bench.experiments.find_experiment", lambda _: changed)
    assert "Of the rows with energy 2 estimated, 1 measured" in _threats(fake_run)[CLASSES[2]]


def test_the_abstract_of_a_run_without_verdicts_says_what_was_run(fake_run):
    aim, scope = write_abstract(read_report(fake_run.folder))
    assert f"{len(list_errata())} errata" in aim
    assert scope == (
        "The run of profile smoke made 1 experiment and recorded 3 rows, 0 of them not ok, in 1 min 2 s on A <fast> "
        "CPU with 8 GiB of memory."
    )


def test_the_method_says_what_the_scenario_says(fake_run):
    scenario = {
        "noise": {"steal_share": 0.07, "foreign_cpu_share": 0.3},
        "energy": {"watts_low": 1.5, "watts_mid": 3, "watts_high": 6},
    }
    fake_run.write_manifest(scenario=scenario, workload={"records": 1234, "kinds": [{}], "source": "a hospital"})
    parts = {title: " ".join(sentences) for title, sentences in describe_method(read_report(fake_run.folder))}
    assert list(parts) == ["Judgement", "Noise", "Energy", "Workload"], "the others are not about this run"
    assert "more than 0.07 or other processes more than 0.3 " in parts["Noise"]
    assert "1.5, 3 and 6 W" in parts["Energy"]
    assert "1,234 of 1 kinds, from a hospital." in parts["Workload"]


def test_all_errata_are_there_with_both_sides():
    rows = list_errata()
    assert [row[0] for row in rows] == [f"E{number:02d}" for number in range(1, len(rows) + 1)]
    assert all(len(row) == len(HEADINGS) and all(row) for row in rows)


def test_a_comparison_without_intervals_is_not_taken_for_a_verdict(two_runs):
    ratios = {("slow", 64): (2.0, None, None)}
    said = dict(list_threats(read_report(two_runs.write("quick", ratios=ratios))))[CLASSES[3]]
    assert any("Of 4 comparisons 2 are unresolved, 1 of them for want of repeats" in text for text in said)
    assert Comparison(("library",)).low == "ratio_low"
