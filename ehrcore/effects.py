"""The seam between roles and drivers: events go in, effects come out, in the order in which they must happen.

A role performs nothing itself.  What must be durable before a message may leave stands before it in the tuple.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from ehrcore.block import Block, CommitCertificate, Header, Payload
from ehrcore.identity import Reason
from ehrcore.messages import Message, Word
from ehrcore.records import ClinicalRecord


class Received(msgspec.Struct, frozen=True):
    """A message has arrived; the driver vouches for ``sender`` no further than its transport does."""

    sender: str
    message: Message


class TimerFired(msgspec.Struct, frozen=True):
    """A timer set by `SetTimer` has run out."""

    name: str


class Requested(msgspec.Struct, frozen=True):
    """A visitor's user wants a record on the chain; ``pseudonym`` was issued by the authority."""

    record: ClinicalRecord
    pseudonym: bytes


class Instructed(msgspec.Struct, frozen=True):
    """A visitor's user wants anything else on the chain: a consent, say, or access."""

    payload: Payload


class WorkFound(msgspec.Struct, frozen=True):
    """The search that `Work` asked for has found a nonce."""

    job: int
    nonce: bytes


Event = Received | TimerFired | Requested | Instructed | WorkFound


class Send(msgspec.Struct, frozen=True):
    """Send one message to several nodes."""

    to: tuple[str, ...]
    message: Message


class SetTimer(msgspec.Struct, frozen=True):
    """Fire ``TimerFired(name)`` after ``delay_ns``; a timer set again under the same name replaces the first."""

    name: str
    delay_ns: int


class Store(msgspec.Struct, frozen=True):
    """Keep an off-chain object under its location before anything that names it leaves."""

    location: str
    body: bytes


class Persist(msgspec.Struct, frozen=True):
    """Append a final block to the ledger, durably, before anything that follows; ``state`` is the state after it."""

    block: Block
    certificate: CommitCertificate
    reasons: tuple[Reason, ...]
    state: bytes


class Heard(msgspec.Struct, frozen=True):
    """A word of another was admitted at the height being decided: to be known again after a restart."""

    message: Word


class PersistTip(msgspec.Struct, frozen=True):
    """Keep the hash of the last final block: all that an administrator keeps (paper section 3, item 1)."""

    height: int
    block: bytes


class Work(msgspec.Struct, frozen=True):
    """Search a nonce for ``header``; replaces the search before it.  None stops the search."""

    job: int
    header: Header | None


class ObservedKind(StrEnum):
    """What a role reports for measurement; reporting changes nothing.

    ``COMMITTED`` is a contributor's word that its ledger holds the transactions, ``SETTLED`` a coordinator's
    or an agent's that it has seen them in a final block.  ``ACCUSED`` is an administrator's word that another has
    contradicted itself: the detail names the offender and the height.  Under proof of work, an administrator tells of
    each ``STALE`` block (the detail is its proposer's name) once, and of each time it has ``REORGANISED``: which blocks
    it left for a heavier chain, and how many (detail).  ``ABANDONED`` is an agent's word that so many coordinators have
    refused what it endorsed that it cannot be approved; the detail is the reason.
    """

    SUBMITTED = "submitted"
    REFUSED = "refused"
    COMMITTED = "committed"
    SETTLED = "settled"
    FINAL = "final"
    DECIDED = "decided"
    DROPPED = "dropped"
    ABANDONED = "abandoned"
    ACCUSED = "accused"
    STALE = "stale"
    REORGANISED = "reorganised"


class Observed(msgspec.Struct, frozen=True):
    """Something happened to ``subjects`` (ids of transactions, or a block's hash)."""

    kind: ObservedKind
    subjects: tuple[bytes, ...]
    detail: str = ""


Effect = Send | SetTimer | Store | Persist | PersistTip | Heard | Work | Observed
Effects = tuple[Effect, ...]


class RoleMachine(Protocol):
    """What every role looks like to a driver."""

    def start(self, now: int) -> Effects:
        """Called once, before any event; ``now`` in nanoseconds."""

    def handle(self, event: Event, now: int) -> Effects:
        """Take one event at ``now`` (never before the time of the event before it)."""
