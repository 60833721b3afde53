"""Who votes with how much at each height, recounted from the chain's own orders, with an arithmetic of its own."""

from collections.abc import Collection

from ehrcore.block import Bond, Evidence, Payload, Transaction, Unbond
from ehrcore.codec import encode
from ehrcore.consensus.validators import TURNS
from ehrcore.crypto import Crypto
from ehrcore.hashing import find_suite
from ehrcore.network import Network
from ehrcore.signing import find_scheme


class InvariantError(AssertionError):
    """An invariant that does not hold: ``rule`` names it; height and round are -1 where there is none."""

    def __init__(self, rule: str, detail: str, height: int = -1, round_: int = -1, nodes: Collection[str] = ()) -> None:
        place = f"height {height}" * (height >= 0) + f", round {round_}" * (round_ >= 0)
        super().__init__(": ".join(filter(None, (rule, place, ", ".join(nodes), detail))))
        self.rule, self.height, self.round, self.nodes = rule, height, round_, tuple(nodes)


class Weights:
    """Stakes by height; see `ehrcore.faults.invariants` for the arguments."""

    def __init__(self, network: Network, faulty: frozenset[str], overlooked: frozenset[str]) -> None:
        params, self._genesis, self._faulty = network.params, network.chain, faulty
        self._params, self._overlooked = params, overlooked
        self._suite = find_suite(params.hash_suite)
        self._crypto = Crypto(self._suite, find_scheme(network.scheme))
        members = {item.body.subject: item.body for item in network.certificates if item.body.stake}
        self._keys = {name: members[name].public_key for name in sorted(members)}
        #: Stake now, and by height: what a block orders is in force two heights later.
        self._bonded = {name: members[name].stake for name in sorted(members)}
        self._weights = {height: dict(self._bonded) for height in (1, 2)}
        self._punished: set[tuple[str, int]] = set()

    def _fail(
        self, node: str, rule: str, detail: str, height: int = -1, round_: int = -1, others: Collection[str] = ()
    ) -> None:
        if rule not in self._overlooked:
            raise InvariantError(rule, detail, height, round_, (node, *others))

    def _hash(self, value: object) -> bytes:
        return self._suite.hash(encode(value))

    def _tx_id(self, transaction: Transaction) -> bytes:
        return self._hash(transaction.body)

    def _stake(self, nodes: Collection[str], height: int) -> int:
        return sum(self._weights[height].get(node, 0) for node in set(nodes))

    def _is_quorum(self, nodes: Collection[str], height: int) -> bool:
        return 3 * self._stake(nodes, height) > 2 * sum(self._weights[height].values())

    def _proposer(self, height: int, round_: int) -> str:
        if (turn := TURNS.get(self._params.consensus)) is not None:
            return turn(dict(self._weights[height]), height, round_)
        tickets = [name for name, stake in self._weights[height].items() for _ in range(stake)]
        return tickets[int.from_bytes(self._hash(("proposer", self._genesis, height, round_))) % len(tickets)]

    def _voters_digest(self, height: int) -> bytes:
        weights = self._weights[height]
        return self._hash(("validators", tuple((name, weights[name], self._keys[name]) for name in weights)))

    def _is_signed(self, node: str, body: object, signature: bytes) -> bool:
        return node in self._keys and self._crypto.verify(self._keys[node], body, signature)

    def _carry_out(self, node: str, height: int, payload: Payload) -> None:
        """What a final block orders about stake, as `ehrcore.stakes` says that it is to be done."""
        bonded, total = self._bonded, sum(self._bonded.values())
        match payload:
            case Evidence(offender=offender, first=first) if self._convicts(payload) and first.body.height <= height:
                self._require_guilt(offender, node, "convicted")
                if (offender, first.body.height) not in self._punished:
                    self._punished.add((offender, first.body.height))
                    lost = -(-bonded[offender] * self._params.stake.slash_percent // 100)
                    bonded[offender] -= lost if lost < total else 0
            case Bond(node=name, amount=amount) if name in bonded:
                bonded[name] += amount
            case Unbond(node=name, amount=amount) if amount <= bonded.get(name, 0) and amount < total:
                bonded[name] -= amount
            case _:
                pass

    def _convicts(self, evidence: Evidence) -> bool:
        bodies = evidence.first.body, evidence.second.body
        places = {(body.chain, body.height, body.round, getattr(body, "step", 0)) for body in bodies}
        words = (evidence.first, evidence.second)
        are_signed = all(self._is_signed(evidence.offender, word.body, word.signature) for word in words)
        return bodies[0] != bodies[1] and len(places) == 1 and bodies[0].chain == self._genesis and are_signed

    def _require_guilt(self, offender: str, node: str, verb: str) -> None:
        if offender not in self._faulty:
            self._fail(node, "evidence", f"{verb} {offender}, which has kept to the protocol")
