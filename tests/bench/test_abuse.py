"""Experiment `abuse`: its bounds on made-up outcomes, its tables and figure, and attacks on real nodes."""

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from bench.engines.abuse import Window, count_course, describe, find_source, run_abuse
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments import find_experiment
from bench.experiments.abuse import BOUNDED, UNBOUNDED, declare_cases, describe_expected, is_held
from bench.experiments.base import Case, Row
from bench.net.assault import ASSAULTS, MOST_GROWTH_MIB
from bench.net.step import Moment
from bench.report.tables import check_columns
from bench.scenario import convert_scenario, load_scenario
from bench.workload import vital_signs
from ehrcore.types import MILLISECOND, SECOND

QUICK = load_scenario("quick")


def row_of(attack: str, variant: str = BOUNDED, **changes: Any) -> Row:
    good = {
        "kind": "abuse", "attack": attack, "variant": variant, "tries": 100, "answered": 100, "throttled": 100,
        "taken": 0, "how": "408: 100", "committed_per_s": 38.0, "throughput_ratio": 0.95, "due": 40, "lost": 0,
        "latency_p50_ms": 70.0, "latency_max_ms": 90.0, "newcomer_share": 1.0, "newcomer_ms": 3.0,
        "peak_rss_mib": 70.0, "rss_growth_mib": 10.0, "cpu_cores": 0.2,
    }  # fmt: skip
    return good | changes


@pytest.mark.parametrize("attack", ASSAULTS)
def test_what_stays_within_the_bounds_holds(attack: str) -> None:
    assert is_held(row_of(attack))
    assert describe_expected(attack, BOUNDED).endswith("MiB")


@pytest.mark.parametrize(
    "changes",
    [
        {"throttled": 90},
        {"throttled": 0, "answered": 0},
        {"taken": 1},
        {"lost": 1},
        {"throughput_ratio": 0.79},
        {"throughput_ratio": None},
        {"newcomer_share": 0.8},
        {"newcomer_share": None},
        {"rss_growth_mib": MOST_GROWTH_MIB + 1},
    ],
)
def test_each_bound_that_is_broken_shows(changes: Row) -> None:
    assert not is_held(row_of("slow headers", **changes))


def test_members_are_taken_up_to_their_places_and_share_with_others() -> None:
    assert is_held(row_of("flood by one member", throttled=0, taken=100, throughput_ratio=0.5))
    assert not is_held(row_of("flood by one member", throttled=0, taken=100, throughput_ratio=0.49))


def test_a_node_without_bounds_has_to_be_beaten() -> None:
    assert is_held(row_of("slow headers", UNBOUNDED, throttled=0, answered=0))
    assert not is_held(row_of("slow headers", UNBOUNDED, throttled=1))
    assert not is_held(row_of("none", throttled=0, committed_per_s=0.0))


def moments_of(begin: int, count: int, latency_ms: float | None, pace_ms: int = 25) -> list[Moment]:
    dues = [begin + index * pace_ms * MILLISECOND for index in range(count)]
    waits = None if latency_ms is None else round(latency_ms * MILLISECOND)
    return [Moment(due, due, quorum=None if waits is None else due + waits) for due in dues]


def test_windows_tell_what_was_committed_in_time_lost_and_late() -> None:
    windows = [
        Window("", 0, SECOND, rss_bytes=[50 << 20], greeted_ms=[1.0, 3.0, 2.0], cpu_s=0.5),
        Window(
            "slow headers", SECOND, 2 * SECOND, tries=9, counts={"408": 7, "202": 1}, rss_bytes=[60 << 20, 58 << 20]
        ),
        Window("codec bombs", 2 * SECOND, 3 * SECOND, turned_away=4, rss_bytes=[51 << 20]),
        Window("JSON bombs", 3 * SECOND, 4 * SECOND),
    ]
    moments = [*moments_of(0, 40, 50), *moments_of(SECOND, 20, 80, 50), *moments_of(2 * SECOND, 40, 1_500)]
    moments += moments_of(3 * SECOND, 10, None, 100)
    rows = describe(windows, moments, BOUNDED)
    assert [row["committed_per_s"] for row in rows] == [40, 20, 0, 0]
    assert [row["throughput_ratio"] for row in rows] == [1, 1, 0, 0]
    assert [row["lost"] for row in rows] == [0, 0, 0, 10]
    assert [row["rss_growth_mib"] for row in rows[:3]] == [0, 10, 1]
    assert (rows[1]["throttled"], rows[1]["taken"], rows[1]["answered"]) == (7, 1, 8)
    assert [row["newcomer_share"] for row in rows] == [1, None, 0, None]
    assert rows[0]["newcomer_ms"] == 2
    course = count_course(moments, windows, 0, 2 * SECOND, BOUNDED, 0.5)
    assert [(item["at_s"], item["under"]) for item in course] == [
        (0, ""), (0.5, ""), (1, "slow headers"), (1.5, "slow headers"),
    ]  # fmt: skip
    assert sum(item["commits_per_s"] for item in course) / 2 == 40 + 19  # one of them is past the end


