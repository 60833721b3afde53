"""Proof of stake among the administrators: propose, prevote, precommit, with locking.

The paper claims proof of stake and gives none of it (E21); this is the algorithm of Buchman, Kwon and Milosevic,
"The latest gossip on BFT consensus" (arXiv:1807.04938, Algorithm 1), with votes weighted by stake.  Its line numbers
stand beside the rules below.  It is safe while less than a third of the stake misbehaves.

A height is idle until there is something to order: round 0 begins when the local pool has a batch or another
administrator's message for this height arrives.  In a round, the proposer (drawn by stake) sends a block; everyone
prevotes for it or for none; more than two thirds of prevotes lock it and call for a precommit; more than two
thirds of precommits decide it, and those signatures are its certificate.  Every wait has a time-out that leads on to
the next round, and time-outs grow by the round.
"""

from enum import IntEnum
from typing import Final

from ehrcore.block import Attestation, Block, StakeCertificate, VoteBody
from ehrcore.consensus.finality import header_hash
from ehrcore.consensus.rounds import HeightVotes
from ehrcore.consensus.seam import ConsensusMessage, Decided, Seat, Step, Tip, build_block, validate_content
from ehrcore.effects import Send, SetTimer
from ehrcore.errors import ValidationError
from ehrcore.messages import ProposalBody, Propose, Vote

PREVOTE: Final = 1
PRECOMMIT: Final = 2
_NONE: Final = -1
#: How many messages for later heights are kept while this height is being decided.
_FUTURE_LIMIT: Final = 4_096


class Phase(IntEnum):
    """Where the machine stands within a height."""

    IDLE = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


