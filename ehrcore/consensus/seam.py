"""The seam between administrators and the rule by which they agree.

A rule is a state machine like a role: it takes messages, timers and finished work, and returns effects, plus
`Decided` for each block that has become final, in order of height.  It holds no transactions: the pool does.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from ehrcore.block import Block, CommitCertificate, EndorsedTransaction, Evidence, Header, leaf_bytes
from ehrcore.consensus.stakes import Stakes
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.consensus.work import EMPTY_NONCE
from ehrcore.crypto import Crypto
from ehrcore.effects import Effect
from ehrcore.errors import ValidationError
from ehrcore.messages import Ask, Commit, Finalised, Mined, Missing, Word
from ehrcore.params import ChainParams
from ehrcore.types import SECOND

#: How far ahead of the local clock a block's time may lie (ns).
CLOCK_TOLERANCE: Final = 10 * SECOND


class Decided(msgspec.Struct, frozen=True):
    """A block is final, and this certificate shows it to anyone."""

    block: Block
    certificate: CommitCertificate
    block_hash: bytes


class Accused(msgspec.Struct, frozen=True):
    """Another administrator has contradicted itself, and this shows it to anyone."""

    evidence: Evidence


Step = Effect | Decided | Accused
ConsensusMessage = Word | Ask | Commit | Mined | Missing | Finalised


class Pool(Protocol):
    """What a rule may ask about waiting transactions."""

    def batch(self, now: int, exclude: Collection[bytes] = ()) -> tuple[EndorsedTransaction, ...]:
        """The next block's transactions if one should be cut at ``now``, without those whose ids to exclude."""

    def check(self, transactions: tuple[EndorsedTransaction, ...], now: int) -> tuple[bytes, ...]:
        """Ids of another administrator's transactions; `ValidationError` if one lacks its approvals."""


class Consensus(Protocol):
    """One administrator's part in one rule."""

    def on_ready(self, now: int) -> list[Step]:
        """The pool or the tip has changed: propose if it is time to."""

    def on_message(self, sender: str, message: ConsensusMessage, now: int) -> list[Step]:
        """A message from another administrator; what does not verify is dropped."""

    def on_timer(self, name: str, now: int) -> list[Step]:
        """A timer that this rule has set."""

    def on_work(self, job: int, nonce: bytes, now: int) -> list[Step]:
        """A nonce for a search that this rule has asked for."""


class Quiet:
    """A rule answers nothing where it says nothing else: most set no timers, or ask for no work."""

    def on_timer(self, name: str, now: int) -> list[Step]:
        """See `Consensus.on_timer`."""
        del name, now
        return []

    def on_work(self, job: int, nonce: bytes, now: int) -> list[Step]:
        """See `Consensus.on_work`."""
        del job, nonce, now
        return []


@dataclass(frozen=True, slots=True)
class Seat:
    """What an administrator knows from the start.

    ``stakes`` are kept up to date by the pool, which settles each block before the next height begins.  ``heard`` is
    what it had said and heard at the height after its last block before it was restarted; ``recent`` are the headers of
    its last final blocks, oldest first: a retarget window of them, or all.
    """

    me: str
    peers: tuple[str, ...]
    params: ChainParams
    chain: bytes
    stakes: Stakes
    crypto: Crypto
    pool: Pool
    heard: tuple[Word, ...] = ()
    recent: tuple[Header, ...] = ()

    @property
    def validators(self) -> ValidatorSet:
        """Who certifies the next block."""
        return self.stakes.validators


@dataclass(frozen=True, slots=True)
class Tip:
    """The block to build on."""

    height: int
    block_hash: bytes
    timestamp: int


def build_block(
    seat: Seat, tip: Tip, transactions: tuple[EndorsedTransaction, ...], now: int, difficulty: int = 0
) -> Block:
    """A block on ``tip`` by this administrator; its nonce is yet to be found if there is a difficulty."""
    tree = seat.crypto.merkle_tree(tuple(map(leaf_bytes, transactions)))
    header = Header(
        seat.chain, tip.height + 1, tip.block_hash, tree.root, len(transactions), max(now, tip.timestamp), seat.me,
        seat.validators.digest, seat.stakes.upcoming.digest, difficulty, EMPTY_NONCE,
    )  # fmt: skip
    return Block(header, transactions)


def is_timely(block: Block, now: int) -> bool:
    """Whether the block's time is not ahead of the clock: one far ahead would let every certificate expire."""
    return block.header.timestamp <= now + CLOCK_TOLERANCE


def validate_link(header: Header, chain: bytes, tip: Tip, stakes: Stakes) -> None:
    """Raise `ValidationError` unless ``header`` may follow ``tip``, whatever its content and its certificate."""
    for rule, expected, found in (
        ("chain", chain.hex(), header.chain.hex()),
        ("height", tip.height + 1, header.height),
        ("previous", tip.block_hash.hex(), header.previous.hex()),
        ("validators", stakes.validators.digest.hex(), header.validators.hex()),
        ("next-validators", stakes.upcoming.digest.hex(), header.next_validators.hex()),
    ):
        if expected != found:
            raise ValidationError(rule, f"expected {expected}, found {found}")
    if header.timestamp < tip.timestamp:
        raise ValidationError("timestamp", f"expected at least {tip.timestamp}, found {header.timestamp}")
    if stakes.validators.find(header.proposer) is None:
        raise ValidationError("proposer", f"expected an administrator, found {header.proposer}")


def validate_content(seat: Seat, block: Block, tip: Tip) -> tuple[bytes, ...]:
    """Check a block against its parent and the pool's policy; the ids of its transactions.

    Everything but the certificate: that is what the rule is about to make.  Who may act is asked at the block's time,
    so that every administrator finds the same.
    """
    header = block.header
    validate_link(header, seat.chain, tip, seat.stakes)
    if header.size != len(block.transactions):
        raise ValidationError("size", f"expected {len(block.transactions)}, found {header.size}")
    root = seat.crypto.merkle_tree(tuple(map(leaf_bytes, block.transactions))).root
    if root != header.merkle_root:
        raise ValidationError("merkle-root", f"expected {root.hex()}, found {header.merkle_root.hex()}")
    return seat.pool.check(block.transactions, header.timestamp)
