"""What the report says of attacks on the strongest variant: counted over all experiments, and never left out."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from bench.experiments import find_experiment
from bench.experiments.attacks import Tally, attack_table
from bench.report.defence import describe_defence
from bench.report.model import Failure


def section(name: str, *tallies: Tally) -> Any:
    table = attack_table(name, "Caption.", strongest=lambda row: row["protection"] == "wall")
    frame = table.build(pd.DataFrame([tally.row() for tally in tallies]))
    built = SimpleNamespace(table=table, frame=frame)
    return SimpleNamespace(experiment=SimpleNamespace(id=name), tables=(built,), failures=())


def tally(attack: str, expected: str, *found: str | None, protection: str = "wall") -> Tally:
    made = Tally(attack, "v", protection, expected)  # type: ignore[arg-type]
    for item in found:
        made.add(item)
    return made


def test_tries_that_have_to_fail_are_counted_by_experiment_and_what_may_succeed_is_named() -> None:
    first = section("one", tally("climb", "refused", "moat", "gate"), tally("weak", "succeeds", None, protection="no"))
    second = section("two", tally("dig", "detected", "dog"), tally("siege", "succeeds", None))
    head, free = describe_defence((first, second))
    assert "No attack on the strongest variant" in head
    assert "0 of 3 tries in 2 combinations (one 2, two 1)" in head
    assert free.endswith("siege (v, wall).")


def test_an_attack_that_got_through_is_told_first() -> None:
    head, won = describe_defence((section("one", tally("climb", "refused", "moat", None)),))
    assert head.startswith("1 ATTACKS on")
    assert won == "Succeeded: climb (v, wall)."


def test_attacks_that_were_not_played_are_not_counted_as_failed_attacks() -> None:
    found = section("one", tally("climb", "refused", "moat"))
    found.failures = (Failure("dig", "failed", "no spade", 1),)
    assert describe_defence((found,))[1].endswith("not counted: one (dig: failed).")


def test_without_attacks_nothing_is_said() -> None:
    assert describe_defence((section("one", tally("weak", "succeeds", None, protection="no")),)) == ()


@pytest.mark.parametrize("name", ["tamper", "collisions", "identity", "abuse", "privacy"])
def test_each_experiment_of_attacks_says_which_rows_are_of_the_strongest_variant(name: str) -> None:
    assert any(table.strongest for table in find_experiment(name).tables)
