"""Proof of stake among the administrators: propose, prevote, precommit, with locking.

The paper claims proof of stake and gives none of it (E21); this is the algorithm of Buchman, Kwon and Milosevic,
"The latest gossip on BFT consensus" (arXiv:1807.04938, Algorithm 1), with votes weighted by stake.  Its line numbers
stand beside the rules below.  It is safe while less than a third of the stake misbehaves.

A height is idle until there is something to order: round 0 begins when the local pool has a batch or another
administrator's message for this height arrives.  In a round, the proposer (drawn by stake) sends a block; everyone
prevotes for it or for none; more than two thirds of prevotes lock it and call for a precommit; more than two
thirds of precommits decide it, and those signatures are its certificate.  Every wait has a time-out that leads on to
the next round, and time-outs grow by the round.

The algorithm assumes that what an honest node says arrives in the end; links lose messages.  So a node that is stuck
in a height repeats what it said there, and the prevotes that it relies on, ever more rarely; whoever is past that
height answers with its blocks.
"""

from enum import IntEnum
from typing import Final

from ehrcore.block import Attestation, Block, StakeCertificate, VoteBody
from ehrcore.consensus.early import EarlyMessages, chain_of, height_of
from ehrcore.consensus.finality import header_hash
from ehrcore.consensus.laggards import RecentBlocks, is_final
from ehrcore.consensus.rounds import ROUND_LIMIT, HeightVotes
from ehrcore.consensus.seam import (
    ConsensusMessage,
    Decided,
    Seat,
    Step,
    Tip,
    build_block,
    is_timely,
    validate_content,
)
from ehrcore.consensus.validators import Validator
from ehrcore.effects import Heard, Send, SetTimer
from ehrcore.errors import ValidationError
from ehrcore.messages import Finalised, Mined, ProposalBody, Propose, Vote

PREVOTE: Final = 1
PRECOMMIT: Final = 2
_NONE: Final = -1


class Phase(IntEnum):
    """Where the machine stands within a height."""

    IDLE = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


