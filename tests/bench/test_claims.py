"""Rules of claims: what may stand in their file, what a test finds at its borders, and every kind of verdict."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.analysis.claims import (
    CONDITIONAL,
    CONTRADICTED,
    COUNT,
    SUPPORTED,
    UNSUPPORTED,
    UNTESTABLE,
    UNTESTED,
    Claim,
    Rules,
    RuleTest,
    read_rules,
    validate_places,
)
from bench.analysis.evidence import Evidence, Rows, run_test
from bench.analysis.verdicts import Verdict, describe, judge_claim, show
from bench.errors import BenchError
from bench.experiments import QUESTIONS, find_experiment

RULES = read_rules()
SHIPPED = (Path(__file__).parents[2] / "paper" / "claims.toml").read_text(encoding="utf-8")


def cells(*rows: dict[str, Any]) -> Rows:
    """Rows as a CSV holds them."""
    return [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]


def finder(**tables: Rows) -> Callable[[str], Rows | None]:
    return tables.get


def run(table: Rows, **rule: Any) -> Evidence:
    test = msgspec.convert({"what": "it", "table": "t", "column": "x", **rule}, RuleTest)
    return run_test("a", test, finder(t=table))


def outcome(value: Any, holds: str, low: Any = None, high: Any = None, **more: Any) -> str:
    bounds = {"low": "low", "high": "high"} if low is not None or high is not None else {}
    return run(cells({"x": value, "low": low, "high": high}), holds=holds, **bounds, **more).outcome


# -- the file ----------------------------------------------------------------------------------------------------


def spoil(tmp_path: Path, old: str, new: str) -> str:
    """The message for the shipped rules with ``old`` replaced by ``new``."""
    assert old in SHIPPED
    path = tmp_path / "claims.toml"
    path.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BenchError) as error:
        validate_places(read_rules(path), map(find_experiment, QUESTIONS))
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("why = ", "reason = ", "unknown field `reason`"),
        ('column = "bare_median"', 'colum = "bare_median"', "unknown field `colum`"),
        ('table = "variants_break_even"', 'table = "variants_breakeven"', "tests.always: expected a table of an exp"),
        ('column = "bare_median"', 'column = "bare"', "expected a column of variants_break_even, found 'bare'"),
        ('where = { suite = "sha256" }', 'where = { hash = "sha256" }', "of variants_break_even, found 'hash'"),
        ('high = "bare_high"', 'high = "bare_top"', "found 'bare_top'"),
        ('holds = "< 1"', 'holds = "below 1"', "matching regex"),
        ('holds = "< 1"', 'holds = "< one"', "C01.tests.always: expected a number to compare with, found 'one'"),
        ('holds = "< 1"', 'holds = "== 1"', "expected <, <=, > or >= with an interval or effect, found =="),
        ('verdict = "supported"', 'verdict = "true"', "Invalid enum value 'true'"),
        ('holds = ["always"]', 'holds = ["ever"]', "C01.decisions 1: expected a test (always, practical, idle, as_"),
        ("{practical.low}", "{practical.lowest}", "expected one of value, low, high, tries, rows, good, found"),
        ("a share of {idle}", "a share", "C01: expected a decision that uses each test, found none for idle"),
        ('experiments = ["variants"]', 'experiments = ["hashes"]', "expected variants among the claim's experiments"),
        ('experiments = ["collisions"]', 'experiments = ["collisions", "hashes"]', "C04: expected the experiments"),
        ("[C46]", "[C47]", "expected C46 next, found C47"),
        ('low = "bare_low", ', "", "C01.tests.always: expected low and high together, found one"),
        ("least = 20, ", "least = 0, ", "Expected `int` >= 1"),
        ("[C01]", "[C01", "expected TOML, found"),
        ('untestable = "', 'experiments = ["load"]\nuntestable = "', "C46: expected no rule beside untestable"),
    ],
)  # fmt: skip
def test_what_the_file_may_not_hold_is_told_in_one_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in spoil(tmp_path, old, new)


def test_a_claim_that_is_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(SHIPPED[: SHIPPED.index("[C46]")], encoding="utf-8")
    with pytest.raises(BenchError, match="expected C46 next, found the end"):
        read_rules(path)
    with pytest.raises(BenchError, match="expected a file of claims, found: No such file"):
        read_rules(tmp_path / "none.toml")


def test_an_experiment_that_names_a_claim_without_a_rule_for_it_is_told() -> None:
    declared = [find_experiment(name) for name in QUESTIONS]
    claims = {**RULES.claims, "C04": msgspec.structs.replace(RULES.claims["C04"], experiments=[], tests={})}
    with pytest.raises(BenchError, match=r"C04: expected the experiments that name it \(collisions\), found"):
        validate_places(Rules(claims, ""), declared)


def test_every_rule_can_give_more_than_one_verdict_or_says_why_not() -> None:
    for name, claim in RULES.claims.items():
        kinds = {decision.verdict for decision in claim.decisions}
        assert claim.untestable or len(kinds) > 1 or name == "C41", name


# -- one test ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "holds", "expected"),
    [
        (1, "< 1", "fails"), (0.999, "< 1", "holds"), (1, "<= 1", "holds"), (1.001, "<= 1", "fails"),
        (1, "> 1", "fails"), (1.001, "> 1", "holds"), (1, ">= 1", "holds"), (0.999, ">= 1", "fails"),
        (0, "== 0", "holds"), (1, "== 0", "fails"), (True, "== true", "holds"), (False, "== true", "fails"),
        ("safe, live", "== safe*", "holds"), ("agreement violated", "== safe*", "fails"), ("a", "!= b*", "holds"),
        ("-inf", "< 12", "holds"), ("inf", "< 12", "fails"),
    ],
)  # fmt: skip
def test_a_number_at_its_limit(value: Any, holds: str, expected: str) -> None:
    assert outcome(value, holds) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.5, 0.99, "holds"), (0.5, 1.0, "open"), (0.9, 1.1, "open"), (1.0, 1.2, "fails"), (1.1, 1.2, "fails")],
)
def test_the_whole_interval_has_to_lie_on_one_side(low: float, high: float, expected: str) -> None:
    assert outcome((low + high) / 2, "< 1", low, high) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.98, "holds"), (0.981, "open"), (1.019, "open"), (1.02, "fails"), (1.03, "fails")]
)
def test_an_effect_that_is_too_small_leaves_a_test_open(value: float, expected: str) -> None:
    assert outcome(value, "< 1", value - 0.001, value + 0.001, effect=0.02) == expected
    assert outcome(1 / value, "> 1", 1 / value - 0.001, 1 / value + 0.001, effect=0.02) == expected


def test_a_missing_interval_leaves_a_test_open_and_a_missing_value_is_missing() -> None:
    rows = cells({"x": 0.5, "low": None, "high": None})
    assert run(rows, holds="< 1", low="low", high="high").outcome == "open"
    void = run(cells({"x": None}), holds="< 1")
    assert (void.outcome, void.reason) == ("missing", "table t has no value in x")


def test_too_few_tries_hold_nothing_but_a_success_counts_at_once() -> None:
    def count(succeeded: int, tries: int) -> Evidence:
        return run(cells({"x": succeeded, "n": tries}), rows="sum", of="n", least=20, holds="== 0")

    assert [count(0, 19).outcome, count(0, 20).outcome, count(1, 2).outcome] == ["open", "holds", "fails"]
    assert describe(count(0, 40)) == "0 of 40 (95 %: 0 to 8.76 %); holds: == 0"


def test_rows_are_selected_by_value_list_pattern_and_negation() -> None:
    rows = cells(*({"x": number, "k": key} for number, key in enumerate(["a", "ab", "b", "", "3"])))

    def chosen(wanted: Any) -> int:
        return run(rows, where={"k": wanted}, rows="each", holds=">= 0").rows

    assert [chosen("a"), chosen("a*"), chosen(["a", "b"]), chosen("!a*"), chosen(""), chosen(3)] == [1, 2, 2, 3, 1, 1]
    none = run(rows, where={"k": "z"}, holds=">= 0")
    assert none.reason == "table t has no row with k z"
    assert run(rows, holds=">= 0").reason == "table t has 5 rows with anything, not one"


def test_each_shows_the_worst_row_and_any_the_best() -> None:
    rows = cells({"x": 0.5}, {"x": 3}, {"x": 2})
    each, some = (run(rows, rows=how, holds="< 1") for how in ("each", "any"))
    assert (each.outcome, each.value, each.good, each.rows) == ("fails", 3, 1, 3)
    assert (some.outcome, some.value) == ("holds", 0.5)
    assert [run(rows, rows=how, holds="> 0").value for how in ("sum", "min", "max", "range")] == [5.5, 0.5, 3, 2.5]
    assert describe(run(rows, rows="max", holds="== 2")) == "3; fails: == 2", "one number is not so many rows as asked"


def test_a_value_may_be_divided_by_another_column_or_row() -> None:
    rows = cells({"k": "a", "x": 6, "y": 4}, {"k": "b", "x": 3, "y": 1})
    assert run(rows, where={"k": "a"}, per="y", holds="> 1").value == 1.5
    assert run(rows, where={"k": "a"}, over={"k": "b"}, holds="> 1").value == 2
    assert run(rows, where={"k": "a"}, over={"k": "c"}, holds="> 1").reason == "table t has no rows with k c"
    rows = cells({"k": "a", "x": 6, "y": 0}, {"k": "b", "x": 0, "y": 1})
    assert run(rows, where={"k": "a"}, per="y", holds="> 1").outcome == "missing"
    assert run(rows, where={"k": "a"}, over={"k": "b"}, holds="> 1").reason.startswith("table t has 0 in x")


def test_figures_that_the_paper_prints_need_no_run() -> None:
    verdicts = {name: judge_claim(name, RULES.claims[name], finder()) for name in ("C28", "C29")}
    assert [item.verdict for item in verdicts.values()] == [CONTRADICTED, CONDITIONAL]
    assert "sum to 14" in verdicts["C28"].says


# -- verdicts ----------------------------------------------------------------------------------------------------


def judge_c01(median: Any, low: Any, high: Any) -> Verdict:
    ends = {"cpu_ratio_low": 1.2, "cpu_ratio_high": 1.4}
    tables = {
        "variants_break_even": cells({"suite": "sha256", "bare_median": median, "bare_low": low, "bare_high": high}),
        "variants_energy": cells({"rule": "PoS", "suite": "sha256", "idle_share": 0.9}),
        "variants_ratios": cells(
            {"rule": "PoW", "suite": "sha256", "cpu_ratio": 1.3, **ends},
            {"rule": "PoW", "suite": "sha256", "cpu_ratio": None, **ends},
        ),
    }
    return judge_claim("C01", RULES.claims["C01"], tables.get)


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ((0.5, 0.1, 0.9), SUPPORTED),
        ((12.5, 12.1, 12.9), CONDITIONAL),
        ((31, 30, 31.9), CONDITIONAL),
        ((31, 30, 32), UNSUPPORTED),
        ((40, 32, 50), CONTRADICTED),
        ((12.5, None, None), UNSUPPORTED),
        ((None, None, None), UNTESTED),
    ],
)
def test_every_verdict_is_reached_by_planted_numbers(numbers: tuple[Any, Any, Any], verdict: str) -> None:
    assert judge_c01(*numbers).verdict == verdict


def test_conditions_are_filled_with_the_numbers_of_the_run() -> None:
    assert judge_c01(12.54, 12.1, 12.9).says.startswith("from 12.5 bits of difficulty on (95 %: 12.1 to 12.9)")
    assert judge_c01(31, 30, 32).says.startswith("undecided in this run: difficulty above which proof")


def test_a_replay_after_our_own_restart_does_not_decide_against_agents() -> None:
    row = {"attack": "replayed", "variant": "again", "protection": "all protections", "succeeded": 0, "tries": 30}
    early, late = ({**row, "where": f"{role}: replayed"} for role in ("agent", "coordinator"))
    restarted = {**late, "variant": "after a restart of every node"}
    found = judge_claim("C18", RULES.claims["C18"], finder(identity=cells(early, restarted)))
    assert found.verdict == CONDITIONAL
    assert found.says.endswith(
        "1 of 1 kinds of bad transactions ended at an agent, 0 of 60 tries got past; replays after a restart of every "
        "node counted, 1 of 2 kinds did (coordinator: replayed)"
    )
    assert judge_claim("C18", RULES.claims["C18"], finder(identity=cells(early, late))).verdict == CONTRADICTED


def test_what_nobody_here_can_test_says_why() -> None:
    verdict = judge_claim("C46", RULES.claims["C46"], finder())
    assert (verdict.verdict, verdict.says) == (UNTESTABLE, RULES.claims["C46"].untestable)


def test_without_a_table_no_claim_that_needs_one_has_a_verdict() -> None:
    verdicts = [judge_claim(name, claim, finder()) for name, claim in RULES.claims.items()]
    judged = {item.id for item in verdicts if item.verdict != UNTESTED}
    assert judged == {"C28", "C29", "C46"}
    assert len(verdicts) == COUNT
    assert next(item.says for item in verdicts if item.id == "C35") == "table table1 is not in this run"


def test_one_missing_test_of_many_withholds_the_verdict() -> None:
    claim = RULES.claims["C32"]
    found = cells({"run": "honest", "tx_per_s": 5, "altered": 0}, {"run": "altered", "tx_per_s": 5, "altered": 9})
    assert judge_claim("C32", claim, finder(tamper_throughput=found)).verdict == UNTESTED
    attack = {"tries": 9, "detected": 0}
    equal = cells({"protection": "equal throughput", "succeeded": 9, **attack},
                  {"protection": "digests, by who has it", "succeeded": 0, **attack})  # fmt: skip
    whole = judge_claim("C32", claim, finder(tamper_throughput=found, tamper_equal=equal))
    assert (whole.verdict, whole.says[:24]) == (CONTRADICTED, "with 9 records altered t")


def test_the_first_decision_that_applies_is_the_verdict() -> None:
    claim = msgspec.convert(
        {
            "says": "s", "place": "p", "why": "w",
            "tests": {"a": {"what": "a", "table": "t", "column": "x", "holds": "> 0"},
                      "b": {"what": "b", "table": "t", "column": "x", "holds": "> 5"}},
            "decisions": [{"verdict": "supported", "holds": ["a", "b"], "says": "both"},
                          {"verdict": "contradicted", "lacks": ["a"], "says": "not {a}"},
                          {"verdict": "supported under a condition", "holds": ["a"], "says": "{a}"}],
        },
        Claim,
    )  # fmt: skip
    told = [(v.verdict, v.says) for v in (judge_claim("C", claim, finder(t=cells({"x": x}))) for x in (9, 3, -1))]
    assert told == [(SUPPORTED, "both"), (CONDITIONAL, "3"), (CONTRADICTED, "not -1")]


def test_numbers_are_shown_with_three_digits() -> None:
    values = [None, "a", 0.0, 3.0, 1234.5, 5640192.0, 0.012345, float("inf"), -2.5]
    shown = ["none", "a", "0", "3", "1,234", "5,640,192", "0.0123", "more than was tried", "-2.5"]
    assert [show(value) for value in values] == shown
    assert all(a != b for a, b in pairwise(shown))


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (1.0003, 1.0001, 1.0005, "1.0003 (95 %: 1.0001 to 1.0005); holds: > 1"),
        (1.00030001, 1.0003, 1.00030002, "1.0003 (95 %: 1.0003 to 1.0003); holds: > 1"),
        (12.54, 12.1, 12.9, "12.5 (95 %: 12.1 to 12.9); holds: > 1"),
        (1234.56, 1234.5, 1234.6, "1,234.56 (95 %: 1,234.50 to 1,234.60); holds: > 1"),
        (3, "-inf", 4, "3 (95 %: less than was tried to 4); open: > 1"),
        (0.9997, 0.9995, 0.9999, "0.9997 (95 %: 0.9995 to 0.9999); fails: > 1"),
    ],
)
def test_ends_and_limits_that_differ_are_told_apart(value: float, low: Any, high: float, told: str) -> None:
    found = run(cells({"x": value, "low": low, "high": high}), holds="> 1", low="low", high="high")
    assert describe(found) == told


def test_the_digest_of_a_rule_is_of_what_decides_and_not_of_words() -> None:
    claim = RULES.claims["C35"]
    change = msgspec.structs.replace
    for same in (
        change(claim, why="other words"),
        change(claim, tests={"most": change(claim.tests["most"], what="other words")}),
        change(claim, decisions=[change(item, says="other words") for item in claim.decisions]),
    ):
        assert same.digest == claim.digest
    for other in (
        change(claim, tests={"most": change(claim.tests["most"], holds="== 16")}),
        change(claim, tests={"most": change(claim.tests["most"], effect=0.1)}),
        change(claim, decisions=claim.decisions[::-1]),
        change(claim, decisions=[change(claim.decisions[0], verdict="not supported"), claim.decisions[1]]),
        change(claim, says="another claim"),
    ):
        assert other.digest != claim.digest
    assert len({item.digest for item in RULES.claims.values()}) == COUNT


@pytest.mark.parametrize(
    ("experiments", "options", "command"),
    [
        (["load", "storage"], " --profile paper", "ehrbench run load storage --profile paper"),
        ([], " --profile paper", "ehrbench claims"),
    ],
)
def test_the_command_is_the_run_s_own(experiments: list[str], options: str, command: str) -> None:
    assert Claim(says="it", place="§1", experiments=experiments).show_command(options) == command
    assert Claim(says="it", place="§1", untestable="it is not said").show_command(options) == ""
