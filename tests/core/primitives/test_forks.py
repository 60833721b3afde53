"""Copies that cost nothing are copies all the same: compared with copied dicts."""

import gc

from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.forks import ForkedDict

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "fork", "look", "drop"]), st.integers(0, 7), st.integers(0, 5), st.integers(0, 3)
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(STEPS)
def test_every_fork_is_what_a_copied_dict_is(steps) -> None:
    pairs: list[tuple[ForkedDict[int, int], dict[int, int]]] = [(ForkedDict(0), {})]
    for what, which, key, value in steps:
        forked, plain = pairs[which % len(pairs)]
        if what == "set":
            forked[key] = plain[key] = value
            if not value:
                del plain[key]
        elif what == "fork":
            pairs.append((forked.fork(), dict(plain)))
        elif what == "drop" and len(pairs) > 1:
            del pairs[which % len(pairs)]
        assert (forked.get(key), key in forked, len(forked)) == (plain.get(key, 0), key in plain, len(plain))
    for forked, plain in pairs:
        assert forked.content() == plain


def test_a_chain_of_a_hundred_thousand_changes_is_gone_over_and_let_go() -> None:
    """Neither bringing the content back nor freeing old versions may recurse."""
    first: ForkedDict[int, int] = ForkedDict(-1)
    last = first.fork()
    for key in range(100_000):
        last[key] = key
    assert (len(first), len(last)) == (0, 100_000)
    assert len(first) == 0
    del last
    assert first.get(1) == -1
    gc.collect()


def test_a_planted_fork_that_shares_its_content_is_caught() -> None:
    class Sharing(ForkedDict[int, int]):
        def __setitem__(self, key: int, value: int) -> None:
            self.content()[key] = value

    shared = Sharing(0)
    twin = shared.fork()
    shared[1] = 1
    assert twin.get(1) == 1  # what the property test would have refused


def test_a_fork_copies_nothing() -> None:
    large: ForkedDict[int, int] = ForkedDict(-1)
    for key in range(1_000):
        large[key] = key
    twin = large.fork()
    assert twin.content() is large.content()