def test_tables_figure_and_answer_fit_together() -> None:
    experiment = find_experiment("abuse")
    rows = [
        row_of("none", throttled=0),
        row_of("slow headers"),
        row_of("JSON bombs", lost=1),
        row_of("none", UNBOUNDED),
    ]
    rows.append(row_of("slow headers", UNBOUNDED, throttled=0, answered=0, newcomer_ms=None))
    windows = [Window("", 0, SECOND), Window("slow headers", SECOND, 2 * SECOND)]
    raw = pd.DataFrame([*rows, *count_course(moments_of(0, 80, 50), windows, 0, 2 * SECOND, BOUNDED)])
    tables = {}
    for table in experiment.tables:
        tables[table.name] = table.build(raw)
        check_columns(table, tables[table.name])
    assert list(tables["abuse"]["holds"]) == [True, True, False, True, True]
    assert experiment.answer is not None
    told = experiment.answer(tables)
    assert told[0].startswith("1 of 2 attacks stayed within")
    assert told[-1] == "Without bounds nothing held back: slow headers."
    (figure,) = experiment.figures
    assert figure.draw(tables).axes[0].lines


def test_cases_follow_the_scenario_and_an_attack_that_is_none_is_refused() -> None:
    bombs, bounded, unbounded = declare_cases(QUICK)
    assert bombs.engine == "bombs"
    assert bounded.settings["attacks"] == list(ASSAULTS)
    assert set(unbounded.settings["attacks"]) == {"slow headers", "slow bodies", "connection exhaustion"}
    content = msgspec.to_builtins(QUICK) | {"abuse": {"attacks": ["slow headers", "earthquake"]}}
    with pytest.raises(BenchError, match=r"got 'earthquake' - at `\$\.abuse\.attacks`"):
        convert_scenario(content, "test")
    content["abuse"] = {"attacks": ["codec bombs"]}
    assert [case.label for case in declare_cases(convert_scenario(content, "test"))] == ["bombs", BOUNDED]


def test_attackers_come_from_an_address_of_this_machine() -> None:
    assert find_source("127.0.0.1").startswith("127.0.0.")


@pytest.mark.long
def test_real_nodes_hold_back_what_they_have_bounds_for_and_nothing_without(tmp_path: Path) -> None:
    quiet = msgspec.structs.replace(load_scenario("smoke"), abuse=msgspec.structs.replace(
        load_scenario("smoke").abuse, seconds=1.2, before_s=0.3, after_s=0.05))  # fmt: skip
    context = Context(quiet, vital_signs(1, 1, 0), tmp_path)
    names = ["slow headers", "codec bombs"]
    found = {}
    for variant, attacks in ((BOUNDED, names), (UNBOUNDED, names[:1])):
        rows = run_abuse(context, Case(variant, "abuse", {"variant": variant, "attacks": attacks}))
        assert {row["kind"] for row in rows} == {"abuse", "course", "check"}
        found[variant] = {row["attack"]: row for row in rows if row["kind"] == "abuse"}
    for name in names:
        row = found[BOUNDED][name]
        assert row["throttled"] >= 0.95 * row["answered"] > 0 == row["taken"], row
        assert row["lost"] == 0
    for name in names[:1]:
        assert found[UNBOUNDED][name]["throttled"] == 0 < found[UNBOUNDED][name]["tries"]
        # The same outcome of a node that claims to have bounds is one that does not hold.
        assert not is_held(found[UNBOUNDED][name] | {"variant": BOUNDED})