class ProofOfStake:
    """One administrator's state machine."""

    def __init__(self, seat: Seat, tip: Tip) -> None:
        self._seat, self._early = seat, EarlyMessages(seat.peers)
        self._past = RecentBlocks(seat.peers, seat.params.stake.vote_timeout_ns)
        self._enter_height(tip)
        self._recall()

    def _enter_height(self, tip: Tip) -> None:
        self._tip, self._height = tip, tip.height + 1
        self._round, self._first_round, self._phase = 0, 0, Phase.IDLE
        self._locked: bytes = b""
        self._locked_round = self._valid_round = _NONE
        self._valid: Block | None = None
        self._votes = HeightVotes(self._seat.validators)
        self._proposals: dict[int, Propose] = {}
        self._proposed: set[bytes] = set()
        # By round, not by hash: the header's hash vouches for the transactions only once they have been compared.
        self._validity: dict[int, bool] = {}
        self._once: set[tuple[str, int]] = set()
        self._said: list[Propose | Vote] = []
        self._repeat_ns = 0

    def _recall(self) -> None:
        """Go on after a restart with all that was said and heard at this height.

        The rounds that this node has spoken in are over for it, and the lock of its last precommit holds: so it says
        nothing that contradicts what it has said.
        """
        for message in self._seat.heard:
            if height_of(message) != self._height or chain_of(message) != self._seat.chain or not self._admit(message):
                continue
            body = message.body
            speaker = message.voter if isinstance(message, Vote) else self._proposer(body.round).node
            if speaker != self._seat.me:
                continue
            self._said.append(message)
            self._first_round = max(self._first_round, body.round + 1)
            if isinstance(message, Vote) and message.body.step == PRECOMMIT and body.block:
                self._locked, self._locked_round = body.block, body.round
                if (proposal := self._proposals.get(body.round)) is not None:
                    self._valid, self._valid_round = proposal.block, body.round

    def _proposer(self, round_: int) -> Validator:
        return self._seat.validators.proposer(self._seat.crypto, self._seat.chain, self._height, round_)

    # -- inputs ------------------------------------------------------------------------------------------------

    def on_ready(self, now: int) -> list[Step]:
        """Begin the height if there is a batch, or propose late if this node is the proposer and had none."""
        steps: list[Step] = []
        for sender, message in self._early.take(self._height):
            steps += self.on_message(sender, message, now)
            if any(isinstance(step, Decided) for step in steps):
                return steps
        if self._phase is Phase.IDLE and self._seat.pool.batch(now):
            self._start_round(self._first_round, now, steps)
        elif self._phase is Phase.PROPOSE and self._round not in self._proposals:
            self._propose(now, steps)
        return self._progress(now, steps)

    def on_message(self, sender: str, message: ConsensusMessage, now: int) -> list[Step]:
        """A proposal, a vote or a final block; kept if its height is to come, dropped if it does not verify."""
        steps: list[Step] = []
        if isinstance(message, Mined) or chain_of(message) != self._seat.chain:
            return steps
        height = height_of(message)
        if height < self._height:
            if not isinstance(message, Finalised):
                steps += self._past.answer(sender, height, now)
            return steps
        if isinstance(message, Finalised) and not is_final(self._seat, message):
            return steps
        if height > self._height:
            # A sign that this height has begun, and perhaps is over.
            is_heard = self._early.keep(sender, message, self._height)
        elif isinstance(message, Finalised):
            self._follow(message, now, steps)
            return steps
        else:
            is_heard = self._admit(message)
            if is_heard:
                steps.append(Heard(message))
        if not is_heard:
            return steps
        if self._phase is Phase.IDLE:
            self._start_round(self._first_round, now, steps)
        return self._progress(now, steps)

    def _follow(self, message: Finalised, now: int, steps: list[Step]) -> None:
        """Take over a block that the others have decided."""
        if message.block.header.previous == self._tip.block_hash:
            block_hash = header_hash(self._seat.crypto, message.block.header)
            self._conclude(Decided(message.block, message.certificate, block_hash), now, steps)

    def on_timer(self, name: str, now: int) -> list[Step]:
        """A time-out of this height and round (lines 57 to 67); any other is stale."""
        steps: list[Step] = []
        kind, height, round_ = name.split("/")
        if int(height) != self._height:
            return steps
        if kind == "repeat":
            self._repeat(steps)
            return steps
        if int(round_) != self._round:
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
        if message.body.round > self._round + ROUND_LIMIT:
            return False
        if isinstance(message, Vote):
            voter = validators.find(message.voter)
            if voter is None or not self._votes.is_new(message, is_proposed=message.body.block in self._proposed):
                return False
            if not crypto.verify(voter.public_key, message.body, message.signature):
                return False
            self._votes.add(message, voter.stake)
            return True
        body = message.body
        proposer = self._proposer(body.round)
        if body.round in self._proposals or body.valid_round >= body.round:
            return False
        if not crypto.verify(proposer.public_key, body, message.signature):
            return False
        if header_hash(crypto, message.block.header) != body.block:
            return False
        self._proposals[body.round] = message
        self._proposed.add(body.block)
        return True

    def _is_valid(self, proposal: Propose) -> bool:
        known = self._validity.get(proposal.body.round)
        if known is None:
            try:
                validate_content(self._seat, proposal.block, self._tip)
                known = True
            except ValidationError:
                known = False
            self._validity[proposal.body.round] = known
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
        rule = self._seat.params.stake
        proposal = self._proposals.get(round_)
        # One that builds on an earlier round's prevotes cannot be answered before these have come.
        if proposal is None or proposal.body.valid_round != _NONE:
            self._set_timer("propose", rule.propose_timeout_ns, steps)
        if self._seat.peers and not self._repeat_ns:
            self._set_repeat(rule.propose_timeout_ns + 2 * rule.vote_timeout_ns, steps)

    def _propose(self, now: int, steps: list[Step]) -> None:
        seat, round_ = self._seat, self._round
        if self._proposer(round_).node != seat.me:
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
        self._proposed.add(block_hash)
        self._validity[round_] = True
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
        # Only here does the local clock count: whether a block is valid must be the same for everyone.
        is_welcome = (is_free or is_released) and is_timely(proposal.block, now)
        accepts = is_welcome and self._is_valid(proposal)
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
            and self._is_valid(proposal)
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
        later = self._votes.latest_third(self._round)
        if later is None:
            return False
        self._start_round(later, now, steps)
        return True

    def _decide(self, now: int, steps: list[Step]) -> bool:
        """Lines 49 to 54: a quorum of precommits of any round decides."""
        for round_, proposal in self._proposals.items():
            wanted = proposal.body.block
            if not self._votes.has_quorum(round_, PRECOMMIT, wanted) or not self._is_valid(proposal):
                continue
            votes = self._votes.of(round_, PRECOMMIT, wanted)
            certificate = StakeCertificate(round_, tuple(Attestation(vote.voter, vote.signature) for vote in votes))
            self._conclude(Decided(proposal.block, certificate, wanted), now, steps)
            return True
        return False

    def _conclude(self, decided: Decided, now: int, steps: list[Step]) -> None:
        steps.append(decided)
        self._past.add(Finalised(decided.block, decided.certificate), now)
        self._enter_height(Tip(self._height, decided.block_hash, decided.block.header.timestamp))

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
            self._said.append(message)
            steps.append(Send(self._seat.peers, message))

    def _set_timer(self, kind: str, delay_ns: int, steps: list[Step]) -> None:
        delay_ns += self._round * self._seat.params.stake.timeout_step_ns
        steps.append(SetTimer(f"{kind}/{self._height}/{self._round}", delay_ns))

    def _set_repeat(self, delay_ns: int, steps: list[Step]) -> None:
        self._repeat_ns = delay_ns
        steps.append(SetTimer(f"repeat/{self._height}/0", delay_ns))

    def _repeat(self, steps: list[Step]) -> None:
        relied_on: list[Propose | Vote] = []
        if self._valid is not None:
            wanted = self._proposals[self._valid_round].body.block
            relied_on += self._votes.of(self._valid_round, PREVOTE, wanted)
        said = self._said + [vote for vote in relied_on if vote not in self._said]
        steps += [Send(self._seat.peers, message) for message in said]
        self._set_repeat(2 * self._repeat_ns, steps)

    def _first(self, mark: str, round_: int) -> bool:
        if (mark, round_) in self._once:
            return False
        self._once.add((mark, round_))
        return True
