"""What an engine asks of the load generator and what it answers: one line of JSON each.

All instants are nanoseconds of the generator's monotonic clock: every latency is a difference within one process.  Only
who injects faults reads it, too (`bench.net.faults`): the processes of one machine have it in common.
"""

import time
from typing import Annotated, Any, Final, Literal

import msgspec

from bench.measure.latency import Sample
from ehrcore.types import SECOND

Positive = Annotated[float, msgspec.Meta(gt=0)]
#: A steady load begins so long after it was planned, and so much later for each transaction that is signed before it.
_LEAD_NS, _BUILD_NS = SECOND, SECOND // 2_000


Arrivals = Literal["poisson", "constant"]


class Begin(msgspec.Struct, frozen=True, tag="begin", forbid_unknown_fields=True):
    """Play the visitors of the network in ``folder``; ``references`` is a file of canonical `RecordRef`s to cite."""

    folder: str
    references: str


class Step(msgspec.Struct, frozen=True, tag="step", forbid_unknown_fields=True, kw_only=True):
    """Load for ``warm_s`` that is not measured, then for ``seconds`` that is.

    Closed loop: ``outstanding`` transactions are under way, a new one follows each that a quorum has committed.  Open
    loop (``outstanding`` is 0): ``per_s`` transactions a second on a schedule; once all are sent, more follow at the
    same pace until the last measured one is in every ledger.  A step ends with what is unanswered ``timeout_s`` after
    the last measured one was due, or sooner if there is no news any more.

    It begins at ``begin_at`` of the clock, at once if that is over.  Unless it ``goes_on``, no more are sent after the
    measured time.
    """

    seed: str
    seconds: Positive
    timeout_s: Positive
    outstanding: Annotated[int, msgspec.Meta(ge=0)] = 0
    warm_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    per_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    arrivals: Arrivals = "poisson"
    begin_at: int = 0
    goes_on: bool = True
    #: Transactions that are built before it begins: it ends early when they are used up.
    stock: Annotated[int, msgspec.Meta(ge=1)]


def plan_steady(seed: str, per_s: float, seconds: float, timeout_s: float) -> Step:
    """A constant load that begins when it is built, at an instant which others can count from, too, and then ends."""
    stock = round(per_s * (seconds + 1)) + 1
    begin_at = time.monotonic_ns() + _LEAD_NS + stock * _BUILD_NS
    return Step(seed=seed, seconds=seconds, timeout_s=timeout_s, per_s=per_s, arrivals="constant", begin_at=begin_at,
                goes_on=False, stock=stock)  # fmt: skip


class Finish(msgspec.Struct, frozen=True, tag="finish", forbid_unknown_fields=True):
    """Report what was acknowledged and end."""


Command = Begin | Step | Finish


#: The statuses of all nodes at one instant, by name, as ``GET /v1/status`` gives them; None from one that gave none.
#: The generator's own is there as `GENERATOR`, with the role of the visitors that it plays.
Reading = dict[str, dict[str, Any] | None]
GENERATOR: Final = "generator"


class Moment(msgspec.Struct, array_like=True):
    """A transaction's instants (see `Sample`); ``refused`` is when so many had refused it that it can go no further.

    ``verdict`` is the reason in its receipts, or that of the refusal; '' is an accepted one.
    """

    intended: int
    sent: int | None = None
    first: int | None = None
    quorum: int | None = None
    everyone: int | None = None
    refused: int | None = None
    verdict: str = ""

    def to_sample(self) -> Sample:
        """Its instants as latency is computed from them."""
        return Sample(self.intended, self.sent, self.first, self.quorum, self.everyone)


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a step.

    ``moments`` are the measured transactions in the order in which they were sent: those of a closed loop that were
    sent, or those of an open loop that were due, from ``since`` until ``until``.  ``before`` and ``after`` were read at
    these instants.  ``completions`` are those at which a transaction of the step, measured or not, was in every ledger,
    ascending.  ``unsettled`` is how many still were on their way at the end.
    """

    since: int
    until: int
    ended_at: int
    is_out_of_stock: bool
    moments: list[Moment]
    completions: list[int]
    before: Reading
    after: Reading
    unsettled: int


class Built(msgspec.Struct, frozen=True):
    """The generator listens and can be given steps."""

    visitors: int


class Finished(msgspec.Struct, frozen=True):
    """Every id (hex) of which at least one contributor has sent a receipt, and those that were only ever submitted.

    ``taken`` are those that an agent has answered for: it keeps them, whatever happens, until they are in the ledgers.
    """

    acknowledged: list[str]
    submitted: list[str]
    taken: list[str] = []
