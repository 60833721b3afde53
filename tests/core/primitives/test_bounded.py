"""`RecentSet` against its definition: the last `limit` distinct items, by when each was last added."""

from hypothesis import given
from hypothesis import strategies as st

from ehrcore.bounded import RecentSet

ITEMS = st.integers(0, 9).map(lambda number: bytes([number]))


def newest(added: list[bytes], limit: int) -> set[bytes]:
    distinct = list(dict.fromkeys(reversed(added)))
    return set(distinct[:limit])


@given(st.lists(ITEMS, max_size=40), st.integers(1, 8))
def test_it_holds_the_newest_items_and_no_more(added: list[bytes], limit: int) -> None:
    recent = RecentSet(limit)
    for item in added:
        recent.add(item)
    held = {bytes([number]) for number in range(10) if bytes([number]) in recent}
    assert held == newest(added, limit)


def test_adding_a_member_again_pushes_no_other_out() -> None:
    recent = RecentSet(2)
    for item in (b"a", b"b", b"b"):
        recent.add(item)
    assert b"a" in recent


def test_adding_a_member_again_makes_it_the_newest() -> None:
    recent = RecentSet(2)
    for item in (b"a", b"b", b"a", b"c"):
        recent.add(item)
    assert b"a" in recent
    assert b"b" not in recent
