"""Baseline: an elected leader orders, a majority stores.  Crashes are tolerated, lies are not.

After Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (USENIX ATC 2014), Figure 2; its
sections stand beside the rules below.  The log is the chain and at most one block more, which is being decided.

What it is: safe whatever the network loses, delays, repeats or reorders, and whoever crashes, if each comes back with
its journal; live while more than half of the administrators, by count, reach each other in time.  Stakes mean nothing.
What it is not: safe against a lie.  Any single administrator that lies breaks it: of a leader's block only place and
time are checked, and anyone's signature makes a block final.  Nor has it membership changes, snapshots, or more than
one block under way.

- Messages are unsigned: a peer is who the link says it is, as in Raft.  Only the word that a block is committed is
  signed, once per block, by the leader alone, since ledger keepers and receipts hand it on.  A majority's signed
  acknowledgements would buy nothing: two majorities may have no more than one administrator in common, and if that
  one lies they certify two blocks.
- There are no heartbeats: a network with nothing to order is at rest.  Who has something to order and hears of no
  progress for a random while (a hash, so that all is reproducible) asks the others whether they would elect it (the
  pre-vote of Ongaro's dissertation, 2014, section 9.6: who was merely cut off unseats nobody) and then to do so.
- A block is sent only after the one before it was committed, so who holds a later height knows all before: logs are
  compared by height, then by the term of the block stored there (Raft: by term, then by index).
- A new leader that has stored a block sends it again as its own term's, which stands for Raft's no-op entry (section
  8): so only what was stored in the leader's own term is counted (section 5.4.2).
"""

from enum import IntEnum
from typing import Final

from ehrcore.block import Block, CommitBody, LeaderCertificate
from ehrcore.consensus.early import EarlyMessages, height_of
from ehrcore.consensus.finality import header_hash, verify_certificate
from ehrcore.consensus.laggards import RecentBlocks, is_final
from ehrcore.consensus.seam import ConsensusMessage, Decided, Quiet, Seat, Step, Tip, build_block, is_timely
from ehrcore.effects import Heard, Send, SetTimer
from ehrcore.errors import ValidationError
from ehrcore.messages import Append, Ballot, Canvass, Commit, Finalised, Stored
from ehrcore.params import majority

_PATIENCE: Final = "patience"
_REPEAT: Final = "repeat"
#: Before any instant of any clock (ns).
_NEVER: Final = -(1 << 63)


class Part(IntEnum):
    """What an administrator is at the moment; ``ASKING`` is a follower that wants to know whether it would win."""

    FOLLOWER = 0
    ASKING = 1
    CANDIDATE = 2
    LEADER = 3


