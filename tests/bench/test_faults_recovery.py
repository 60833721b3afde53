"""What a fault did to a steady load, from made-up instants of which the answer is known."""

import pytest

from bench.analysis.recovery import (
    BEHIND,
    HALTED,
    LATE,
    LIVE,
    STALLED,
    Course,
    count_commits,
    describe_recovery,
    find_longest_stall,
    find_recovery,
    judge_liveness,
)
from bench.measure.latency import Sample
from ehrcore.types import MILLISECOND, SECOND

STEP = SECOND // 10
COURSE = Course(0, SECOND, 3 * SECOND, 5 * SECOND, 10 * SECOND, 16 * SECOND, SECOND // 2)
FOR_GOOD = Course(0, SECOND, 3 * SECOND, None, 10 * SECOND, 16 * SECOND, SECOND // 2)


def load(stall: tuple[float, float] | None = None, lost: tuple[float, float] | None = None) -> list[Sample]:
    """Ten requests a second, committed after 50 ms, or at the end of a stall, or not at all."""
    samples = []
    for number in range(1, 100):
        at = number * STEP
        done: int | None = at + 50 * MILLISECOND
        if stall and stall[0] * SECOND <= at < stall[1] * SECOND:
            done = round(stall[1] * SECOND)
        if lost and lost[0] * SECOND <= at < lost[1] * SECOND:
            done = None
        samples.append(Sample(at, at, done, done, done))
    return samples


@pytest.mark.parametrize(
    ("samples", "course", "verdict"),
    [
        (load(), COURSE, LIVE),
        (load(), FOR_GOOD, LIVE),
        (load((3, 4.2)), COURSE, LIVE),
        (load((3, 5.2)), COURSE, STALLED),
        (load((3.4, 5.2)), COURSE, STALLED),
        (load((3, 8.5)), COURSE, LATE),
        (load(lost=(3, 10)), COURSE, HALTED),
        (load(lost=(3, 10)), FOR_GOOD, HALTED),
        (load(lost=(4, 4.3)), COURSE, BEHIND),
        (load(lost=(4, 10)), COURSE, HALTED),
    ],
)
def test_liveness_is_told_from_what_was_committed_while_the_fault_was_there(
    samples: list[Sample], course: Course, verdict: str
) -> None:
    assert judge_liveness(samples, course) == verdict


def test_a_stall_begins_no_earlier_than_the_fault_and_lasts_until_somebody_stops_watching() -> None:
    assert find_longest_stall(load((3, 5)), COURSE) == 2 * SECOND
    assert find_longest_stall(load((1, 2.5)), COURSE) == STEP, "before the fault nobody counts"
    assert find_longest_stall(load(lost=(3, 10)), COURSE) == 13 * SECOND
    assert find_longest_stall(load(lost=(0, 10)), COURSE) == 13 * SECOND


def test_recovery_counts_from_the_heal_until_no_more_waits_than_before() -> None:
    assert find_recovery(load(), COURSE) == 0
    assert find_recovery(load((3, 5.4)), COURSE) == 0.4 * SECOND
    assert find_recovery(load((3, 4)), COURSE) == 0, "it was over before the heal"
    assert find_recovery(load((3, 4)), FOR_GOOD) == SECOND, "what stays is counted from its begin"
    assert find_recovery(load(lost=(3, 10)), COURSE) is None
    assert find_recovery(load((3, 10.5)), COURSE) is None, "there is no load any more"


def test_throughput_over_time_adds_up() -> None:
    bins = count_commits(load((3, 5)), COURSE, SECOND // 4)
    assert sum(rate for _, rate in bins) / 4 == 99
    assert [at for at, _ in bins[:3]] == [0, SECOND // 4, SECOND // 2]
    assert {rate for at, rate in bins if 3.25 <= at / SECOND < 5} == {0}


def test_columns_of_a_row_say_what_happened() -> None:
    row = describe_recovery(load((3, 5.2)), COURSE, 6 * SECOND)
    assert (row["before_per_s"], row["dip_per_s"], row["liveness"]) == (10, 0, STALLED)
    assert (row["during_per_s"], row["uncommitted"], row["latency_max_ms"]) == (0, 0, 2200)
    assert row["latency_censored"] == 0
    cut = describe_recovery(load(lost=(3, 10)), COURSE, 6 * SECOND)
    assert (cut["uncommitted"], cut["latency_censored"], cut["late_per_s"]) == (70, 70, 0)
    assert "p50" in cut["latency_bounds"]
    always = describe_recovery(load(), Course(0, SECOND, 0, None, 10 * SECOND, 16 * SECOND, SECOND // 2), 6 * SECOND)
    assert (always["before_per_s"], always["recovery_s"]) == (None, None), "there was nothing before it"
