"""What must hold at every instant, whatever goes wrong: checked on ids, from what nodes say and keep.

Naive on purpose and independent of the code under test: votes lie in plain sets, quorums are counted here, roots come
from the recursive definition of RFC 6962 in `ehrcore.spec`, and whatever was ever said is remembered.

- agreement: honest nodes have one block per height;
- validity: blocks link, have a proposer whose turn it was, and hold only what was submitted, endorsed and approved;
- quorum: who accepts a block, or precommits, has more than two thirds of the stake for it, and no vote is invented
  (with a leader: more than half of the nodes have stored it in one term, and nobody voted twice in a term);
- finality: what a node has accepted it never replaces and never skips, over restarts either;
- double-sign: an honest node has one block per height, round and step, and one proposal per round;
- lock: an honest node that precommitted a block in a round prevotes another one later only if more than two thirds of
  the stake prevoted that one in a round since (Buchman et al., arXiv:1807.04938, line 28);
- evidence: nobody who keeps to the protocol is accused or punished;
- once: the chain holds no transaction twice; state: ledgers that hold the same blocks have the same state;
- lost: what an agent accepted, or a visitor was told is final, lies in every ledger in the end, once.

Proof of work promises agreement only with a probability: there, one node's chain must link, have all its confirmations
and never change, but nodes may differ, and those are told of (`reverted`); what only they hold is not asked for.
"""

from collections import defaultdict
from collections.abc import Collection

from ehrcore.block import (
    Block,
    CommitCertificate,
    EndorsedTransaction,
    Evidence,
    Header,
    LeaderCertificate,
    OrdererCertificate,
    StakeCertificate,
    VoteBody,
    WorkCertificate,
)
from ehrcore.codec import encode
from ehrcore.effects import Effect, Observed, ObservedKind, Persist, PersistTip, Send
from ehrcore.faults.branches import Chain, find_fork, find_main, is_on
from ehrcore.faults.words import PRECOMMIT, Words
from ehrcore.identity import Reason
from ehrcore.messages import Append, Approve, Ballot, Endorse, Finalised, Propose, Stored, Submit, Vote
from ehrcore.network import Network
from ehrcore.params import ConsensusRule
from ehrcore.rules import AUTHORITY
from ehrcore.spec.merkle import tree_hash
from ehrcore.types import Role, node_id


