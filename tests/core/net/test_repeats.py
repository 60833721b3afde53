from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ehrcore.drive.net.repeats import FIRST_PAUSE, FIRST_QUESTION, LONGEST_PAUSE, LONGEST_QUESTION, Repeats
from ehrcore.effects import Send
from ehrcore.identity import Reason
from ehrcore.messages import Refused
from ehrcore.types import SECOND

SEND = Send(("coordinator-0",), Refused(bytes(32), Reason.CONTRACT, ""))
LATE = 1 << 60


def test_it_is_said_again_ever_more_rarely() -> None:
    repeats = Repeats()
    repeats.add(b"1", SEND, 0, LATE)
    times = range(0, 20 * FIRST_PAUSE, SECOND)
    said = [now // SECOND for now in times if repeats.repeat(now, lambda _: None)[0]]
    first = FIRST_PAUSE // SECOND
    assert said[:3] == [first, 3 * first, 7 * first]
    assert max(later - earlier for earlier, later in pairwise(said)) <= LONGEST_PAUSE // SECOND


def test_what_is_settled_is_not_said_again() -> None:
    repeats = Repeats()
    for tx_id in (b"1", b"2"):
        repeats.add(tx_id, SEND, 0, LATE)
    assert repeats.settle([b"2", b"3"]) == [b"2"]
    assert repeats.repeat(FIRST_PAUSE, lambda _: None) == (1, [])
    assert (len(repeats), b"1" in repeats, b"2" in repeats) == (1, True, False)


def test_what_is_too_old_is_given_up_and_not_said() -> None:
    repeats, said = Repeats(), []
    repeats.add(b"1", SEND, 0, FIRST_PAUSE)
    assert repeats.repeat(FIRST_PAUSE, said.append) == (0, [b"1"])
    assert (said, len(repeats)) == ([], 0)


def test_after_a_restart_it_is_said_at_once() -> None:
    repeats, said = Repeats(), []
    repeats.add(b"1", SEND, 7, LATE, pause=0)
    repeats.repeat(7, said.append)
    assert said == [SEND]


@given(st.integers(1, 50), st.integers(1, 10))
def test_everything_is_asked_about_within_the_longest_pause(count: int, limit: int) -> None:
    repeats = Repeats()
    for number in range(count):
        repeats.add(number.to_bytes(4), SEND, 0, LATE)
    asked: list[bytes] = []
    for step in range(1, count // limit + 2):
        asked += repeats.questions(FIRST_QUESTION + step, limit)
    assert asked == [number.to_bytes(4) for number in range(count)]
    assert not repeats.questions(2 * FIRST_QUESTION, limit)
    assert len(repeats.questions(FIRST_QUESTION + LONGEST_QUESTION, count)) == count
