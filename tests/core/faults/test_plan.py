from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.errors import ParameterError
from ehrcore.faults.plan import (
    Behaviour,
    Byzantine,
    Crash,
    Cut,
    FaultPlan,
    Lossy,
    Pause,
    Skew,
    Slow,
    Twin,
    partition,
)
from tests.core.faults.support import ADMINS, ALL, NETWORK

A, B, C, D = ADMINS
times = st.integers(0, 10**12)
names = st.sampled_from(ALL)
groups = st.lists(names, max_size=4).map(tuple)
rates = st.floats(0, 1)
ends = st.none() | st.integers(10**12 + 1, 10**13)
faults = st.one_of(
    st.builds(Crash, names.filter(lambda name: name != "visitor-0"), times, ends, st.booleans(), st.booleans()),
    st.builds(Pause, names, times, st.integers(10**12 + 1, 10**13)),
    st.builds(Slow, names, times, st.integers(10**12 + 1, 10**13), st.floats(1, 1_000)),
    st.builds(Cut, groups, groups, times, ends),
    st.builds(Lossy, groups, groups, times, ends, rates, rates, times),
    st.builds(Skew, names, st.integers(-(10**12), 10**12)),
    st.builds(Byzantine, st.sampled_from(ADMINS), st.sampled_from(Behaviour), times),
    st.builds(Twin, st.sampled_from(ADMINS), groups, groups, st.booleans()),
)


@given(faults)
def test_one_usable_fault_makes_a_usable_plan(fault):
    FaultPlan((fault,)).validate(NETWORK)


def test_who_lies_is_faulty_and_who_only_fails_is_not():
    plan = FaultPlan((Byzantine(A, Behaviour.LIE), Twin(B, (A,), (C,)), Crash(C, 1, 2, forgets=True), Crash(D, 1)))
    assert plan.faulty == {A, B, C}
    assert [crash.node for crash in plan.of(Crash)] == [C, D]


def test_a_partition_is_two_cuts():
    assert partition((A,), (B, C), 5, 9) == (Cut((A,), (B, C), 5, 9), Cut((B, C), (A,), 5, 9))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Crash("administrator-4", 1), "expected a node of the network, found 'administrator-4'"),
        (Cut((A,), ("nobody",)), "expected a node of the network, found 'nobody'"),
        (Crash(A, 5, 5), "restart_ns: expected more than 5, found 5"),
        (Pause(A, 5, 4), "end_ns: expected more than 5, found 4"),
        (Slow(A, 1, 2, 0.5), "factor"),
        (Lossy((A,), (B,), loss=1.5), "loss"),
        (Skew(A, 10**15), "offset_ns"),
        (Crash(A, -1), "at_ns"),
        (Byzantine("agent-0", Behaviour.LIE), "expected an administrator, found agent-0"),
        (Twin("coordinator-0", (A,), (B,)), "expected an administrator, found coordinator-0"),
        (Byzantine(A, Behaviour.LIE, 0, (B,)), "targets: expected none for lie"),
        (Crash("visitor-0", 1, 2), "expected no restart of a visitor"),
    ],
)
def test_what_a_network_cannot_have_is_named_in_one_line(fault: Any, words: str):
    with pytest.raises(ParameterError) as caught:
        FaultPlan((fault,)).validate(NETWORK)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pair",
    [
        (Skew(A, 1), Skew(A, 2)),
        (Byzantine(A, Behaviour.LIE), Twin(A, (B,), (C,))),
        (Crash(A, 1, 5), Crash(A, 3, 9)),
        (Crash(A, 1), Crash(A, 3)),
    ],
)
def test_two_faults_that_contradict_each_other_are_refused(pair):
    with pytest.raises(ParameterError, match="expected"):
        FaultPlan(pair).validate(NETWORK)


def test_every_kind_of_fault_has_a_strict_form():
    for kind in (Crash, Pause, Slow, Cut, Lossy, Skew, Byzantine, Twin):
        assert kind.__struct_config__.forbid_unknown_fields
        assert msgspec.structs.fields(kind)
