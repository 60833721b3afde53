"""The paper's Algorithm 2, proof of work, as printed and as corrected (E19, E20).

Neither is the proof of stake that the paper claims (E21): that is `ehrcore.consensus.pos`.
"""

from collections.abc import Callable, Iterable

#: H of the previous block's hash, the transactions and a number, as an integer.
WorkHash = Callable[[bytes, bytes, int], int]


def mine_printed(H: WorkHash, P: bytes, B: bytes, D: int, numbers: Iterable[int]) -> int | None:
    """The first number with H(P, B, number) >= D (E19): the higher the bar, the less work.

    The jump back goes to a label that the listing does not have (E20); it is read as 'try the next number'.
    """
    return next((number for number in numbers if H(P, B, number) >= D), None)


def mine(H: WorkHash, P: bytes, B: bytes, target: int, numbers: Iterable[int]) -> int | None:
    """The first number with H(P, B, number) < target; None if there is none among ``numbers``, which may be a slice.

    Each number is a hit with probability ``target / 2^bits``, so a hit takes ``2^bits / target`` hashes on average.
    """
    return next((number for number in numbers if H(P, B, number) < target), None)


def target_of(difficulty: int, bits: int) -> int:
    """The target that takes ``difficulty >= 1`` hashes on average, of a hash of ``bits`` bits."""
    return (1 << bits) // difficulty