class Invariants(Words):
    """Watches one run; hand `saw` to the driver.

    ``faulty`` are the nodes that may lie: nothing is asked of them.  ``overlooked`` are rules that are not asked, for
    controls in which what comes of their breach is to be seen.
    """

    def __init__(
        self, network: Network, faulty: frozenset[str] = frozenset(), overlooked: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(network, faulty, overlooked)
        self._roles = network.roles
        self._is_certain = network.params.family is not ConsensusRule.PROOF_OF_WORK
        self._endorsed: dict[bytes, set[str]] = defaultdict(set)
        self._approved: dict[tuple[bytes, bytes], set[str]] = defaultdict(set)
        self._submitted: set[bytes] = set()
        self._promised: set[bytes] = set()
        #: The one chain, as honest nodes have accepted it: hashes by height, and where each transaction lies.
        self.chain: dict[int, bytes] = {0: network.chain}
        self._place: dict[bytes, int] = {}
        self._contents: dict[bytes, frozenset[bytes]] = {}
        self._checked: set[bytes] = set()
        self._certified: set[tuple[bytes, CommitCertificate]] = set()
        self._accepted: dict[str, dict[int, bytes]] = defaultdict(lambda: {0: network.chain})
        self._states: dict[int, bytes] = {}
        self._ledgers: dict[str, dict[int, tuple[bytes, ...]]] = defaultdict(dict)
        self._acknowledged: set[bytes] = set()
        #: By height: the round of the certificate.
        self.decided_in: dict[int, int] = {}

    # -- what is seen ------------------------------------------------------------------------------------------

    def saw(self, now: int, node: str, effect: Effect) -> None:
        """An effect of ``node`` has left it at ``now`` (ns); raises `InvariantError`."""
        del now
        is_honest = node not in self._faulty
        match effect:
            case Send(message=Vote() as vote):
                self._vote(node, vote)
            case Send(message=Propose() as proposal):
                self._propose(node, proposal)
            case Send(message=Append() | Stored() | Ballot(is_trial=False, is_granted=True) as message):
                self._follow_leader(node, message)
            case Send(message=Endorse(reason=Reason.ACCEPTED) | Approve() | Submit() as message):
                self._pass_on(node, message)
            case Send(message=Finalised() as final) if is_honest:
                self._final(node, final.block, final.certificate)
            case Persist() if is_honest:
                self._persist(node, effect)
            case PersistTip(height=height, block=block) if is_honest:
                self._accept(node, height, block)
            case Observed(kind=ObservedKind.ACCUSED, detail=detail) if is_honest:
                self._require_guilt(detail.partition("/")[0], node, "accused")
            case Observed(kind=ObservedKind.FINAL, subjects=subjects) if is_honest:
                self._acknowledged.update(subjects)
            case _:
                pass

    def _pass_on(self, node: str, message: Endorse | Approve | Submit) -> None:
        tx = message.transaction
        tx_id = self._tx_id(tx)
        match message:
            case Submit():
                self._submitted.add(tx_id)
            case Approve():
                self._approved[tx_id, message.outcome].add(node)
            case Endorse():
                self._endorsed[tx_id].add(node)
                # Of two accusations of one offence by one node, one is enough.
                if not isinstance(tx.body.payload, Evidence):
                    self._promised.add(tx_id)

    def height(self, node: str) -> int:
        """The last height that an honest node has accepted."""
        return max(self._accepted[node]) if node in self._accepted else 0

    def waiting(self, down: Collection[str] = ()) -> set[bytes]:
        """The transactions that an agent has accepted and that some honest ledger lacks, ``down`` nodes' aside."""
        held = [{tx_id for ids in self._ledgers[node].values() for tx_id in ids} for node in self._keepers(down)]
        promised = self._promised - self._reversed(down)
        return {tx_id for tx_id in promised if not all(tx_id in mine for mine in held)}

    def finish(self, down: Collection[str] = ()) -> None:
        """Check what holds once all has been delivered; ``down`` are the nodes that are not there to hear it."""
        for tx_id in (self._promised | self._acknowledged) - self._reversed(down):
            for node in self._keepers(down):
                count = sum(ids.count(tx_id) for ids in self._ledgers[node].values())
                if count != 1:
                    detail = f"holds {tx_id.hex()[:16]}, which was accepted, {count} times"
                    self._fail(node, "once" if count else "lost", detail)

    def _keepers(self, down: Collection[str]) -> list[str]:
        keepers = [name for name, role in self._roles.items() if role is Role.CONTRIBUTOR]
        left_out = self._faulty | set(down) | self.reverted(down).keys()
        return [name for name in (node_id(Role.COORDINATOR, 0), *keepers) if name not in left_out]

    # -- reversals ---------------------------------------------------------------------------------------------

    def main(self, down: Collection[str] = ()) -> Chain:
        """The chain; where there may be several, the longest of those administrators that are up."""
        if self._is_certain:
            return self.chain
        names = [name for name, role in self._roles.items() if role is Role.ADMINISTRATOR]
        return find_main([self._accepted[name] for name in names if name not in self._faulty | set(down)])

    def reverted(self, down: Collection[str] = ()) -> dict[str, int]:
        """Nodes that hold other blocks final than the main chain, each with the first height at which it does."""
        if self._is_certain:
            return {}
        main, chains = self.main(down), sorted(self._accepted.items())
        return {
            name: find_fork(main, chain)
            for name, chain in chains
            if not is_on(main, chain) and name not in self._faulty | set(down)
        }

    def _reversed(self, down: Collection[str]) -> set[bytes]:
        """Transactions that were final for some nodes, and are not on the main chain: whoever saw them is content."""
        if self._is_certain:
            return set()
        main = set(self.main(down).values())
        on, off = set[bytes](), set[bytes]()
        for block_hash, tx_ids in self._contents.items():
            (on if block_hash in main else off).update(tx_ids)
        return off - on

    # -- what is accepted --------------------------------------------------------------------------------------

    def _accept(self, node: str, height: int, block_hash: bytes) -> None:
        """Agreement and finality."""
        mine = self._accepted[node]
        if mine.setdefault(height, block_hash) != block_hash:
            self._fail(node, "finality", "replaced a block that it had accepted", height)
        if height - 1 not in mine:
            self._fail(node, "finality", "accepted a block without the one before it", height)
        if self._is_certain and self.chain.setdefault(height, block_hash) != block_hash:
            others = [name for name, held in self._accepted.items() if held.get(height) == self.chain[height]]
            both = f"{block_hash.hex()[:16]} and {self.chain[height].hex()[:16]}"
            self._fail(node, "agreement", f"accepted {both}", height, others=others)

    def _final(self, node: str, block: Block, certificate: CommitCertificate) -> bytes:
        """Everything about a block that an honest node takes to be final; its hash."""
        block_hash, mine = self._hash(block.header), self._accepted[node]
        if block.header.previous != mine.get(block.header.height - 1, block.header.previous):
            self._fail(node, "validity", "accepted a block that does not link to its last", block.header.height)
        if (block_hash, certificate) not in self._certified:
            self._check_certificate(node, block.header, block_hash, certificate)
            self._certified.add((block_hash, certificate))
        if block_hash not in self._checked:
            self._check_block(node, block, block_hash)
            self._checked.add(block_hash)
        return block_hash

    def _check_certificate(self, node: str, header: Header, block_hash: bytes, certificate: CommitCertificate) -> None:
        if isinstance(certificate, OrdererCertificate):
            if not self._is_signed(min(self._keys), header, certificate.signature):
                self._fail(node, "quorum", "accepted what the orderer has not signed", header.height)
        elif isinstance(certificate, LeaderCertificate):
            holders = self._holders[certificate.term, header.height, block_hash] | {certificate.leader}
            if 2 * len(holders) <= len(self._keys):
                detail = f"accepted what {len(holders)} of {len(self._keys)} had stored in term {certificate.term}"
                self._fail(node, "quorum", detail, header.height)
        elif isinstance(certificate, StakeCertificate):
            self._count(node, header, block_hash, certificate)
        elif isinstance(certificate, WorkCertificate):
            hashes = [block_hash, *map(self._hash, certificate.successors)]
            needed, parents = self._params.work.confirmations, [later.previous for later in certificate.successors]
            if parents != hashes[:-1] or len(parents) != needed:
                detail = f"accepted under {len(parents)} confirmations of {needed}, or not linked ones"
                self._fail(node, "quorum", detail, header.height)

    def _count(self, node: str, header: Header, block_hash: bytes, certificate: StakeCertificate) -> None:
        height, round_ = header.height, certificate.round
        body = VoteBody(self._genesis, height, round_, PRECOMMIT, block_hash)
        voters = [vote.node for vote in certificate.votes if self._is_signed(vote.node, body, vote.signature)]
        if len(set(voters)) != len(certificate.votes) or not self._is_quorum(voters, height):
            total = sum(self._weights[height].values())
            detail = f"accepted a certificate of {self._stake(voters, height)} of the stake of {total}"
            self._fail(node, "quorum", detail, height, round_)
        for voter in set(voters) - self._faulty:
            if voter == node:
                self._said[voter, height, round_, PRECOMMIT].add(block_hash)
            elif block_hash not in self._said[voter, height, round_, PRECOMMIT]:
                detail = f"accepted a precommit that {voter} never gave"
                self._fail(node, "quorum", detail, height, round_)
        self.decided_in[height] = round_

    def _check_block(self, node: str, block: Block, block_hash: bytes) -> None:
        header, items = block.header, block.transactions
        height = header.height
        if self._is_certain:
            self.chain.setdefault(height, block_hash)
            if (header.chain, header.previous) != (self._genesis, self.chain.get(height - 1)):
                self._fail(node, "validity", "accepted a block that does not link", height)
        if (header.merkle_root, header.size) != (tree_hash(self._suite, [encode(item) for item in items]), len(items)):
            self._fail(node, "validity", "accepted a block with another content", height)
        if (
            self._voters_digest(height) != header.validators
            or self._voters_digest(height + 1) != header.next_validators
        ):
            self._fail(node, "validity", "accepted a block of other voters", height)
        self._contents[block_hash] = frozenset(self._tx_id(item.transaction) for item in items)
        for item in items:
            self._check_item(node, height, item)
            self._carry_out(node, height, item.transaction.body.payload)
        self._weights[height + 2] = {name: stake for name, stake in self._bonded.items() if stake}

    def _check_item(self, node: str, height: int, item: EndorsedTransaction) -> None:
        tx_id, author = self._tx_id(item.transaction), item.transaction.body.author
        endorsers, approvers = ({given.node for given in words} for words in (item.endorsements, item.approvals))
        is_endorsed = self._params.endorsements <= len(endorsers & self._endorsed[tx_id])
        is_approved = self._params.approvals <= len(approvers & self._approved[tx_id, item.outcome])
        if not (is_endorsed and is_approved and (tx_id in self._submitted or author == AUTHORITY)):
            detail = f"accepted {tx_id.hex()[:16]}, which was not submitted, endorsed and approved"
            self._fail(node, "validity", detail, height)
        if self._is_certain and tx_id in self._place:
            detail = f"accepted {tx_id.hex()[:16]} again, which is in block {self._place[tx_id]}"
            self._fail(node, "once", detail, height)
        self._place[tx_id] = height

    def _persist(self, node: str, entry: Persist) -> None:
        height = entry.block.header.height
        self._accept(node, height, self._final(node, entry.block, entry.certificate))
        if self._is_certain and self._states.setdefault(height, entry.state) != entry.state:
            self._fail(node, "state", "has another state after the same block", height)
        for item, reason in zip(entry.block.transactions, entry.reasons, strict=True):
            payload = item.transaction.body.payload
            if reason is Reason.ACCEPTED and isinstance(payload, Evidence):
                self._require_guilt(payload.offender, node, "punished")
        self._ledgers[node][height] = tuple(self._tx_id(item.transaction) for item in entry.block.transactions)
