"""Administrator (the paper's ordering node): orders approved transactions and agrees on blocks (step 3).

It keeps the hash of the last block and no ledger (section 3, item 1).  How administrators agree is the consensus
rule's business; this role feeds it and hands out what it decides.
"""

from dataclasses import dataclass
from typing import Final

from ehrcore.block import Block, Evidence, Transaction, TransactionBody
from ehrcore.bounded import make_room
from ehrcore.consensus import RULES, Consensus, Seat, Tip
from ehrcore.consensus.seam import Accused, ConsensusMessage, Decided, Step
from ehrcore.effects import (
    Effect,
    Effects,
    Event,
    Observed,
    ObservedKind,
    PersistTip,
    Received,
    Send,
    SetTimer,
    TimerFired,
    WorkFound,
)
from ehrcore.messages import Approve, Finalised, Submit
from ehrcore.params import Dissemination
from ehrcore.roles.context import Context, Machine
from ehrcore.roles.pool import ApprovalPool
from ehrcore.rules import nonce_of
from ehrcore.types import Role

_CUT = "cut"
#: Evidence that is not on the chain and is remembered; beyond it the oldest is given up.
_ACCUSATIONS: Final = 256


@dataclass(slots=True)
class _Accusation:
    """Evidence on its way, of an offence at some height."""

    submit: Submit
    offence: int

    def is_due(self, height: int) -> bool:
        """Whether it should be said again: 1, 2, 4, ... heights after the offence."""
        age = height - self.offence
        return age > 0 and age & (age - 1) == 0


class Administrator(Machine):
    """A pool, a consensus rule, and the dissemination of what is decided."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        standing, kept = context.open_standing(), context.kept
        self._pool = ApprovalPool(context.params, context.chain, standing, context.crypto)
        self._pool.forget(kept.settled)
        peers = tuple(name for name in context.names(Role.ADMINISTRATOR) if name != context.me)
        seat = Seat(
            context.me, peers, context.params, context.chain, standing.stakes, context.crypto, self._pool,
            kept.heard, kept.recent,
        )  # fmt: skip
        tip = kept.tip or Tip(0, context.chain, context.params.genesis_time)
        self._rule: Consensus = RULES[context.params.consensus](seat, tip)
        self._keepers = self._ledger_keepers()
        self._cut_at: int | None = None
        self._accusations: dict[bytes, _Accusation] = {}

    def _ledger_keepers(self) -> tuple[str, ...]:
        contributors = self._context.names(Role.CONTRIBUTOR)
        if self._context.params.dissemination is Dissemination.TREE:
            contributors = contributors[:1]
        return self._context.names(Role.COORDINATOR) + contributors

    def handle(self, event: Event, now: int) -> Effects:
        """Approvals, the rule's messages, timers and work; anything else is not for an administrator."""
        match event:
            # From its own coordinator alone: a relayed approval could carry the transaction with a spoilt signature.
            case Received(sender=sender, message=Approve() as message) if sender == message.approval.node:
                if not self._pool.add(message, now):
                    return ()
                return self._carry_out(self._rule.on_ready(now), now)
            case Received(sender=sender, message=message) if isinstance(message, ConsensusMessage):
                return self._carry_out(self._rule.on_message(sender, message, now), now)
            case TimerFired(name=name) if name == _CUT:
                self._cut_at = None
                return self._carry_out(self._rule.on_ready(now), now)
            case TimerFired(name=name):
                return self._carry_out(self._rule.on_timer(name, now), now)
            case WorkFound(job=job, nonce=nonce):
                return self._carry_out(self._rule.on_work(job, nonce, now), now)
            case _:
                return ()

    def _carry_out(self, steps: list[Step], now: int) -> Effects:
        """Hand out decided blocks and go on with the next height until the rule has nothing more to say."""
        effects: list[Effect] = []
        while True:
            is_decided = False
            for step in steps:
                if isinstance(step, Decided):
                    is_decided = True
                    effects += self._decided(step)
                elif isinstance(step, Accused):
                    effects += self._accuse(step.evidence, now)
                else:
                    effects.append(step)
            if not is_decided:
                break
            steps = self._rule.on_ready(now)
        self._arm_cutter(now, effects)
        return tuple(effects)

    def _accuse(self, evidence: Evidence, now: int) -> Effects:
        """Have the chain punish an offender: evidence goes the way of every transaction, by the agents."""
        context = self._context
        nonce = nonce_of(sorted(context.names(Role.ADMINISTRATOR)), evidence)
        body = TransactionBody(context.chain, context.me, nonce, now, evidence)
        tx = Transaction(body, context.crypto.sign(body))
        tx_id, offence = context.crypto.hash_struct(body), evidence.first.body.height
        make_room(self._accusations, _ACCUSATIONS)
        self._accusations[tx_id] = _Accusation(Submit(tx), offence)
        return (
            Observed(ObservedKind.ACCUSED, (tx_id,), f"{evidence.offender}/{offence}"),
            Send(context.names(Role.AGENT), Submit(tx)),
        )

    def _insist(self, block: Block) -> Effects:
        """Accuse again, ever more rarely, who is not on the chain yet: messages get lost."""
        if not self._accusations:
            return ()
        for item in block.transactions:
            self._accusations.pop(self._context.crypto.hash_struct(item.transaction.body), None)
        due = [item for item in self._accusations.values() if item.is_due(block.header.height)]
        return tuple(Send(self._context.names(Role.AGENT), item.submit) for item in due)

    def _decided(self, decided: Decided) -> Effects:
        self._pool.settle(decided.block)
        return (
            *self._insist(decided.block),
            PersistTip(decided.block.header.height, decided.block_hash),
            Observed(ObservedKind.DECIDED, (decided.block_hash,), str(len(decided.block.transactions))),
            Send(self._keepers, Finalised(decided.block, decided.certificate)),
        )

    def _arm_cutter(self, now: int, effects: list[Effect]) -> None:
        """Make sure that the oldest waiting transaction is cut in time (paper section 3: 6 minutes)."""
        oldest = self._pool.oldest()
        if oldest is None:
            return
        due = oldest + self._context.params.limits.max_wait_ns
        if now < due and (self._cut_at is None or self._cut_at > due):
            self._cut_at = due
            effects.append(SetTimer(_CUT, due - now))
