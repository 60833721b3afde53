"""A run's budget: what finds no time left is a row that says so, and no experiment takes what belongs to others."""

from typing import Any

import msgspec
import pytest

from bench.experiments.base import Case
from bench.report import build_report, read_report


@pytest.fixture
def plan(lab: Any) -> Any:
    """Adds experiments whose cases take so many seconds each, within a budget."""

    def add(budget_s: float | None, **experiments: tuple[int, float, float]) -> None:
        lab.scenario = msgspec.structs.replace(lab.scenario, budget_s=budget_s)
        for name, (cases, seconds, weight) in experiments.items():

            def engine(context: Any, case: Any, seconds: float = seconds) -> list[dict[str, Any]]:
                lab.now_s += seconds
                return [{"value": 1}]

            lab.add(name, engine, cases, weight=weight)

    return add


def begun(lab: Any, name: str) -> int:
    return sum(row["status"] == "ok" for row in lab.rows(name))


def test_without_a_budget_everything_is_done(lab: Any, plan: Any) -> None:
    plan(None, a=(50, 1e6, 1.0))
    lab.run("a")
    assert begun(lab, "a") == 50


def test_an_experiment_begins_cases_only_in_its_share(lab: Any, plan: Any) -> None:
    plan(100, a=(100, 1, 1.0), b=(100, 1, 3.0))
    lab.run("a", "b")
    assert (begun(lab, "a"), begun(lab, "b")) == (25, 75)


def test_what_one_leaves_is_there_for_the_others(lab: Any, plan: Any) -> None:
    plan(90, a=(3, 1, 1.0), b=(100, 1, 1.0), c=(100, 1, 2.0))
    lab.run("a", "b", "c")
    assert [begun(lab, name) for name in "abc"] == [3, 29, 58]


def test_a_case_that_was_begun_ends_and_the_others_share_what_is_left(lab: Any, plan: Any) -> None:
    plan(100, a=(5, 80, 1.0), b=(30, 1, 1.0))
    lab.run("a", "b")
    assert (begun(lab, "a"), begun(lab, "b")) == (1, 20)


def test_whatever_is_asked_the_budget_is_exceeded_by_one_case_at_most(lab: Any, plan: Any) -> None:
    plan(60, **{f"e{number}": (40, 7, 1.0) for number in range(12)})
    lab.run(*lab.experiments)
    assert lab.now_s <= 60 + 7


def test_nothing_is_silently_missing(lab: Any, plan: Any) -> None:
    plan(10, a=(4, 6, 1.0), b=(3, 1, 1.0))
    lab.run("a", "b")
    expected = {
        "case": "a-1", "status": "skipped", "part": 1, "parts": 1, "kind": "not-begun", "number": 1,
        "reason": "no time was left for a in the budget of 10 s",
    }  # fmt: skip
    assert lab.rows("a")[1] == expected
    assert [len(lab.rows(name)) for name in "ab"] == [4, 3]
    found = lab.manifest["experiments"]
    assert {name: (item["cases"], item["not_begun"], item["status"]) for name, item in found.items()} == {
        "a": (4, 3, "complete"),
        "b": (3, 0, "complete"),
    }


def test_the_report_says_so(lab: Any, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.experiments.find_experiment", lab.find)
    plan(10, a=(4, 6, 1.0))
    lab.run("a")
    said: list[str] = []
    build_report(lab.folder, said.append)
    assert "a: 2 cases were not begun, for no time was left in the budget" in said
    (section,) = read_report(lab.folder).sections
    assert {failure.reason for failure in section.failures} == {"no time was left for a in the budget of 10 s"}


def test_the_time_before_the_first_case_counts(lab: Any, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import run

    load = run.load_workload

    def slow(*given: Any, **named: Any) -> Any:
        lab.now_s += 7
        return load(*given, **named)

    monkeypatch.setattr(run, "load_workload", slow)
    plan(10, a=(9, 1, 1.0))
    lab.run("a")
    assert begun(lab, "a") == 3


def test_a_follow_up_is_within_the_budget_too(lab: Any, plan: Any) -> None:
    plan(10, a=(3, 3, 1.0))
    lab.add("a", lab.engines["a"], 3, follow_up=lambda *_: [Case("more-0", "a"), Case("more-1", "a")])
    lab.run("a")
    assert [(row["case"], row["status"]) for row in lab.rows("a")][3:] == [("more-0", "ok"), ("more-1", "skipped")]


def test_time_spent_before_a_stop_counts(lab: Any, plan: Any) -> None:
    plan(10, a=(20, 1, 1.0))
    engine = lab.engines["a"]

    def stop(context: Any, case: Any) -> Any:
        if case.settings["number"] == 4 and lab.now_s < 100:
            raise KeyboardInterrupt
        return engine(context, case)

    lab.engines["a"] = stop
    lab.run("a").run.release()
    lab.now_s += 1_000  # the time in between is nobody's
    lab.resume()
    assert begun(lab, "a") == 10
    assert [sitting["seconds"] for sitting in lab.manifest["sittings"]] == [4.0, 6.0]


@pytest.mark.parametrize(("profile", "most"), [("smoke", 300), ("quick", 560), ("paper", None)])
def test_the_profiles_have_these_budgets(profile: str, most: float | None) -> None:
    from bench.scenario import load_scenario

    assert load_scenario(profile).budget_s == most