class ProofOfStake:
    """One administrator's state machine."""

    def __init__(self, seat: Seat, tip: Tip) -> None:
        self._seat, self._future = seat, list[tuple[str, Propose | Vote]]()
        self._enter_height(tip)

    def _enter_height(self, tip: Tip) -> None:
        self._tip, self._height = tip, tip.height + 1
        self._round, self._phase = 0, Phase.IDLE
        self._locked: bytes = b""
        self._locked_round = self._valid_round = _NONE
        self._valid: Block | None = None
        self._votes = HeightVotes(self._seat.validators)
        self._proposals: dict[int, Propose] = {}
        self._validity: dict[bytes, bool] = {}
        self._once: set[tuple[str, int]] = set()

    # -- inputs ------------------------------------------------------------------------------------------------

    def on_ready(self, now: int) -> list[Step]:
        """Begin the height if there is a batch, or propose late if this node is the proposer and had none."""
        steps: list[Step] = []
        waiting = [item for item in self._future if self._height_of(item[1]) == self._height]
        self._future = [item for item in self._future if self._height_of(item[1]) > self._height]
        for sender, message in waiting:
            steps += self.on_message(sender, message, now)
            if any(isinstance(step, Decided) for step in steps):
                return steps
        if self._phase is Phase.IDLE and self._seat.pool.batch(now):
            self._start_round(0, now, steps)
        elif self._phase is Phase.PROPOSE and self._round not in self._proposals:
            self._propose(now, steps)
        return self._progress(now, steps)

    @staticmethod
    def _height_of(message: Propose | Vote) -> int:
        return message.body.height

    def on_message(self, sender: str, message: ConsensusMessage, now: int) -> list[Step]:
        """A proposal or a vote; kept for later if its height is to come, dropped if past or not verified."""
        steps: list[Step] = []
        if not isinstance(message, Propose | Vote) or message.body.chain != self._seat.chain:
            return steps
        if message.body.height > self._height:
            if len(self._future) < _FUTURE_LIMIT:
                self._future.append((sender, message))
            return steps
        if message.body.height < self._height or not self._admit(message):
            return steps
        if self._phase is Phase.IDLE:
            self._start_round(0, now, steps)
        return self._progress(now, steps)

    def on_timer(self, name: str, now: int) -> list[Step]:
        """A time-out of this height and round (lines 57 to 67); any other is stale."""
        steps: list[Step] = []
        kind, height, round_ = name.split("/")
        if int(height) != self._height or int(round_) != self._round:
            return steps
        if kind == "propose" and self._phase is Phase.PROPOSE:
            self._vote(PREVOTE, b"", steps)
        elif kind == "prevote" and self._phase is Phase.PREVOTE:
            self._vote(PRECOMMIT, b"", steps)
        elif kind == "precommit":
            self._start_round(self._round + 1, now, steps)
        return self._progress(now, steps)

    def on_work(self, job: int, nonce: bytes, now: int) -> list[Step]:
        """No work."""
        del job, nonce, now
        return []

    # -- admission ---------------------------------------------------------------------------------------------

    def _admit(self, message: Propose | Vote) -> bool:
        """Verify and record a message of this height; False if it is not to be believed or not new."""
        crypto, validators = self._seat.crypto, self._seat.validators
        if isinstance(message, Vote):
            voter = validators.find(message.voter)
            if voter is None or self._votes.has(message):
                return False
            if not crypto.verify(voter.public_key, message.body, message.signature):
                return False
            return self._votes.add(message, voter.stake)
        body = message.body
        proposer = validators.proposer(crypto, self._seat.chain, body.height, body.round)
        if body.round in self._proposals or body.valid_round >= body.round:
            return False
        if not crypto.verify(proposer.public_key, body, message.signature):
            return False
        if header_hash(crypto, message.block.header) != body.block:
            return False
        self._proposals[body.round] = message
        return True

    def _is_valid(self, proposal: Propose, now: int) -> bool:
        known = self._validity.get(proposal.body.block)
        if known is None:
            try:
                validate_content(self._seat, proposal.block, self._tip, now)
                known = True
            except ValidationError:
                known = False
            self._validity[proposal.body.block] = known
        return known

    # -- rules -------------------------------------------------------------------------------------------------

    def _progress(self, now: int, steps: list[Step]) -> list[Step]:
        """Apply the rules until none applies; every rule changes the phase, the round or a once-only mark."""
        while self._phase is not Phase.IDLE:
            if self._decide(now, steps):
                break
            if not (self._skip_round(now, steps) or self._prevote(now, steps) or self._precommit(now, steps)):
                break
        return steps

    def _start_round(self, round_: int, now: int, steps: list[Step]) -> None:
        """Lines 11 to 21."""
        self._round, self._phase = round_, Phase.PROPOSE
        self._propose(now, steps)
        if round_ not in self._proposals:
            rule = self._seat.params.stake
            self._set_timer("propose", rule.propose_timeout_ns, steps)

    def _propose(self, now: int, steps: list[Step]) -> None:
        seat, round_ = self._seat, self._round
        if seat.validators.proposer(seat.crypto, seat.chain, self._height, round_).node != seat.me:
            return
        block = self._valid
        if block is None:
            batch = seat.pool.batch(now)
            if not batch:
                return
            block = build_block(seat, self._tip, batch, now)
        block_hash = header_hash(seat.crypto, block.header)
        body = ProposalBody(seat.chain, self._height, round_, self._valid_round, block_hash)
        proposal = Propose(body, block, seat.crypto.sign(body))
        self._proposals[round_] = proposal
        self._validity.setdefault(block_hash, True)
        self._broadcast(proposal, steps)

    def _prevote(self, now: int, steps: list[Step]) -> bool:
        """Lines 22 to 33: answer the round's proposal, minding the lock."""
        proposal = self._proposals.get(self._round)
        if self._phase is not Phase.PROPOSE or proposal is None:
            return False
        wanted, valid_round = proposal.body.block, proposal.body.valid_round
        if valid_round != _NONE and not self._votes.has_quorum(valid_round, PREVOTE, wanted):
            return False
        is_free = self._locked_round == _NONE or self._locked == wanted
        is_released = valid_round != _NONE and self._locked_round <= valid_round
        accepts = (is_free or is_released) and self._is_valid(proposal, now)
        self._vote(PREVOTE, wanted if accepts else b"", steps)
        return True

    def _precommit(self, now: int, steps: list[Step]) -> bool:
        """Lines 34 to 48: lock and precommit on a quorum of prevotes; time-outs on quorums that disagree."""
        votes, round_ = self._votes, self._round
        proposal = self._proposals.get(round_)
        if (
            self._phase >= Phase.PREVOTE
            and proposal is not None
            and votes.has_quorum(round_, PREVOTE, proposal.body.block)
            and self._is_valid(proposal, now)
            and self._first("polka", round_)
        ):
            self._valid, self._valid_round = proposal.block, round_
            if self._phase is Phase.PREVOTE:
                self._locked, self._locked_round = proposal.body.block, round_
                self._vote(PRECOMMIT, proposal.body.block, steps)
            return True
        if self._phase is Phase.PREVOTE and votes.has_quorum(round_, PREVOTE, b""):
            self._vote(PRECOMMIT, b"", steps)
            return True
        rule = self._seat.params.stake
        for kind, step in (("prevote", PREVOTE), ("precommit", PRECOMMIT)):
            is_time = kind == "precommit" or self._phase is Phase.PREVOTE
            if is_time and votes.has_any_quorum(round_, step) and self._first(kind, round_):
                self._set_timer(kind, rule.vote_timeout_ns, steps)
                return True
        return False

    def _skip_round(self, now: int, steps: list[Step]) -> bool:
        """Lines 55 and 56: more than a third of the stake is already in a later round."""
        later = self._votes.latest_round(self._proposals)
        if later <= self._round or not self._votes.is_third_at(later):
            return False
        self._start_round(later, now, steps)
        return True

    def _decide(self, now: int, steps: list[Step]) -> bool:
        """Lines 49 to 54: a quorum of precommits of any round decides."""
        for round_, proposal in self._proposals.items():
            wanted = proposal.body.block
            if not self._votes.has_quorum(round_, PRECOMMIT, wanted) or not self._is_valid(proposal, now):
                continue
            votes = self._votes.signatures(round_, PRECOMMIT, wanted)
            certificate = StakeCertificate(round_, tuple(Attestation(*vote) for vote in votes))
            steps.append(Decided(proposal.block, certificate, wanted))
            self._enter_height(Tip(self._height, wanted, proposal.block.header.timestamp))
            return True
        return False

    # -- outputs -----------------------------------------------------------------------------------------------

    def _vote(self, step: int, block: bytes, steps: list[Step]) -> None:
        """Sign, record and broadcast a vote, and move to the phase that follows it."""
        seat = self._seat
        body = VoteBody(seat.chain, self._height, self._round, step, block)
        vote = Vote(body, seat.me, seat.crypto.sign(body))
        member = seat.validators.find(seat.me)
        if member is not None:
            self._votes.add(vote, member.stake)
        self._phase = Phase.PREVOTE if step == PREVOTE else Phase.PRECOMMIT
        self._broadcast(vote, steps)

    def _broadcast(self, message: Propose | Vote, steps: list[Step]) -> None:
        if self._seat.peers:
            steps.append(Send(self._seat.peers, message))

    def _set_timer(self, kind: str, delay_ns: int, steps: list[Step]) -> None:
        delay_ns += self._round * self._seat.params.stake.timeout_step_ns
        steps.append(SetTimer(f"{kind}/{self._height}/{self._round}", delay_ns))

    def _first(self, mark: str, round_: int) -> bool:
        if (mark, round_) in self._once:
            return False
        self._once.add((mark, round_))
        return True
