"""Every negative control is caught, by the invariant that it breaks, and the same schedule holds without it."""

import pytest

from ehrcore.consensus.validators import ValidatorSet
from ehrcore.errors import ParameterError
from ehrcore.faults.mutants import MUTANTS, find_mutant, planted
from ehrcore.faults.search import Search, run_control, run_many


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_and_its_schedule_holds_without_it(name: str) -> None:
    control = run_control(name)
    assert control.is_caught, control
    assert control.rule in MUTANTS[name].rules


def test_the_search_finds_a_mutant_among_its_seeds_in_other_processes() -> None:
    verdicts = list(run_many(Search(24, 32, mutant="no-lock"), 2))
    assert {verdict.rule for verdict in verdicts} == {"", "lock"}


def test_a_bug_is_planted_for_a_while_and_no_longer() -> None:
    before = ValidatorSet.is_quorum
    with planted(MUTANTS["two-thirds-of-3"]):
        assert ValidatorSet.is_quorum is not before
    assert ValidatorSet.is_quorum is before


def test_an_unknown_mutant_is_named() -> None:
    assert find_mutant("") is None
    with pytest.raises(ParameterError, match="expected one of two-liars, .* found 'x'"):
        find_mutant("x")
