"""Administrators that lie: an unchanged role machine whose words are changed on their way out, or in.

A liar holds its node's key, so all that it says is signed; it knows the other faulty nodes and shows them everything.
Liars that equivocate split the honest in the same way, so that together they are one node with all their stake.
Chance is drawn from labels of seed, node, height and round; what is said twice is the same lie twice.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from msgspec.structs import replace

from ehrcore.block import Attestation, Block, Header, OrdererCertificate, StakeCertificate, VoteBody, leaf_bytes
from ehrcore.consensus.finality import header_hash
from ehrcore.effects import Effect, Effects, Event, Received, RoleMachine, Send
from ehrcore.faults.plan import Behaviour, Byzantine, FaultPlan
from ehrcore.messages import Approve, Finalised, Message, Mined, Propose, Vote
from ehrcore.roles.context import Context
from ehrcore.types import MINUTE, Role

#: A block's time so far ahead (ns) that nobody may take it for the present.
FUTURE_NS: Final = 60 * MINUTE
NIL: Final = b""


def _height_of(send: Send) -> int:
    return send.message.block.header.height if isinstance(send.message, Mined) else 0


class Liar:
    """A role machine around another; ``meant`` is what the honest one would have said to the last event."""

    def __init__(self, inner: RoleMachine, context: Context, fault: Byzantine, plan: FaultPlan, seed: str) -> None:
        self.inner, self._context, self._fault, self._seed = inner, context, fault, seed
        self._faulty = plan.faulty
        others = (liar for liar in plan.of(Byzantine) if liar.start_ns <= fault.start_ns)
        self._equivocators = {liar.node for liar in others if liar.behaviour is Behaviour.EQUIVOCATE}
        self.meant: Effects = ()
        self._targets = frozenset(fault.targets)
        self._sides: dict[int, tuple[frozenset[str], frozenset[str]]] = {}
        #: Proposals by height and round, and what was said in place of a word, by its signature.
        self._proposals: dict[tuple[int, int], list[Propose]] = {}
        self._lies: dict[bytes, list[Effect]] = {}
        self._others: set[bytes] = set()
        self._held: dict[tuple[int, int], list[Event]] = {}
        #: Blocks that it has mined: those kept back, and those that it has shown.
        self._secret: list[Send] = []
        self._shown: set[bytes] = set()
        behaviours: dict[Behaviour, Callable[[Send], list[Effect]]] = {
            Behaviour.EQUIVOCATE: self._equivocate,
            Behaviour.WITHHOLD: self._withhold,
            Behaviour.CENSOR: lambda send: [send],
            Behaviour.LIE: self._lie,
        }
        self._change = behaviours[fault.behaviour]

    def start(self, now: int) -> Effects:
        """See `RoleMachine.start`."""
        return self.inner.start(now)

    def handle(self, event: Event, now: int) -> Effects:
        """See `RoleMachine.handle`."""
        is_honest = now < self._fault.start_ns
        if type(event) is Received and type(event.message) is Propose:
            self._note(event.message)
            self._others.add(event.message.signature)
        heard = (event,) if is_honest else self._hear(event)
        self.meant = tuple(effect for each in heard for effect in self.inner.handle(each, now))
        if is_honest:
            return self.meant
        said: list[Effect] = []
        for effect in self.meant:
            said += self._change(effect) if type(effect) is Send else [effect]
        if type(event) is Received and type(event.message) is Mined:
            said += self._show(event.message.block.header.height)
        return tuple(said)

    def _hear(self, event: Event) -> tuple[Event, ...]:
        """What the machine within is told of: not what is censored, and another liar's proposals only both at once."""
        if type(event) is not Received:
            return (event,)
        if self._censors(event):
            return ()
        message = event.message
        if (
            self._fault.behaviour is Behaviour.EQUIVOCATE
            and type(message) is Propose
            and event.sender in self._equivocators
        ):
            held = self._held.setdefault((message.body.height, message.body.round), [])
            if not held:
                held.append(event)
                return ()
            if len(held) == 1 and event not in held:
                held.append(event)
                return tuple(held)
        return (event,)

    def serve(self, asker: str, blocks: tuple[Finalised, ...], now: int) -> tuple[Finalised, ...]:
        """What it answers to who asks for blocks that it has: who withholds has none, who lies spoils them."""
        if now < self._fault.start_ns:
            return blocks
        if self._fault.behaviour is Behaviour.WITHHOLD:
            return blocks if self._targets and asker not in self._targets else ()
        if self._fault.behaviour is Behaviour.LIE:
            return tuple(Finalised(final.block, self._forge(final.block)) for final in blocks)
        return blocks

    # -- what it knows -----------------------------------------------------------------------------------------

    def _note(self, proposal: Propose) -> None:
        held = self._proposals.setdefault((proposal.body.height, proposal.body.round), [])
        if proposal not in held:
            held.append(proposal)
            held.sort(key=lambda item: item.body.block)

    def _split(self, height: int) -> tuple[frozenset[str], frozenset[str]]:
        """The network but for the faulty in two, its administrators in halves; the same for every liar."""
        sides = self._sides.get(height)
        if sides is None:
            chance = Random(f"{self._seed}|sides|{height}")
            groups: tuple[set[str], set[str]] = (set(), set())
            for role in (Role.ADMINISTRATOR, Role.COORDINATOR, Role.CONTRIBUTOR):
                names = [name for name in self._context.names(role) if name not in self._faulty]
                chance.shuffle(names)
                groups[0].update(names[::2])
                groups[1].update(names[1::2])
            sides = self._sides[height] = frozenset(groups[0]), frozenset(groups[1])
        return sides

    def _say_by_side(self, to: tuple[str, ...], height: int, words: tuple[Message, Message]) -> list[Effect]:
        """Each side hears its word, and other liars both."""
        sides = self._split(height)
        said: list[Effect] = []
        for word, stranger in zip(words, reversed(sides), strict=True):
            names = tuple(name for name in to if name not in stranger)
            if names:
                said.append(Send(names, word))
        return said

    # -- behaviours --------------------------------------------------------------------------------------------

    def _withhold(self, send: Send) -> list[Effect]:
        if type(send.message) is Mined and not self._targets:
            if header_hash(self._context.crypto, send.message.block.header) in self._shown:
                return [send]
            self._secret.append(send)
            return []
        heard = tuple(name for name in send.to if name not in self._targets) if self._targets else ()
        return [Send(heard, send.message)] if heard else []

    def _show(self, height: int) -> list[Effect]:
        """What a selfish miner shows when another has found a block: as much as is needed to have that one lost.

        I. Eyal and E. G. Sirer, "Majority is not enough: Bitcoin mining is vulnerable" (FC 2014), Algorithm 1: all
        of its secret branch if that is ahead by one at most, else up to the same height.
        """
        top = max((_height_of(send) for send in self._secret), default=0)
        due = [send for send in self._secret if top <= height + 1 or _height_of(send) <= height]
        self._secret = [send for send in self._secret if send not in due]
        self._shown |= {header_hash(self._context.crypto, send.message.block.header) for send in due}  # type: ignore[union-attr]  # it is `Mined`
        return [*due]

    def _censors(self, event: Received) -> bool:
        """Whether this approval never comes to its pool: so it proposes nothing of it, and is honest otherwise."""
        if self._fault.behaviour is not Behaviour.CENSOR or type(event.message) is not Approve:
            return False
        body = event.message.transaction.body
        if self._targets:
            return body.author in self._targets
        return bool(self._context.crypto.hash_struct(body)[-1] & 1)

    def _equivocate(self, send: Send) -> list[Effect]:
        to, message = send.to, send.message
        match message:
            case Propose() if message.signature not in self._others:
                place = message.body.height, message.body.round
                if message not in self._proposals.get(place, ()):
                    self._note(message)
                    self._note(self._vary(message))
                one, other = self._proposals[place][:2]
                return self._say_by_side(to, place[0], (one, other))
            case Vote() if message.voter == self._context.me:
                body = message.body
                blocks = [proposal.body.block for proposal in self._proposals.get((body.height, body.round), ())]
                if not blocks:
                    return [send]
                words = self._revote(message, blocks[0]), self._revote(message, (*blocks, NIL)[1])
                return self._say_by_side(to, body.height, words)
            case Finalised(certificate=OrdererCertificate()) if message.block.header.proposer == self._context.me:
                header = self._postpone(message.block.header, 1)
                certificate = OrdererCertificate(self._context.crypto.sign(header))
                rival = Finalised(Block(header, message.block.transactions), certificate)
                return self._say_by_side(to, header.height, (message, rival))
            case _:
                return [send]

    def _lie(self, send: Send) -> list[Effect]:
        message = send.message
        match message:
            case Propose() if message.signature not in self._others:
                if message.signature not in self._lies:
                    self._note(message)
                    self._lies[message.signature] = [Send(send.to, self._spoil(message))]
            case Vote() if message.voter == self._context.me:
                if message.signature not in self._lies:
                    self._lies[message.signature] = self._misvote(send.to, message)
            case _:
                return [send]
        return self._lies[message.signature]

    # -- lies --------------------------------------------------------------------------------------------------

    def _postpone(self, header: Header, delay_ns: int) -> Header:
        return replace(header, timestamp=header.timestamp + delay_ns)

    def _sign(self, proposal: Propose, block: Block, block_hash: bytes | None = None) -> Propose:
        """The proposal with another block, or only another hash."""
        crypto = self._context.crypto
        body = replace(proposal.body, block=block_hash or header_hash(crypto, block.header))
        return Propose(body, block, crypto.sign(body))

    def _vary(self, proposal: Propose) -> Propose:
        """Another proposal, as valid as the first."""
        block = proposal.block
        return self._sign(proposal, Block(self._postpone(block.header, 1), block.transactions))

    def _revote(self, vote: Vote, block: bytes) -> Vote:
        if block == vote.body.block:
            return vote
        body = replace(vote.body, block=block)
        return Vote(body, vote.voter, self._context.crypto.sign(body))

    def _chance(self, height: int, round_: int, what: object) -> Random:
        return Random(f"{self._seed}|lie|{self._context.me}|{height}|{round_}|{what}")

    def _spoil(self, proposal: Propose) -> Propose:
        """A proposal that nobody may accept, for one of several reasons."""
        block, crypto = proposal.block, self._context.crypto
        header, items = block.header, block.transactions
        chance = self._chance(header.height, proposal.body.round, "propose")
        noise = crypto.hash(chance.randbytes(16))
        kind = chance.choice(("parent", "root", "unendorsed", "twice", "future", "height", "hash"))
        if kind == "hash":
            return self._sign(proposal, block, noise)
        if kind in {"unendorsed", "twice"}:
            first = items[0]
            items = (replace(first, endorsements=()), *items[1:]) if kind == "unendorsed" else (first, *items)
            root = crypto.merkle_tree(tuple(map(leaf_bytes, items))).root
            header = replace(header, merkle_root=root, size=len(items))
        changes = {
            "parent": replace(header, previous=noise),
            "root": replace(header, merkle_root=noise),
            "future": self._postpone(header, FUTURE_NS),
            "height": replace(header, height=header.height + 1),
        }
        return self._sign(proposal, Block(changes.get(kind, header), items))

    def _misvote(self, to: tuple[str, ...], vote: Vote) -> list[Effect]:
        """A vote for none where it meant a block, or for whatever there is; and now and then a forged block."""
        body, crypto = vote.body, self._context.crypto
        chance = self._chance(body.height, body.round, body.step)
        proposals = self._proposals.get((body.height, body.round), [])
        choices = [NIL, crypto.hash(chance.randbytes(16)), *(proposal.body.block for proposal in proposals)]
        wrong = [block for block in choices if block != body.block]
        lies: list[Effect] = [Send(to, self._revote(vote, chance.choice(wrong)))]
        if proposals:
            block = proposals[0].block
            keepers = self._context.names(Role.COORDINATOR) + self._context.names(Role.CONTRIBUTOR)
            lies.append(Send((*to, *keepers), Finalised(block, self._forge(block))))
        return lies

    def _forge(self, block: Block) -> StakeCertificate:
        """A certificate in everybody's name, with a signature that is its own."""
        header, crypto = block.header, self._context.crypto
        body = VoteBody(header.chain, header.height, 0, 2, header_hash(crypto, header))
        signature = crypto.sign(body)
        return StakeCertificate(
            0, tuple(Attestation(name, signature) for name in self._context.names(Role.ADMINISTRATOR))
        )
