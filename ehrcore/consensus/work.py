"""The arithmetic of proof of work: Algorithm 2 with its comparison put right (H < target, E19).

The target is ``2^bits / difficulty``, so ``difficulty`` is the expected number of hashes for any suite.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from ehrcore.block import Header
from ehrcore.codec import encode
from ehrcore.crypto import MODELLED_NONCE, Crypto
from ehrcore.hashing import HashSuite
from ehrcore.params import WorkRule

#: A search for a nonce, as `grind`.
Grind = Callable[[HashSuite, Header, int, int], bytes | None]
NONCE_BYTES: Final = 8
EMPTY_NONCE: Final = bytes(NONCE_BYTES)
#: Bound on one retargeting step, either way (as Bitcoin's).
MAX_STEP: Final = 4
#: What a header can say.
MOST_DIFFICULTY: Final = (1 << 62) - 1
#: The shortest retarget window that has a duration.
LEAST_WINDOW: Final = 2
#: Nonces share all but their last two bytes with their neighbours.
_TAIL_BYTES: Final = 2
_TAILS: Final = tuple(number.to_bytes(_TAIL_BYTES) for number in range(1 << 8 * _TAIL_BYTES))


def target(suite: HashSuite, difficulty: int) -> int:
    """The number that a block's hash must stay below."""
    return (1 << 8 * suite.digest_size) // difficulty


def has_work(crypto: Crypto, header: Header) -> bool:
    """Whether the header's hash is below its target; modelled chains accept the modelled nonce instead."""
    if header.difficulty < 1:
        return False
    if crypto.is_modelled and header.nonce == MODELLED_NONCE:
        return True
    return int.from_bytes(crypto.hash_struct(header)) < target(crypto.suite, header.difficulty)


def grind(suite: HashSuite, header: Header, start: int, count: int) -> bytes | None:
    """Try the nonces of the half-open range ``[start, start + count)``; the first that works, or None.

    What comes before a nonce's last two bytes is hashed once for all nonces that share it; each try copies that state.
    Digests are compared as bytes, whose order is that of the numbers.
    """
    most = (target(suite, header.difficulty) - 1).to_bytes(suite.digest_size)
    before = suite.new(encode(header)[:-NONCE_BYTES])
    end = start + count
    while start < end:
        shared, first = divmod(start, len(_TAILS))
        tails = _TAILS[first : first + end - start]
        head = shared.to_bytes(NONCE_BYTES - _TAIL_BYTES)
        state = before.copy()
        state.update(head)
        tail = _find_tail(state, tails, most)
        if tail is not None:
            return head + tail
        start += len(tails)
    return None


def _find_tail(state: Any, tails: Sequence[bytes], most: bytes) -> bytes | None:
    """The first of ``tails`` that brings the hash to ``most`` or less, or None."""
    copy = state.copy
    for tail in tails:
        attempt = copy()
        attempt.update(tail)
        if attempt.digest() <= most:
            return tail
    return None


def least_difficulty(rule: WorkRule, height: int) -> int:
    """The least difficulty that a block at ``height`` can have: what is known without the blocks before it."""
    if rule.retarget_window < LEAST_WINDOW:
        return rule.difficulty
    bits = (MAX_STEP.bit_length() - 1) * (height // rule.retarget_window)
    return max(rule.difficulty >> min(bits, 64), 1)


def next_difficulty(rule: WorkRule, recent: Sequence[Header]) -> int:
    """Difficulty of the block after ``recent``: headers in order, oldest first, a window of them or all.

    At each multiple of the window it is scaled by wanted over real time since the window began, within `MAX_STEP`
    either way.  The window's first block has no duration of its own (the real time spans one interval less than there
    are blocks), so a chain's first step is that at twice the window.  Times cannot go back from block to block, which
    closes the hole that windows without a common block have in Bitcoin ("time warp").
    """
    if not recent:
        return rule.difficulty
    parent, window = recent[-1], rule.retarget_window
    if window < LEAST_WINDOW or (parent.height + 1) % window or len(recent) < window:  # one block alone has no duration
        return parent.difficulty
    wanted = rule.block_interval_ns * (window - 1)
    real = parent.timestamp - recent[-window].timestamp
    if real * MAX_STEP <= wanted:
        return min(parent.difficulty * MAX_STEP, MOST_DIFFICULTY)
    if real >= wanted * MAX_STEP:
        return max(parent.difficulty // MAX_STEP, 1)
    return min(max(parent.difficulty * wanted // real, 1), MOST_DIFFICULTY)