class ElectedLeader(Quiet):
    """One administrator's state machine.

    ``_term``, ``_voted`` and what is stored at the height survive a restart; all else may be forgotten.
    """

    def __init__(self, seat: Seat, tip: Tip) -> None:
        self._seat, self._early = seat, EarlyMessages(seat.peers)
        self._past = RecentBlocks(seat.peers, seat.params.stake.vote_timeout_ns)
        self._part, self._term, self._voted = Part.FOLLOWER, 0, ""
        self._backers: set[str] = set()
        self._moved_at, self._restless_at = _NEVER, _NEVER
        self._attempts, self._is_armed = 0, False
        self._enter_height(tip)
        self._recall()

    def _enter_height(self, tip: Tip) -> None:
        self._tip, self._height, self._attempts = tip, tip.height + 1, 0
        self._block: Block | None = None
        self._block_hash, self._stored_term = b"", 0
        self._holders: set[str] = set()
        self._commit: Commit | None = None

    def _recall(self) -> None:
        """Go on after a restart with the term, the vote and the block of the last words."""
        for word in self._seat.heard:
            if not isinstance(word, Canvass | Ballot | Append | Stored) or height_of(word) != self._height:
                continue
            self._adopt(word.term)
            match word:
                case Append(term=term, block=block):
                    self._store(term, block)
                case Canvass(is_trial=False):
                    self._voted = self._seat.me
                case Ballot(is_trial=False, is_granted=True, candidate=candidate):
                    self._voted = candidate
                case _:
                    pass

    # -- inputs ------------------------------------------------------------------------------------------------

    def on_ready(self, now: int) -> list[Step]:
        """Take up what came early, and lead on or wait for a leader."""
        steps: list[Step] = []
        for sender, message in self._early.take(self._height):
            steps += self.on_message(sender, message, now)
            if any(isinstance(step, Decided) for step in steps):
                return steps
        return self._go_on(now, steps)

    def on_message(self, sender: str, message: ConsensusMessage, now: int) -> list[Step]:
        """A word of another administrator, or a final block, whoever sends it."""
        steps: list[Step] = []
        if isinstance(message, Finalised):
            self._hear_final(sender, message, now, steps)
        elif sender in self._seat.peers:
            if isinstance(message, Canvass | Ballot | Append | Stored):
                self._adopt(message.term)
            match message:
                case Canvass():
                    self._answer(sender, message, now, steps)
                case Ballot():
                    self._count(sender, message, now, steps)
                case Append():
                    self._hear_append(sender, message, now, steps)
                case Stored():
                    self._hear_stored(sender, message, now, steps)
                case Commit() if self._is_here(sender, message, now, steps):
                    self._commit = message
                    self._follow(now, steps)
                case _:
                    pass
        return self._go_on(now, steps)

    def on_timer(self, name: str, now: int) -> list[Step]:
        """Nothing has moved: the leader says again what it waits for, another wants to lead."""
        steps: list[Step] = []
        if name == _REPEAT and self._part is Part.LEADER and self._block is not None:
            missing = tuple(peer for peer in self._seat.peers if peer not in self._holders)
            steps.append(Send(missing, Append(self._term, self._block)))
            self._attempts += 1
            self._set_repeat(steps)
        elif name == _PATIENCE:
            self._is_armed = False
            if self._part is not Part.LEADER and self._restless_at != _NEVER and now >= self._due():
                self._attempts += 1
                self._restless_at, self._part = now, Part.ASKING
                self._stand(now, steps)
        return self._go_on(now, steps)

    # -- who waits, and for how long ---------------------------------------------------------------------------

    def _go_on(self, now: int, steps: list[Step]) -> list[Step]:
        if any(isinstance(step, Decided) for step in steps):
            return steps  # whoever carries them out asks again
        if self._part is not Part.LEADER:
            self._wait(now, steps)
        if self._part is Part.LEADER and self._block is None and (batch := self._seat.pool.batch(now)):
            self._replicate(build_block(self._seat, self._tip, batch, now), now, steps)
        return steps

    def _wait(self, now: int, steps: list[Step]) -> None:
        is_behind = self._block is not None or self._commit is not None or len(self._early) > 0
        if not is_behind and not self._seat.pool.batch(now):
            self._restless_at = _NEVER
            return
        if self._restless_at == _NEVER:
            self._restless_at = now
        if self._term == 0 and self._seat.me == self._seat.validators.members[0].node:
            self._campaign(now, steps)  # nobody has ever led: one need not wait for that to show
        elif not self._is_armed:
            self._is_armed = True
            steps.append(SetTimer(_PATIENCE, max(self._due() - now, 1)))

    def _due(self) -> int:
        """When this node's patience ends: a time-out to twice as long after anything last moved (section 5.2)."""
        least = self._grown(self._seat.params.stake.propose_timeout_ns)
        draw = self._seat.crypto.hash_struct(("patience", self._seat.chain, self._seat.me, self._term, self._attempts))
        return max(self._restless_at, self._moved_at) + least + int.from_bytes(draw) % least

    def _grown(self, base_ns: int) -> int:
        return base_ns + self._attempts * self._seat.params.stake.timeout_step_ns

    def _set_repeat(self, steps: list[Step]) -> None:
        steps.append(SetTimer(_REPEAT, self._grown(self._seat.params.stake.vote_timeout_ns)))

    # -- elections (section 5.2) -------------------------------------------------------------------------------

    def _adopt(self, term: int) -> None:
        """Whoever hears of a later term is no leader and no candidate any more (section 5.1)."""
        if term > self._term:
            self._term, self._voted = term, ""
            if self._part is not Part.ASKING:
                self._part = Part.FOLLOWER

    def _campaign(self, now: int, steps: list[Step]) -> None:
        self._adopt(self._term + 1)
        self._part, self._voted = Part.CANDIDATE, self._seat.me
        self._stand(now, steps)

    def _stand(self, now: int, steps: list[Step]) -> None:
        self._backers = {self._seat.me}
        if self._seat.peers:
            is_trial = self._part is Part.ASKING
            steps.append(Send(self._seat.peers, Canvass(self._term, self._height, self._stored_term, is_trial)))
        self._win(now, steps)

    def _answer(self, sender: str, message: Canvass, now: int, steps: list[Step]) -> None:
        """Vote once per term, for no one whose log lacks what this node has (section 5.4.1)."""
        if message.height < self._height:
            steps += self._past.answer(sender, message.height, now)
            return
        is_granted = (message.height, message.stored) >= (self._height, self._stored_term)
        if message.is_trial:
            # Half the least patience, so that two who last heard of a leader at about the same time agree.
            is_granted &= now - self._moved_at >= self._seat.params.stake.propose_timeout_ns // 2
        else:
            is_granted &= message.term == self._term and self._voted in {"", sender}
            if is_granted:
                self._part, self._voted, self._moved_at = Part.FOLLOWER, sender, now
        ballot = Ballot(self._term, self._height, sender, message.is_trial, is_granted)
        steps.append(Send((sender,), ballot))

    def _count(self, sender: str, message: Ballot, now: int, steps: list[Step]) -> None:
        part = Part.ASKING if message.is_trial else Part.CANDIDATE
        if self._part is part and message.is_granted and (message.is_trial or message.term == self._term):
            self._backers.add(sender)
            self._win(now, steps)

    def _win(self, now: int, steps: list[Step]) -> None:
        if not self._is_majority(self._backers):
            return
        if self._part is Part.ASKING:
            self._campaign(now, steps)
        else:
            self._part, self._restless_at = Part.LEADER, _NEVER
            if self._block is not None:
                self._replicate(self._block, now, steps)

    def _is_majority(self, nodes: set[str]) -> bool:
        return len(nodes) >= majority(len(self._seat.peers) + 1)

    # -- blocks (section 5.3) ----------------------------------------------------------------------------------

    def _store(self, term: int, block: Block) -> None:
        """Keep a block as one of ``term``, also if it is of an earlier leader's (section 5.4.2)."""
        self._block, self._stored_term = block, term
        self._block_hash = header_hash(self._seat.crypto, block.header)

    def _replicate(self, block: Block, now: int, steps: list[Step]) -> None:
        self._store(self._term, block)
        self._holders, self._moved_at = {self._seat.me}, now
        if self._seat.peers:
            steps.append(Send(self._seat.peers, Append(self._term, block)))
            self._set_repeat(steps)
        self._conclude_if_stored(now, steps)

    def _is_here(self, sender: str, message: Append | Commit, now: int, steps: list[Step]) -> bool:
        """Whether it is of this height; one of a later height waits, and its sender hears what is missing here."""
        height = height_of(message)
        if height < self._height and isinstance(message, Append):
            steps += self._past.answer(sender, height, now)
        elif height > self._height:
            self._early.keep(sender, message, self._height)
            steps.append(Send((sender,), Stored(self._term, self._height, b"")))
        return height == self._height

    def _hear_append(self, sender: str, message: Append, now: int, steps: list[Step]) -> None:
        if message.term < self._term:
            steps.append(Send((sender,), Stored(self._term, self._height, b"")))
            return
        # Who follows a leader has no vote left in its term.
        self._part, self._voted, self._moved_at = Part.FOLLOWER, self._voted or sender, now
        if not self._is_here(sender, message, now, steps) or not is_timely(message.block, now):
            return
        if message.block.header.previous != self._tip.block_hash:
            return
        if message.term != self._stored_term:
            self._store(message.term, message.block)
            steps.append(Heard(message))
        steps.append(Send((sender,), Stored(self._term, self._height, self._block_hash)))
        self._follow(now, steps)

    def _hear_stored(self, sender: str, message: Stored, now: int, steps: list[Step]) -> None:
        if not message.block:
            if message.height < self._height:
                steps += self._past.answer(sender, message.height, now)
        elif self._part is Part.LEADER and (message.term, message.block) == (self._term, self._block_hash):
            self._holders.add(sender)
            self._conclude_if_stored(now, steps)

    # -- decisions ---------------------------------------------------------------------------------------------

    def _conclude_if_stored(self, now: int, steps: list[Step]) -> None:
        if self._block is None or not self._is_majority(self._holders):
            return
        seat, block_hash = self._seat, self._block_hash
        body = CommitBody(seat.chain, self._height, self._term, block_hash)
        certificate = LeaderCertificate(self._term, seat.me, seat.crypto.sign(body))
        if seat.peers:
            steps.append(Send(seat.peers, Commit(self._height, block_hash, certificate)))
        self._conclude(Decided(self._block, certificate, block_hash), now, steps)

    def _follow(self, now: int, steps: list[Step]) -> None:
        """Decide what is stored here if a leader has said that a majority has stored it."""
        commit, block = self._commit, self._block
        if commit is None or block is None or commit.block != self._block_hash:
            return
        seat, certificate = self._seat, commit.certificate
        try:
            verify_certificate(seat.crypto, seat.params, seat.validators, block.header, commit.block, certificate)
        except ValidationError:
            self._commit = None
        else:
            self._conclude(Decided(block, certificate, commit.block), now, steps)

    def _hear_final(self, sender: str, message: Finalised, now: int, steps: list[Step]) -> None:
        """Take over a block that others have decided."""
        header = message.block.header
        if header.height > self._height:
            self._early.keep(sender, message, self._height)
        elif header.previous == self._tip.block_hash and is_final(self._seat, message):
            block_hash = header_hash(self._seat.crypto, header)
            self._conclude(Decided(message.block, message.certificate, block_hash), now, steps)

    def _conclude(self, decided: Decided, now: int, steps: list[Step]) -> None:
        if self._voted:
            # What is known of a height ends with it, but the vote is for the term.
            steps.append(Heard(Ballot(self._term, self._height + 1, self._voted, is_trial=False, is_granted=True)))
        if self._part is Part.ASKING:
            self._part = Part.FOLLOWER
        steps.append(decided)
        self._past.add(Finalised(decided.block, decided.certificate), now)
        self._enter_height(Tip(self._height, decided.block_hash, decided.block.header.timestamp))
        self._moved_at = now
