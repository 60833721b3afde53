"""Proof of work among the administrators: Algorithm 2 corrected (E19, E20), with forks and confirmations.

Each administrator searches a nonce for a block on the heaviest chain that it knows.  A block is final once
`WorkRule.confirmations` successors lie on it, and their headers are its certificate.  Empty blocks are mined only
to confirm what is not final yet, so an idle network rests.  The search itself is the driver's, in bounded slices.

Who hears of a block whose parent it lacks asks for that, back to where the branches part: so a cut that ends before
either side's blocks are final leaves no more than a reorganisation.

How sure final is: `reversal.rule_risk`.  A final block is kept whatever comes later, so an attack that succeeds, or a
cut that outlasts the confirmations, shows as administrators or ledger keepers that disagree for good.  Such a one tells
of the others' final block as dropped and asks for their branch no more; to join them it must start anew, with nothing
kept.  Under retargeting an idle hour counts as a slow one: the difficulty falls, by at most `MAX_STEP` per window, and
rises again.

A block carries no signature: its work is what admits it, as in Nakamoto's design.  Its proposer's name is therefore a
claim (of some administrator, or the block is refused) on which nothing rests: no reward, no penalty, no turn.  Counts
by name are as good as the miners are honest.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from ehrcore.block import Block, CommitCertificate, Header, WorkCertificate
from ehrcore.bounded import RecentSet
from ehrcore.consensus.finality import check_work, header_hash, verify_certificate
from ehrcore.consensus.laggards import CATCH_UP_LIMIT
from ehrcore.consensus.seam import (
    ConsensusMessage,
    Decided,
    Quiet,
    Seat,
    Step,
    Tip,
    build_block,
    is_timely,
    validate_content,
)
from ehrcore.consensus.work import LEAST_WINDOW, has_work, least_difficulty, next_difficulty
from ehrcore.effects import Observed, ObservedKind, Send, Work
from ehrcore.errors import ValidationError
from ehrcore.messages import Finalised, Mined, Missing

_ORPHAN_LIMIT: Final = 256
#: Blocks whose fate is remembered, so that each stale one is told of once.
_CLOSED_LIMIT: Final = 1_024


@dataclass(frozen=True, slots=True)
class _Node:
    """A block that is not final yet."""

    block: Block
    block_hash: bytes
    tx_ids: frozenset[bytes]
    total_work: int


class ProofOfWork(Quiet):
    """One administrator's state machine; after a restart it needs `Seat.recent` to know the difficulty."""

    def __init__(self, seat: Seat, tip: Tip) -> None:
        self._seat, self._root = seat, tip
        window = seat.params.work.retarget_window
        if window >= LEAST_WINDOW and len(seat.recent) < min(window, tip.height):
            raise ValueError(f"recent headers: expected {min(window, tip.height)}, found {len(seat.recent)}")
        self._recent: deque[Header] = deque(seat.recent, maxlen=max(window, 1))
        #: The last final blocks, for those that have missed them.
        self._finals: deque[Finalised] = deque(maxlen=CATCH_UP_LIMIT)
        self._closed = RecentSet(_CLOSED_LIMIT)
        for header in seat.recent[-_CLOSED_LIMIT:]:
            self._closed.add(header_hash(seat.crypto, header))
        self._nodes: dict[bytes, _Node] = {}
        self._best = tip.block_hash
        self._root_work = 0
        self._orphans: dict[bytes, list[Mined]] = {}
        #: What is final elsewhere beside this node's own last final block.
        self._foreign = RecentSet(CATCH_UP_LIMIT)
        self._job = 0
        self._mining: Block | None = None
        self._mining_on = b""
        # After a restart, or where final blocks had to be fetched, until the heaviest chain is known again.
        self._may_lack = tip.height > 0

    # -- inputs ------------------------------------------------------------------------------------------------

    def on_ready(self, now: int) -> list[Step]:
        """Start, restart or stop the search as the pool and the tip ask for."""
        steps: list[Step] = []
        path = list(self._path(self._best))
        known = frozenset[bytes]().union(*(node.tx_ids for node in path))
        batch = self._seat.pool.batch(now, known)
        if (not batch and not known) or self._is_behind():
            self._stop(steps)
            return steps
        if self._mining is not None and self._mining_on == self._best and (self._mining.transactions or not batch):
            return steps
        recent = [*self._recent, *(node.block.header for node in path)]
        difficulty = next_difficulty(self._seat.params.work, recent)
        self._mining = build_block(self._seat, self._tip_of(self._best), batch, now, difficulty)
        self._mining_on = self._best
        self._job += 1
        steps.append(Work(self._job, self._mining.header))
        return steps

    def on_work(self, job: int, nonce: bytes, now: int) -> list[Step]:
        """A nonce was found: publish the block if the search is still wanted."""
        steps: list[Step] = []
        if self._mining is None or job != self._job:
            return steps
        header = msgspec.structs.replace(self._mining.header, nonce=nonce)
        if not has_work(self._seat.crypto, header):
            return steps
        block = Block(header, self._mining.transactions)
        self._mining = None
        if self._seat.peers:
            steps.append(Send(self._seat.peers, Mined(block)))
        self._adopt(block, now, steps)
        return self._go_on(steps, now)

    def _follow(self, final: Finalised, now: int, steps: list[Step]) -> bool:
        """Take over a final block that this node has missed; what it has itself beside that block is stale."""
        header, block_hash = final.block.header, header_hash(self._seat.crypto, final.block.header)
        if header.previous != self._root.block_hash:
            self._note_foreign(header, block_hash, final.certificate, steps)
            return False
        if not self._is_final(final, block_hash, now):
            return False
        before = [node.block_hash for node in self._path(self._best)]
        self._may_lack = True
        self._decide(final, block_hash, self._root_work + header.difficulty, steps)
        self._prune(steps)
        heaviest = max(self._nodes.values(), key=lambda node: node.total_work, default=None)
        self._best = heaviest.block_hash if heaviest else block_hash
        self._tell_left(before, steps, block_hash)
        return True

    def _is_final(self, final: Finalised, block_hash: bytes, now: int) -> bool:
        """Whether a successor of the last final block is final.

        Its difficulty must be the chain's own, not only a possible one, and as no votes vouch for its content, that is
        looked into as well.
        """
        seat, block = self._seat, final.block
        try:
            verify_certificate(
                seat.crypto, seat.params, seat.validators, block.header, block_hash, final.certificate,
                tuple(self._recent),
            )  # fmt: skip
            validate_content(seat, block, self._root)
        except ValidationError:
            return False
        return is_timely(block, now)

    def _note_foreign(
        self, header: Header, block_hash: bytes, certificate: CommitCertificate, steps: list[Step]
    ) -> None:
        """Report, once, a final block on another one than this node's last: one of the two branches is reversed."""
        seat, root = self._seat, self._root
        if header.height != root.height + 1 or header.previous in self._foreign:
            return
        try:
            verify_certificate(seat.crypto, seat.params, seat.validators, header, block_hash, certificate, None)
        except ValidationError:
            return
        self._foreign.add(header.previous)
        found = f"previous: expected {root.block_hash.hex()}, found {header.previous.hex()}"
        steps.append(Observed(ObservedKind.DROPPED, (block_hash,), found))

    def _is_behind(self) -> bool:
        """Whether others are at work higher up, on blocks that this node has missed: to mine below them is in vain.

        A node that has been there from the start has missed none: what it lacks is on its way.
        """
        if not self._may_lack:
            return False
        highest = max((item.block.header.height for held in self._orphans.values() for item in held), default=0)
        return highest > self._tip_of(self._best).height

    def _go_on(self, steps: list[Step], now: int) -> list[Step]:
        """Look for work, but not before the pool has settled what was decided: the caller asks again after that."""
        if not any(isinstance(step, Decided) for step in steps):
            steps += self.on_ready(now)
        return steps

    def on_message(self, sender: str, message: ConsensusMessage, now: int) -> list[Step]:
        """A block of another administrator, and the orphans that waited for it; whose it is, its work says.

        The sender is asked for what an orphan descends from, and shown the heaviest chain if it has been left behind.
        """
        steps: list[Step] = []
        waiting: list[Mined] = []
        if isinstance(message, Mined):
            waiting.append(message)
        elif isinstance(message, Missing):
            return self._answer(sender, message)
        elif isinstance(message, Finalised) and self._follow(message, now, steps):
            waiting += self._orphans.pop(self._root.block_hash, ())
        while waiting:
            block = waiting.pop().block
            previous = block.header.previous
            if previous != self._root.block_hash and previous not in self._nodes:
                is_kept = self._keep_orphan(Mined(block), steps)
                if sender in self._seat.peers:
                    steps += self._ask(sender, previous) if is_kept else self._show(sender, block.header.height)
                continue
            block_hash = self._adopt(block, now, steps)
            waiting += self._orphans.pop(block_hash, ())
        return self._go_on(steps, now)

    def _ask(self, peer: str, missing: bytes) -> list[Step]:
        earliest = self._earliest(missing)
        return [] if earliest in self._foreign else [Send((peer,), Missing(earliest, self._root.block_hash))]

    def _show(self, peer: str, height: int) -> list[Step]:
        """The last block, for a peer at ``height`` where a block is final already: it will ask for those before."""
        best = self._nodes.get(self._best)
        if height > self._root.height or not (best or self._finals):
            return []
        return [Send((peer,), Mined(best.block if best else self._finals[-1].block))]

    def _answer(self, peer: str, asked: Missing) -> list[Step]:
        """The block that a peer lacks, or where it is final, all final ones after the peer's last."""
        node = self._nodes.get(asked.block)
        if node is not None:
            return [Send((peer,), Mined(node.block))]
        finals = list(self._finals)
        while finals and finals[0].block.header.previous != asked.after:
            finals.pop(0)
        return [Send((peer,), final) for final in finals]

    def _earliest(self, missing: bytes) -> bytes:
        """The parent, which is not known, of the earliest orphan that ``missing`` descends from, if it is one."""
        parents = {
            header_hash(self._seat.crypto, item.block.header): item.block.header.previous
            for held in self._orphans.values()
            for item in held
        }
        while missing in parents:
            missing = parents[missing]
        return missing

    # -- the tree of blocks ------------------------------------------------------------------------------------

    def _path(self, block_hash: bytes) -> Iterator[_Node]:
        """Blocks after the last final one up to ``block_hash``, in order."""
        path: list[_Node] = []
        while (node := self._nodes.get(block_hash)) is not None:
            path.append(node)
            block_hash = node.block.header.previous
        return reversed(path)

    def _tip_of(self, block_hash: bytes) -> Tip:
        node = self._nodes.get(block_hash)
        if node is None:
            return self._root
        return Tip(node.block.header.height, block_hash, node.block.header.timestamp)

    def _adopt(self, block: Block, now: int, steps: list[Step]) -> bytes:
        """Add a block whose parent is known; what does not validate is dropped.  Returns the block's hash."""
        block_hash = header_hash(self._seat.crypto, block.header)
        if block_hash in self._nodes or not is_timely(block, now):
            return block_hash
        parent = block.header.previous
        path = list(self._path(parent))
        try:
            check_work(
                self._seat.crypto, self._seat.params, block.header,
                [*self._recent, *(node.block.header for node in path)],
            )  # fmt: skip
            tx_ids = frozenset(validate_content(self._seat, block, self._tip_of(parent)))
        except ValidationError:
            return block_hash
        if any(tx_ids & node.tx_ids for node in path):
            return block_hash
        work = (path[-1].total_work if path else self._root_work) + block.header.difficulty
        self._nodes[block_hash] = _Node(block, block_hash, tx_ids, work)
        best = self._nodes.get(self._best)
        if work > (best.total_work if best else self._root_work):
            before = [node.block_hash for node in self._path(self._best)] if parent != self._best else []
            self._best = block_hash
            self._tell_left(before, steps)
            self._may_lack = False
            self._finalise(steps)
        return block_hash

    def _finalise(self, steps: list[Step]) -> None:
        """Decide every block with enough successors on the heaviest chain."""
        needed = self._seat.params.work.confirmations
        path = list(self._path(self._best))
        while len(path) > needed:
            node = path.pop(0)
            certificate = WorkCertificate(tuple(later.block.header for later in path[:needed]))
            self._decide(Finalised(node.block, certificate), node.block_hash, node.total_work, steps)
        self._prune(steps)

    def _decide(self, final: Finalised, block_hash: bytes, total_work: int, steps: list[Step]) -> None:
        """Make a final block the root of the tree."""
        header = final.block.header
        steps.append(Decided(final.block, final.certificate, block_hash))
        self._finals.append(final)
        self._recent.append(header)
        self._closed.add(block_hash)
        self._root, self._root_work = Tip(header.height, block_hash, header.timestamp), total_work
        self._nodes.pop(block_hash, None)

    def _prune(self, steps: list[Step]) -> None:
        """Forget what no longer descends from the last final block: it is stale."""
        kept = {block_hash: node for block_hash, node in self._nodes.items() if self._is_rooted(node)}
        for block_hash, node in self._nodes.items():
            if block_hash not in kept:
                self._tell_stale(node.block.header, block_hash, steps)
        self._nodes = kept
        self._orphans = {
            previous: waiting
            for previous, waiting in self._orphans.items()
            if waiting[0].block.header.height > self._root.height
        }

    def _is_rooted(self, node: _Node) -> bool:
        """Whether a block descends from the last final one; a stale branch never will again."""
        first = next(iter(self._path(node.block_hash)))
        return first.block.header.previous == self._root.block_hash

    def _tell_stale(self, header: Header, block_hash: bytes, steps: list[Step]) -> None:
        if block_hash not in self._closed and self._seat.validators.find(header.proposer):
            self._closed.add(block_hash)
            steps.append(Observed(ObservedKind.STALE, (block_hash,), header.proposer))

    def _tell_left(self, before: list[bytes], steps: list[Step], *final: bytes) -> None:
        """Report a reorganisation if the heaviest chain has left some of the blocks ``before``."""
        now_on = {node.block_hash for node in self._path(self._best)}.union(final)
        left = tuple(block_hash for block_hash in before if block_hash not in now_on)
        if left:
            steps.append(Observed(ObservedKind.REORGANISED, left, str(len(left))))

    def _keep_orphan(self, message: Mined, steps: list[Step]) -> bool:
        """Whether a block may yet be of use; one that comes too late is stale."""
        # Work first: to fill this memory with blocks that lead nowhere must cost what blocks cost.
        if not has_work(self._seat.crypto, message.block.header):
            return False
        header = message.block.header
        if header.difficulty < least_difficulty(self._seat.params.work, header.height):
            return False
        if header.height <= self._root.height:
            self._tell_stale(header, header_hash(self._seat.crypto, header), steps)
            return False
        if sum(map(len, self._orphans.values())) >= _ORPHAN_LIMIT:
            del self._orphans[next(iter(self._orphans))]
        self._orphans.setdefault(message.block.header.previous, []).append(message)
        return True

    def _stop(self, steps: list[Step]) -> None:
        if self._mining is not None:
            self._mining = None
            self._job += 1
            steps.append(Work(self._job, None))
