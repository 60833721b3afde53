from itertools import pairwise

from ehrcore.drive.repeats import FIRST_PAUSE, GIVE_UP_AFTER, LONGEST_PAUSE, Repeats
from ehrcore.effects import Send
from ehrcore.identity import Reason
from ehrcore.messages import Refused
from ehrcore.types import SECOND

SEND = Send(("coordinator-0",), Refused(bytes(32), Reason.CONTRACT, ""))


def count_due(repeats: Repeats, now: int) -> int:
    return repeats.repeat(now, lambda _: None, is_moving=True)[0]


def test_it_is_said_again_ever_more_rarely() -> None:
    repeats = Repeats()
    repeats.add(b"1", SEND, "visitor-0", 0)
    said = [now // SECOND for now in range(0, 20 * FIRST_PAUSE, SECOND) if count_due(repeats, now)]
    first = FIRST_PAUSE // SECOND
    assert said[:3] == [first, 3 * first, 7 * first]
    assert max(later - earlier for earlier, later in pairwise(said)) <= LONGEST_PAUSE // SECOND


def test_what_is_settled_is_not_said_again() -> None:
    repeats = Repeats()
    for tx_id in (b"1", b"2"):
        repeats.add(tx_id, SEND, "visitor-0", 0)
    assert repeats.settle([b"2", b"3"]) == [b"2"]
    assert count_due(repeats, FIRST_PAUSE) == 1
    assert (len(repeats), b"1" in repeats, b"2" in repeats) == (1, True, False)


def test_what_does_not_become_final_is_given_up_only_if_others_do() -> None:
    repeats, said = Repeats(), []
    repeats.add(b"1", SEND, "visitor-0", 0)
    assert repeats.repeat(GIVE_UP_AFTER, said.append, is_moving=False) == (1, [])
    assert repeats.repeat(GIVE_UP_AFTER, said.append, is_moving=True) == (0, [b"1"])
    assert (said, len(repeats), repeats.count_of("visitor-0")) == ([SEND], 0, 0)


def test_after_a_restart_it_is_said_at_once_and_not_given_up_for_its_age() -> None:
    repeats, said, start = Repeats(), [], 50 * GIVE_UP_AFTER
    repeats.add(b"1", SEND, "visitor-0", start, pause=0)
    assert repeats.repeat(start, said.append, is_moving=True) == (1, [])
    assert said == [SEND]


def test_each_author_is_counted_once_per_transaction() -> None:
    repeats = Repeats()
    for tx_id, author in ((b"1", "visitor-0"), (b"1", "visitor-0"), (b"2", "visitor-0"), (b"3", "visitor-1")):
        repeats.add(tx_id, SEND, author, 0)
    assert (repeats.count_of("visitor-0"), repeats.count_of("visitor-1"), repeats.count_of("visitor-2")) == (2, 1, 0)
    repeats.settle([b"1", b"3"])
    assert (repeats.count_of("visitor-0"), repeats.count_of("visitor-1")) == (1, 0)
