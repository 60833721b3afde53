"""The bit windows against the plain definition: a nonce counts if it is new and not older than the window."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ehrcore.replay import WINDOW, ReplayWindows

AUTHORS = st.sampled_from(("visitor-0", "visitor-1", "authority-0"))
#: Nonces close together, at the window's edge, and as far apart as the chain admits.
NONCES = (
    st.integers(0, 20)
    | st.integers(WINDOW - 3, WINDOW + 3)
    | st.integers(2 * WINDOW - 3, 2 * WINDOW + 3)
    | st.integers(0, 3 * WINDOW)
    | st.integers(0, (1 << 53) - 1)
)


class NaiveWindows:
    """All nonces that were ever used, remembered for ever."""

    def __init__(self) -> None:
        self.used: dict[str, set[int]] = {}

    def is_fresh(self, author: str, nonce: int) -> bool:
        used = self.used.get(author, set())
        return nonce not in used and nonce > max(used, default=-1) - WINDOW

    def add(self, author: str, nonce: int) -> None:
        self.used.setdefault(author, set()).add(nonce)


class Comparison(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.fast, self.naive = ReplayWindows(), NaiveWindows()

    @rule(author=AUTHORS, nonce=NONCES)
    def use(self, author: str, nonce: int) -> None:
        is_fresh = self.naive.is_fresh(author, nonce)
        assert self.fast.is_fresh(author, nonce) == is_fresh
        if is_fresh:
            self.fast.add(author, nonce)
            self.naive.add(author, nonce)

    @rule(author=AUTHORS, nonce=NONCES)
    def ask(self, author: str, nonce: int) -> None:
        assert self.fast.is_fresh(author, nonce) == self.naive.is_fresh(author, nonce)

    @invariant()
    def memory_is_bounded(self) -> None:
        entries = self.fast.entries()
        assert all(len(bits) == WINDOW // 8 for _, _, bits in entries)
        assert [name for name, _, _ in entries] == sorted(self.naive.used)


Comparison.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestComparison = Comparison.TestCase


@given(st.permutations(range(12)), st.integers(0, (1 << 53) - WINDOW))
def test_any_order_within_the_window_is_accepted_once(order: list[int], base: int) -> None:
    windows = ReplayWindows()
    nonces = [base + step * (WINDOW // 12) for step in order]
    for nonce in nonces:
        assert windows.is_fresh("visitor-0", nonce)
        windows.add("visitor-0", nonce)
    assert not any(windows.is_fresh("visitor-0", nonce) for nonce in nonces)


@given(st.permutations(range(10)), st.permutations(range(10)))
def test_the_digest_form_forgets_the_order(first: list[int], second: list[int]) -> None:
    windows = ReplayWindows(), ReplayWindows()
    for order, window in zip((first, second), windows, strict=True):
        for nonce in order:
            window.add(f"visitor-{nonce % 3}", nonce)
    assert windows[0].entries() == windows[1].entries()


def test_the_first_nonce_may_be_zero() -> None:
    windows = ReplayWindows()
    assert windows.is_fresh("visitor-0", 0)
    windows.add("visitor-0", 0)
    assert not windows.is_fresh("visitor-0", 0)


@pytest.mark.parametrize("highest", [WINDOW, 2 * WINDOW, (1 << 53) - 1])
def test_the_oldest_nonce_of_the_window_counts_and_the_one_before_does_not(highest: int) -> None:
    windows = ReplayWindows()
    windows.add("visitor-0", highest)
    assert windows.is_fresh("visitor-0", highest - WINDOW + 1)
    assert not windows.is_fresh("visitor-0", highest - WINDOW)


def test_one_authors_nonces_say_nothing_of_anothers() -> None:
    windows = ReplayWindows()
    windows.add("visitor-0", 5)
    assert windows.is_fresh("visitor-1", 5)
    assert windows.is_fresh("visitor-", 5)


def test_the_digest_form_tells_states_apart() -> None:
    used = [ReplayWindows() for _ in range(4)]
    used[1].add("visitor-0", 0)
    used[2].add("visitor-0", 1)
    used[3].add("visitor-1", 0)
    assert len({windows.entries() for windows in used}) == 4
