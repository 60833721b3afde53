"""Proof of stake among the administrators: the rules of one height as one table (`RULES`), and what carries them out.

Theory of operation
-------------------
The paper claims proof of stake and gives none of it (E21).  This is the algorithm of Buchman, Kwon and Milosevic, "The
latest gossip on BFT consensus" (arXiv:1807.04938, Algorithm 1, whose line numbers stand in the table), with votes
weighted by stake; it goes back to Dwork, Lynch and Stockmeyer (JACM 35(2), 1988) and Castro and Liskov (OSDI 1999).

*Rounds.*  A height is idle until there is something to order: round 0 begins when the local pool has a batch or
another administrator's word for this height arrives.  In a round the proposer, drawn by stake from what nobody can
choose (`ValidatorSet.proposer`), sends a block; everyone prevotes for it or for none; more than two thirds of
prevotes lock it and call for a precommit; more than two thirds of precommits decide it, and those signatures are its
certificate.  Every wait has a time-out that leads on to the next round, and time-outs grow by the round.

*Safety*, while less than a third of the stake misbehaves, whatever the network does: any two quorums share an honest
voter, who votes once in each step; and a decided block has locked more than a third of honest stake, which
prevotes nothing else in later rounds unless it is shown a later quorum of prevotes (`_may_accept`), which cannot come
to be.

*Liveness*, once messages arrive within the time-outs: the algorithm assumes that what an honest node says arrives in
the end, by whatever way.  Links lose messages.  So a node that has to wait, because it lacks a proposal or votes that
would make a quorum, asks the others for what they have heard (`Ask`), within the time-out; one that stays in a round
for long repeats all that it holds of it, its own words and others', at growing intervals up to `LONGEST_REPEAT` times
the first; and whoever is past a height answers those who are stuck there with the final blocks.

*Crashes.*  What a node says is durable before it is sent, and what it heard before anything that rests on it
(`Heard`): this write-ahead log is handed back to it after a restart (`Seat.heard`).  It goes on in the phase of its
last word, with the lock of its last precommit (`_recall`), so it never says two things in one place; and whoever waits
for its next word in that round gets it.

*Accountability.*  Two different words of one voter for one place convict it (`ehrcore.consensus.evidence`).  Evidence
becomes a transaction; the offender's stake is slashed, and the set of voters changes two heights later
(`ehrcore.consensus.stakes`).
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple

from ehrcore.block import Attestation, Block, ProposalBody, StakeCertificate, VoteBody
from ehrcore.consensus.early import EarlyMessages, StakeMessage, chain_of, height_of
from ehrcore.consensus.finality import header_hash
from ehrcore.consensus.laggards import RecentBlocks, has_finality
from ehrcore.consensus.rounds import ROUND_LIMIT, HeightRecord
from ehrcore.consensus.seam import Accused, ConsensusMessage, Decided, Quiet, Seat, Step, Tip, build_block, is_timely
from ehrcore.effects import Heard, Send, SetTimer
from ehrcore.messages import Ask, Finalised, Propose, Vote

PREVOTE: Final = 1
PRECOMMIT: Final = 2
_NONE: Final = -1
#: How much longer than the first the interval between two repetitions grows at most.
LONGEST_REPEAT: Final = 8
#: Rounds over which time-outs grow: with the default step by 32 s, far above what any network takes to deliver, yet no
#: liar who keeps an idle height busy makes the next transaction wait for hours.
LONGEST_GROWTH: Final = 64


class Phase(IntEnum):
    """Where the machine stands within a height."""

    IDLE = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


#: The phase that a vote in each step leads to.
_AFTER: Final = {PREVOTE: Phase.PREVOTE, PRECOMMIT: Phase.PRECOMMIT}


class ProofOfStake(Quiet):
    """One administrator's state machine."""

    def __init__(self, seat: Seat, tip: Tip) -> None:
        self._seat, self._early = seat, EarlyMessages(seat.peers)
        self._past = RecentBlocks(seat.peers, seat.params.stake.vote_timeout_ns)
        self._enter_height(tip)
        self._recall()

    def _enter_height(self, tip: Tip) -> None:
        self._tip, self._height = tip, tip.height + 1
        self._round, self._phase = 0, Phase.IDLE
        self._begins_at = (0, Phase.PROPOSE)
        self._locked: bytes = b""
        self._locked_round = self._valid_round = _NONE
        self._valid: Block | None = None
        self._record = HeightRecord(self._seat, tip)
        self._timed: set[tuple[str, int]] = set()
        self._said: list[Propose | Vote] = []
        self._helped: set[tuple[str, int, int]] = set()
        self._repeat_ns = 0

    def _recall(self) -> None:
        """Go on after a restart with all that was said and heard at this height.

        The height will begin in the phase that this node's last word led to, and the lock of its last precommit holds:
        so it says nothing that contradicts what it has said.
        """
        for message in self._seat.heard:
            if not isinstance(message, Propose | Vote) or chain_of(message) != self._seat.chain:
                continue
            if height_of(message) != self._height:
                continue
            body = message.body
            if not self._record.admit(message, body.round)[0]:
                continue
            speaker = message.voter if isinstance(message, Vote) else self._record.proposer(body.round).node
            if speaker != self._seat.me:
                continue
            self._said.append(message)
            phase = _AFTER[message.body.step] if isinstance(message, Vote) else Phase.PROPOSE
            self._begins_at = max(self._begins_at, (body.round, phase))
            if isinstance(message, Vote) and message.body.step == PRECOMMIT and body.block:
                self._locked, self._locked_round = body.block, body.round
                if (proposal := self._record.proposals.get(body.round)) is not None:
                    self._valid, self._valid_round = proposal.block, body.round

    # -- inputs ------------------------------------------------------------------------------------------------

    def on_ready(self, now: int) -> list[Step]:
        """Begin the height if there is a batch, or propose late if this node is the proposer and had none."""
        steps: list[Step] = []
        if self._record.votes.validators is not self._seat.validators:
            # The last block was settled after it was decided, and others vote from here on.
            self._record = HeightRecord(self._seat, self._tip)
        for sender, message in self._early.take(self._height):
            steps += self.on_message(sender, message, now)
            if any(isinstance(step, Decided) for step in steps):
                return steps
        if self._phase is Phase.IDLE and self._seat.pool.batch(now):
            self._begin(now, steps)
        elif self._phase is Phase.PROPOSE:
            self._propose(now, steps)
        return self._progress(now, steps)

    def on_message(self, sender: str, message: ConsensusMessage, now: int) -> list[Step]:
        """A proposal, a vote or a final block; kept if its height is to come, dropped if it does not verify."""
        steps: list[Step] = []
        if isinstance(message, Ask):
            return self._help(sender, message, now)
        if not isinstance(message, StakeMessage) or chain_of(message) != self._seat.chain:
            return steps
        height = height_of(message)
        if height < self._height:
            if not isinstance(message, Finalised):
                steps += self._past.answer(sender, height, now)
            return steps
        if isinstance(message, Finalised) and not self._may_be_final(message):
            return steps
        if height > self._height:
            # A sign that this height has begun, and perhaps is over.
            is_heard = self._early.keep(sender, message, self._height)
        elif isinstance(message, Finalised):
            self._follow(message, now, steps)
            return steps
        else:
            is_heard, evidence = self._record.admit(message, self._round + ROUND_LIMIT)
            steps += [Heard(message)] if is_heard else []
            steps += [Accused(evidence)] if evidence else []
        if not is_heard:
            return steps
        if self._phase is Phase.IDLE:
            self._begin(now, steps)
        return self._progress(now, steps)

    def _begin(self, now: int, steps: list[Step]) -> None:
        """Leave IDLE: enter round 0, or go on where the log ends; what it says may not have left."""
        steps += [Send(self._seat.peers, word) for word in self._said]
        round_, phase = self._begins_at
        self._start_round(round_, now, steps, phase)

    def _help(self, peer: str, ask: Ask, now: int) -> list[Step]:
        """Hand on what a peer lacks, once for each step of a round: nobody has to be answered for ever."""
        key = peer, ask.round, ask.step
        if ask.height < self._height:
            return self._past.answer(peer, ask.height, now)
        if ask.height > self._height or ask.round > self._round or peer not in self._seat.peers or key in self._helped:
            return []
        self._helped.add(key)
        return [Send((peer,), word) for word in self._record.words(ask.round) if _is_asked_for(ask, word)]

    def _may_be_final(self, message: Finalised) -> bool:
        """Whether the certificate holds, as far as the voters of its height are known yet."""
        seat, digest = self._seat, message.block.header.validators
        for voters in (seat.validators, seat.stakes.upcoming):
            if voters.digest == digest:
                return has_finality(seat.crypto, seat.params, voters, message)
        return height_of(message) > self._height + 1

    def _follow(self, message: Finalised, now: int, steps: list[Step]) -> None:
        """Take over a block that the others have decided."""
        header = message.block.header
        if (header.previous, header.validators) == (self._tip.block_hash, self._seat.validators.digest):
            block_hash = header_hash(self._seat.crypto, header)
            self._conclude(Decided(message.block, message.certificate, block_hash), now, steps)

    def on_timer(self, name: str, now: int) -> list[Step]:
        """A time-out of this height and round; any other is stale."""
        steps: list[Step] = []
        kind, height, round_ = name.split("/")
        if (int(height), int(round_)) != (self._height, self._round):
            return steps
        if kind == "repeat":
            self._repeat(steps)
        elif kind == "ask" and self._phase is Phase.PROPOSE and self._round not in self._record.proposals:
            self._ask(0, steps)
        for rule in RULES:
            if rule.timer == kind and self._phase in rule.phases:
                rule.act(self, None, now, steps)
                break
        return self._progress(now, steps)

    def _progress(self, now: int, steps: list[Step]) -> list[Step]:
        """Apply rules until none applies; each changes the phase, the round, the valid value or a once-only mark."""
        is_moving = self._phase is not Phase.IDLE
        while is_moving:
            is_moving = False
            for rule in _BY_PHASE[self._phase]:
                found = rule.guard(self, now)
                if found is not None:
                    rule.act(self, found, now, steps)
                    is_moving = self._phase is not Phase.IDLE
                    break
        return steps

    # -- when a rule applies: what it is about, else None ------------------------------------------------------

    def _find_decided(self, _: int) -> Propose | None:
        record = self._record
        for round_, proposal in record.proposals.items():
            if record.votes.has_quorum(round_, PRECOMMIT, proposal.body.block) and record.is_valid(proposal):
                return proposal
        return None

    def _find_later_round(self, _: int) -> int | None:
        return self._record.votes.latest_third(self._round)

    def _find_new(self, _: int) -> Propose | None:
        proposal = self._record.proposals.get(self._round)
        return proposal if proposal and proposal.body.valid_round == _NONE else None

    def _find_again(self, _: int) -> Propose | None:
        """A block of an earlier round, once the prevotes that its proposer relies on are here."""
        proposal = self._record.proposals.get(self._round)
        if proposal is None or proposal.body.valid_round == _NONE:
            return None
        has_polka = self._record.votes.has_quorum(proposal.body.valid_round, PREVOTE, proposal.body.block)
        return proposal if has_polka else None

    def _find_polka(self, _: int) -> Propose | None:
        """A valid block with a quorum of this round's prevotes that is not known as the valid one yet."""
        proposal, record = self._record.proposals.get(self._round), self._record
        if proposal is None or self._valid_round >= self._round:
            return None
        has_polka = record.votes.has_quorum(self._round, PREVOTE, proposal.body.block)
        return proposal if has_polka and record.is_valid(proposal) else None

    def _find_nil(self, _: int) -> bool | None:
        return self._record.votes.has_quorum(self._round, PREVOTE, b"") or None

    def _find_prevotes(self, _: int) -> str | None:
        return self._find_wait("prevote", PREVOTE)

    def _find_precommits(self, _: int) -> str | None:
        return self._find_wait("precommit", PRECOMMIT)

    def _find_wait(self, kind: str, step: int) -> str | None:
        is_new = (kind, self._round) not in self._timed
        return kind if is_new and self._record.votes.has_any_quorum(self._round, step) else None

    # -- what a rule does --------------------------------------------------------------------------------------

    def _decide(self, proposal: Propose, now: int, steps: list[Step]) -> None:
        body = proposal.body
        votes = self._record.votes.of(body.round, PRECOMMIT, body.block)
        certificate = StakeCertificate(body.round, tuple(Attestation(vote.voter, vote.signature) for vote in votes))
        self._conclude(Decided(proposal.block, certificate, body.block), now, steps)

    def _conclude(self, decided: Decided, now: int, steps: list[Step]) -> None:
        steps.append(decided)
        self._past.add(Finalised(decided.block, decided.certificate), now)
        self._enter_height(Tip(self._height, decided.block_hash, decided.block.header.timestamp))

    def _start_round(self, round_: int, now: int, steps: list[Step], phase: Phase = Phase.PROPOSE) -> None:
        self._round, self._phase = round_, phase
        rule = self._seat.params.stake
        if phase is Phase.PROPOSE:
            self._propose(now, steps)
            proposal = self._record.proposals.get(round_)
            # One that builds on an earlier round's prevotes cannot be answered before these have come.
            if proposal is None or proposal.body.valid_round != _NONE:
                self._set_timer("propose", rule.propose_timeout_ns, steps)
            if self._seat.peers and proposal is None:
                self._set_timer("ask", rule.propose_timeout_ns // 4, steps)
        if self._seat.peers:
            self._repeat_ns = rule.propose_timeout_ns + 2 * rule.vote_timeout_ns
            self._set_timer("repeat", self._repeat_ns, steps)

    def _next_round(self, _: None, now: int, steps: list[Step]) -> None:
        self._start_round(self._round + 1, now, steps)

    def _answer(self, proposal: Propose, now: int, steps: list[Step]) -> None:
        # Only here does the local clock count: whether a block is valid must be the same for everyone.
        is_welcome = self._may_accept(proposal) and is_timely(proposal.block, now)
        # Heights are the time that stake is unbonded in and evidence expires in: no proposer lets it pass for nothing.
        is_welcome = is_welcome and bool(proposal.block.transactions)
        accepts = is_welcome and self._record.is_valid(proposal)
        self._vote(PREVOTE, proposal.body.block if accepts else b"", steps)

    def _may_accept(self, proposal: Propose) -> bool:
        """The lock: nothing but the locked block, unless a quorum has prevoted for another since (lines 23 and 29)."""
        if self._locked_round == _NONE or self._locked == proposal.body.block:
            return True
        return self._locked_round <= proposal.body.valid_round

    def _lock(self, proposal: Propose, now: int, steps: list[Step]) -> None:
        self._note_valid(proposal, now, steps)
        self._locked, self._locked_round = proposal.body.block, self._round
        self._vote(PRECOMMIT, proposal.body.block, steps)

    def _note_valid(self, proposal: Propose, _: int, __: list[Step]) -> None:
        self._valid, self._valid_round = proposal.block, self._round

    def _prevote_nil(self, _: object, __: int, steps: list[Step]) -> None:
        self._vote(PREVOTE, b"", steps)

    def _precommit_nil(self, _: object, __: int, steps: list[Step]) -> None:
        self._vote(PRECOMMIT, b"", steps)

    def _await(self, kind: str, _: int, steps: list[Step]) -> None:
        self._timed.add((kind, self._round))
        self._ask(PREVOTE if kind == "prevote" else PRECOMMIT, steps)
        self._set_timer(kind, self._seat.params.stake.vote_timeout_ns, steps)

    # -- outputs -----------------------------------------------------------------------------------------------

    def _propose(self, now: int, steps: list[Step]) -> None:
        """Lines 14 to 19; a proposer with nothing to order waits until it has something."""
        seat, round_, block = self._seat, self._round, self._valid
        if round_ in self._record.proposals or self._record.proposer(round_).node != seat.me:
            return
        if block is None:
            batch = seat.pool.batch(now)
            if not batch:
                return
            block = build_block(seat, self._tip, batch, now)
        body = ProposalBody(seat.chain, self._height, round_, self._valid_round, header_hash(seat.crypto, block.header))
        proposal = Propose(body, block, seat.crypto.sign(body))
        self._record.add_proposal(proposal, is_own=True)
        self._broadcast(proposal, steps)

    def _vote(self, step: int, block: bytes, steps: list[Step]) -> None:
        """Sign, record and broadcast a vote, and move to the phase that follows it; who has no stake keeps silent."""
        seat = self._seat
        self._phase = _AFTER[step]
        member = seat.validators.find(seat.me)
        if member is not None:
            body = VoteBody(seat.chain, self._height, self._round, step, block)
            vote = Vote(body, seat.me, seat.crypto.sign(body))
            self._record.votes.add(vote, member.stake)
            self._broadcast(vote, steps)

    def _ask(self, step: int, steps: list[Step]) -> None:
        voters = self._record.votes.voters(self._round, step)
        if len(voters) < len(self._seat.validators.members):
            steps.append(Send(self._seat.peers, Ask(self._height, self._round, step, voters)))

    def _broadcast(self, message: Propose | Vote, steps: list[Step]) -> None:
        if self._seat.peers:
            self._said.append(message)
            steps.append(Send(self._seat.peers, message))

    def _set_timer(self, kind: str, delay_ns: int, steps: list[Step]) -> None:
        # What is said again must come within the time-outs of some round, so it does not wait longer as they do.
        if kind != "repeat":
            delay_ns += min(self._round, LONGEST_GROWTH) * self._seat.params.stake.timeout_step_ns
        steps.append(SetTimer(f"{kind}/{self._height}/{self._round}", delay_ns))

    def _repeat(self, steps: list[Step]) -> None:
        """Say again what was said at this height, and hand on what was heard of this round and for the valid block."""
        record, rule = self._record, self._seat.params.stake
        # Of the round before, too: somebody may still lack the word that let this node leave it.
        words = self._said + record.words(self._round - 1) + record.words(self._round)
        if self._valid is not None:
            proposal = record.proposals[self._valid_round]
            words += [proposal, *record.votes.of(self._valid_round, PREVOTE, proposal.body.block)]
        steps += [Send(self._seat.peers, word) for word in {id(word): word for word in words}.values()]
        first = rule.propose_timeout_ns + 2 * rule.vote_timeout_ns
        self._repeat_ns = min(2 * self._repeat_ns, LONGEST_REPEAT * first)
        self._set_timer("repeat", self._repeat_ns, steps)


def _is_asked_for(ask: Ask, word: Propose | Vote) -> bool:
    if isinstance(word, Propose) or not ask.step:
        return not ask.step
    return word.body.step == ask.step and word.voter not in ask.voters


class Rule(NamedTuple):
    """One transition: in which phases, on what (a time-out, or what a guard finds), to which phase, doing what.

    ``to`` is None where the phase stays; ``lines`` are those of Algorithm 1.
    """

    name: str
    phases: tuple[Phase, ...]
    to: Phase | None
    lines: str
    when: str
    then: str
    guard: Callable[[ProofOfStake, int], Any]
    act: Callable[[ProofOfStake, Any, int, list[Step]], None]
    timer: str = ""


def _never(_: ProofOfStake, __: int) -> None:
    """Time-outs alone."""


_AWAKE: Final = (Phase.PROPOSE, Phase.PREVOTE, Phase.PRECOMMIT)
_P: Final = ProofOfStake
#: All transitions of a height once it has begun, in the order in which they are tried.
RULES: Final = (
    Rule("decide", _AWAKE, Phase.IDLE, "49-54", "precommits of a round: quorum for its valid block",
         "final; next height", _P._find_decided, _P._decide),
    Rule("skip", _AWAKE, Phase.PROPOSE, "55-56", "votes of a later round: more than a third",
         "that round; propose if it is one's turn", _P._find_later_round, _P._start_round),
    Rule("answer", (Phase.PROPOSE,), Phase.PREVOTE, "22-27", "new proposal",
         "prevote it if valid and not locked elsewhere, else nil", _P._find_new, _P._answer),
    Rule("answer-again", (Phase.PROPOSE,), Phase.PREVOTE, "28-33", "earlier block with its quorum of prevotes",
         "prevote it if valid and the lock is not later, else nil", _P._find_again, _P._answer),
    Rule("lock", (Phase.PREVOTE,), Phase.PRECOMMIT, "36-43", "prevotes: quorum for the valid proposal",
         "lock it; precommit it", _P._find_polka, _P._lock),
    Rule("note", (Phase.PRECOMMIT,), None, "36, 42-43", "prevotes, late: quorum for the valid proposal",
         "propose it again, if it comes to that", _P._find_polka, _P._note_valid),
    Rule("give-up", (Phase.PREVOTE,), Phase.PRECOMMIT, "44-46", "prevotes: quorum for nil",
         "precommit nil", _P._find_nil, _P._precommit_nil),
    Rule("await-prevotes", (Phase.PREVOTE,), None, "34-35", "prevotes: quorum for whatever, first time",
         "start the prevote time-out; ask for the others' votes", _P._find_prevotes, _P._await),
    Rule("await-precommits", _AWAKE, None, "47-48", "precommits: quorum for whatever, first time",
         "start the precommit time-out; ask for the others' votes", _P._find_precommits, _P._await),
    Rule("no-proposal", (Phase.PROPOSE,), Phase.PREVOTE, "57-60", "propose time-out",
         "prevote nil", _never, _P._prevote_nil, "propose"),
    Rule("no-polka", (Phase.PREVOTE,), Phase.PRECOMMIT, "61-64", "prevote time-out",
         "precommit nil", _never, _P._precommit_nil, "prevote"),
    Rule("no-decision", _AWAKE, Phase.PROPOSE, "65-67", "precommit time-out",
         "next round; propose if it is one's turn", _never, _P._next_round, "precommit"),
)  # fmt: skip
_BY_PHASE: Final = {phase: tuple(rule for rule in RULES if phase in rule.phases and not rule.timer) for phase in Phase}
