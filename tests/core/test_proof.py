"""A proof holds by itself, and whoever changes anything that it shows is found out, by name."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.block import (
    ApprovalBody,
    Attestation,
    CommitCertificate,
    EndorsedTransaction,
    EndorsementBody,
    Genesis,
    Header,
    StakeCertificate,
    Transaction,
    WorkCertificate,
    leaf_bytes,
)
from ehrcore.codec import decode, encode
from ehrcore.consensus.finality import header_hash
from ehrcore.drive.cost import FREE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Persist, Requested
from ehrcore.errors import ProofError
from ehrcore.hashing import find_suite
from ehrcore.identity import Certificate, Reason
from ehrcore.ledger import MemoryLedger
from ehrcore.merkle import MerkleTree
from ehrcore.messages import Receipt, ReceiptEntry, sign_receipt, verdict_body
from ehrcore.network import found_network
from ehrcore.params import ChainParams, ConsensusRule, Limits, Topology, WorkRule
from ehrcore.proof import Proof, Verified, Verifier, build_proof, decode_proof, encode_proof, verify_proof
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import MINUTE, Role

BODIES = [b'{"resourceType":"Claim","n":%d}' % number for number in range(5)]


def make_chain(rule: ConsensusRule = ConsensusRule.PROOF_OF_STAKE, **given: Any) -> tuple[Genesis, list[Persist]]:
    """A simulated network's genesis and its blocks, with real signatures."""
    params = ChainParams(
        "demo",
        given.pop("topology", Topology(3, 2, 4, 1, 1)),
        2,
        2,
        consensus=rule,
        limits=Limits(max_transactions=5, max_wait_ns=MINUTE // 60),
        work=WorkRule(difficulty=4, confirmations=2),
        **given,
    )
    network = found_network(params, "cryptography", "proofs")
    ledger = MemoryLedger()
    simulation = Simulation(network, SimSetup("demo", FREE), lambda *_: None, {"contributor-0": ledger})
    for number, body in enumerate(BODIES):
        record = ClinicalRecord(RecordKind.BILL, "p", "Claim", f"/hospital/{number}.json", body)
        simulation.inject(number, "visitor-0", Requested(record, network.authority.pseudonym("p")))
    simulation.run(10 * MINUTE)
    return Genesis(network.params, network.certificates), list(ledger.entries)


def make_receipt(genesis: Genesis, persist: Persist, index: int) -> Receipt:
    leaves = [leaf_bytes(item) for item in persist.block.transactions]
    path = MerkleTree(find_suite(genesis.params.hash_suite), leaves).prove_inclusion(index)
    entry = ReceiptEntry(leaves[index], index, path, persist.reasons[index])
    return signed_receipt(genesis, persist.block.header, persist.certificate, entry)


def signed_receipt(genesis: Genesis, header: Header, certificate: CommitCertificate, entry: ReceiptEntry) -> Receipt:
    crypto = found_network(genesis.params, "cryptography", "proofs").crypto("contributor-0")
    return sign_receipt(crypto, "contributor-0", (header, certificate), header_hash(crypto, header), (entry,), ())


CHAINS: dict[ConsensusRule, tuple[Genesis, list[Persist]]] = {rule: make_chain(rule) for rule in ConsensusRule}
GENESIS, BLOCKS = CHAINS[ConsensusRule.PROOF_OF_STAKE]
RECEIPT = make_receipt(GENESIS, BLOCKS[0], 3)


def proven(genesis: Genesis, receipt: Receipt) -> Proof:
    return build_proof(genesis, receipt, (receipt.word,))


PROOF = build_proof(GENESIS, RECEIPT, (RECEIPT.word,))
CHAIN = bytes.fromhex(PROOF.chain)


def proof_of(genesis: Genesis = GENESIS, receipt: Receipt = RECEIPT) -> Proof:
    """A proof file that nobody has checked."""
    blobs = [base64.b64encode(encode(value)).decode() for value in (genesis, receipt, (receipt.word,), ())]
    return Proof("ehrcore-proof-2", PROOF.chain, *blobs)


@pytest.mark.parametrize("rule", ConsensusRule)
def test_every_transaction_of_a_chain_can_be_proven_under_every_rule(rule: ConsensusRule) -> None:
    genesis, blocks = CHAINS[rule]
    found: list[Verified] = []
    for persist in blocks:
        for index in range(len(persist.block.transactions)):
            proof = decode_proof(encode_proof(proven(genesis, make_receipt(genesis, persist, index))))
            shown = verify_proof(proof, bytes.fromhex(proof.chain))
            assert shown.endorsed == persist.block.transactions[index]
            assert shown.header == persist.block.header
            found.append(shown)
    assert len({shown.tx_id for shown in found}) == len(BODIES)


def test_a_proof_shows_the_record_and_no_other() -> None:
    location = verify_proof(PROOF).endorsed.transaction.body.payload.location  # type: ignore[union-attr]
    mine = BODIES[int(location.removeprefix("/hospital/").removesuffix(".json"))]
    assert verify_proof(PROOF, CHAIN, mine).reason is Reason.ACCEPTED
    for other in (b"", mine + b"\n", next(body for body in BODIES if body != mine)):
        with pytest.raises(ProofError, match="^record: expected the bytes"):
            verify_proof(PROOF, CHAIN, other)


def test_a_reader_who_knows_the_chain_takes_no_other() -> None:
    genesis, blocks = make_chain(hash_suite="blake2b")
    proof = proven(genesis, make_receipt(genesis, blocks[0], 0))
    assert verify_proof(proof).chain.hex() == proof.chain
    with pytest.raises(ProofError, match=f"expected the reader's chain {CHAIN.hex()}"):
        verify_proof(proof, CHAIN)


@given(st.sampled_from(["genesis", "receipt"]), st.integers(0, 1 << 20), st.integers(1, 255))
def test_no_byte_can_be_changed(part: str, place: int, mask: int) -> None:
    """But for the verdict, which is claimed and not proven (and a byte of it spells no other verdict)."""
    data = bytearray(base64.b64decode(getattr(PROOF, part)))
    data[place % len(data)] ^= mask
    changed = msgspec.structs.replace(PROOF, **{part: base64.b64encode(bytes(data)).decode()})
    with pytest.raises(ProofError):
        verify_proof(changed)


def _other_leaf() -> Receipt:
    other = make_receipt(GENESIS, BLOCKS[0], 2).entries[0]
    return _with_entry(leaf=other.leaf)


def _with_entry(**given: Any) -> Receipt:
    return msgspec.structs.replace(RECEIPT, entries=(msgspec.structs.replace(RECEIPT.entries[0], **given),))


def _with_header(**given: Any) -> Receipt:
    return msgspec.structs.replace(RECEIPT, header=msgspec.structs.replace(RECEIPT.header, **given))


def _with_votes(change: Any) -> Receipt:
    certificate = RECEIPT.certificate
    assert isinstance(certificate, StakeCertificate)
    return msgspec.structs.replace(RECEIPT, certificate=StakeCertificate(certificate.round, change(certificate.votes)))


def _without_endorsement() -> Receipt:
    """A leaf that lacks one of the two endorsements, in a tree of its own: what a forger of the tree would show."""
    endorsed = BLOCKS[0].block.transactions[3]
    leaf = encode(msgspec.structs.replace(endorsed, endorsements=endorsed.endorsements[:1]))
    return _with_entry(leaf=leaf)


TAMPERED = {
    "another leaf": (_other_leaf, "inclusion proof: expected root"),
    "another place": (lambda: _with_entry(index=2), "inclusion proof: expected root"),
    "a place outside": (lambda: _with_entry(index=5), "inclusion proof: expected 0 <= index < 5"),
    "a shorter path": (lambda: _with_entry(path=RECEIPT.entries[0].path[:-1]), "expected a longer path"),
    "an endorsement left out": (_without_endorsement, "inclusion proof: expected root"),
    "no transaction": (lambda: msgspec.structs.replace(RECEIPT, entries=()), "expected one transaction, found 0"),
    "two transactions": (
        lambda: msgspec.structs.replace(RECEIPT, entries=RECEIPT.entries * 2),
        "expected one transaction, found 2",
    ),
    "another Merkle root": (lambda: _with_header(merkle_root=bytes(32)), "expected the precommit"),
    "another time": (lambda: _with_header(timestamp=RECEIPT.header.timestamp + 1), "expected the precommit"),
    "another chain": (lambda: _with_header(chain=bytes(32)), "expected a block of chain"),
    "no votes": (lambda: _with_votes(lambda votes: votes[:0]), "expected more than two thirds of stake 4, found 0"),
    "two votes of four": (lambda: _with_votes(lambda votes: votes[:2]), "of stake 4, found 2"),
    "one vote thrice": (lambda: _with_votes(lambda votes: votes[:1] * 3), "expected distinct administrators"),
    "a vote by another": (
        lambda: _with_votes(lambda votes: (msgspec.structs.replace(votes[0], node=votes[1].node), *votes[2:])),
        "expected the precommit",
    ),
    "another rule's certificate": (
        lambda: msgspec.structs.replace(RECEIPT, certificate=WorkCertificate(())),
        "expected one for rule pos",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_receipt_is_named(name: str) -> None:
    tamper, expected = TAMPERED[name]
    with pytest.raises(ProofError, match=expected):
        verify_proof(proof_of(receipt=tamper()))


def test_a_forged_author_is_found_though_the_tree_is_right() -> None:
    """Administrators who all collude can certify a block of anything, but sign for nobody else."""
    genesis, blocks = make_chain(ConsensusRule.SINGLE_ORDERER)
    network = found_network(genesis.params, "cryptography", "proofs")
    endorsed = blocks[0].block.transactions[0]
    body = msgspec.structs.replace(endorsed.transaction.body, nonce=77)
    forged = msgspec.structs.replace(endorsed, transaction=msgspec.structs.replace(endorsed.transaction, body=body))
    leaf = leaf_bytes(forged)
    crypto = network.crypto("administrator-0")
    header = msgspec.structs.replace(blocks[0].block.header, merkle_root=MerkleTree(crypto.suite, [leaf]).root, size=1)
    certificate = msgspec.structs.replace(blocks[0].certificate, signature=crypto.sign(header))
    receipt = signed_receipt(genesis, header, certificate, ReceiptEntry(leaf, 0, (), Reason.ACCEPTED))
    assert Verifier(genesis).locate(receipt).endorsed == forged
    with pytest.raises(ProofError, match="expected one that genesis bears out, found: bad-signature"):
        Verifier(genesis).verify(receipt)


def _forge_leaf(change: Any) -> str:
    """What is said of a leaf that the orderer has certified although it breaks a policy."""
    genesis, blocks = CHAINS[ConsensusRule.SINGLE_ORDERER]
    crypto = found_network(genesis.params, "cryptography", "proofs").crypto("administrator-0")
    leaf = leaf_bytes(change(blocks[0].block.transactions[0]))
    header = msgspec.structs.replace(blocks[0].block.header, merkle_root=MerkleTree(crypto.suite, [leaf]).root, size=1)
    certificate = msgspec.structs.replace(blocks[0].certificate, signature=crypto.sign(header))
    with pytest.raises(ProofError) as refused:
        Verifier(genesis).verify(
            signed_receipt(genesis, header, certificate, ReceiptEntry(leaf, 0, (), Reason.ACCEPTED))
        )
    return str(refused.value)


def test_a_certified_leaf_that_breaks_a_policy_proves_nothing() -> None:
    replace = msgspec.structs.replace
    assert "endorsement-policy" in _forge_leaf(lambda leaf: replace(leaf, endorsements=leaf.endorsements[:1]))
    assert "endorsement-policy" in _forge_leaf(lambda leaf: replace(leaf, endorsements=leaf.endorsements[:1] * 2))
    assert "approval-policy" in _forge_leaf(lambda leaf: replace(leaf, approvals=leaf.approvals[1:]))
    assert "approval-policy" in _forge_leaf(lambda leaf: replace(leaf, outcome=bytes(32)))


def test_a_genesis_that_does_not_hold_by_itself_is_refused() -> None:
    stranger = found_network(ChainParams("demo", Topology(1, 1, 1, 1), 1, 1), "cryptography", "others").certificates
    for certificates, expected in (
        (GENESIS.certificates[:-1] + stranger[:1], "genesis: certificate of visitor-0"),
        ((), "genesis: validator set"),
    ):
        with pytest.raises(ProofError, match=expected):
            verify_proof(proof_of(genesis=msgspec.structs.replace(GENESIS, certificates=certificates)))
    modelled = msgspec.structs.replace(GENESIS, params=msgspec.structs.replace(GENESIS.params, is_modelled=True))
    with pytest.raises(ProofError, match="found a modelled one"):
        verify_proof(proof_of(genesis=modelled))


def test_one_administrator_less_is_another_chain() -> None:
    fewer = tuple(item for item in GENESIS.certificates if item.body.subject != "administrator-3")
    with pytest.raises(ProofError, match="expected the proof's chain"):
        verify_proof(proof_of(genesis=msgspec.structs.replace(GENESIS, certificates=fewer)))


FILES = {
    "empty": (b"", "expected the JSON of one"),
    "no JSON": (b"proof", "expected the JSON of one"),
    "not UTF-8": (b'{"format":"\xff"}', "expected the JSON of one"),
    "an array": (b"[]", "expected the JSON of one"),
    "nested too deeply": (b'{"format":' + b"[" * 100_000, "expected the JSON of one"),
    "a field missing": (b'{"format":"ehrcore-proof-2"}', "missing required field `chain`"),
    "a field too many": (encode_proof(PROOF).replace(b"{", b'{"valid":true,', 1), "unknown field `valid`"),
    "another format": (encode_proof(PROOF).replace(b"proof-2", b"proof-1"), "expected format ehrcore-proof-2"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_proof_is_named(name: str) -> None:
    data, expected = FILES[name]
    with pytest.raises(ProofError, match=expected):
        decode_proof(data)


@pytest.mark.parametrize("part", ["genesis", "receipt"])
@pytest.mark.parametrize("spoil", ["{0:.0}", "{0:.40}", "{0} ", "{0}é"])
def test_a_part_that_is_not_canonical_bytes_in_base64_is_named(part: str, spoil: str) -> None:
    with pytest.raises(ProofError, match=f"{part}: expected base64 of canonical bytes"):
        verify_proof(msgspec.structs.replace(PROOF, **{part: spoil.format(getattr(PROOF, part))}))


def test_a_verdict_is_what_most_contributors_have_signed() -> None:
    genesis, blocks = make_chain(topology=Topology(3, 2, 4, 3, 1))
    receipt = make_receipt(genesis, blocks[0], 0)
    words = [_word(genesis, receipt, f"contributor-{index}") for index in range(3)]
    shown = verify_proof(build_proof(genesis, receipt, words[:2]))
    assert (shown.reason, shown.witnesses) == (Reason.ACCEPTED, ("contributor-0", "contributor-1"))
    outsiders = (
        _word(genesis, receipt, "coordinator-0"),
        _word(genesis, make_receipt(genesis, blocks[0], 1), "contributor-2"),
    )
    for few in ((), words[:1], [words[0], words[0]], *([words[0], outsider] for outsider in outsiders)):
        with pytest.raises(ProofError, match="verdict: expected"):
            build_proof(genesis, receipt, few)


def test_contributors_that_came_later_make_no_majority() -> None:
    genesis, blocks = make_chain(topology=Topology(3, 2, 4, 3, 1))
    network, receipt = found_network(genesis.params, "cryptography", "proofs"), make_receipt(genesis, blocks[0], 0)
    made, words = [], [receipt.word]
    for index in (7, 8):
        key, name = network.keys[f"agent-{index - 7}"], f"contributor-{index}"
        made.append(network.authority.certify(name, Role.CONTRIBUTOR, key.public_bytes))
        words.append(Attestation(name, _word(genesis, receipt, f"agent-{index - 7}").signature))
    for signed in (words, words[1:]):
        with pytest.raises(ProofError, match="verdict: expected distinct signatures of 2 contributors"):
            build_proof(genesis, receipt, signed, made)


def test_another_verdict_than_the_signed_one_is_found() -> None:
    with pytest.raises(ProofError, match="verdict: expected the signature of a ledger keeper"):
        verify_proof(proof_of(receipt=_with_entry(reason=Reason.REPLAYED)))


def _word(genesis: Genesis, receipt: Receipt, keeper: str) -> Attestation:
    crypto = found_network(genesis.params, "cryptography", "proofs").crypto(keeper)
    body = verdict_body(receipt.header.chain, header_hash(crypto, receipt.header), receipt.entries)
    return Attestation(keeper, crypto.sign(body))


def test_what_is_built_is_what_is_read() -> None:
    assert decode_proof(encode_proof(PROOF)) == PROOF
    assert decode(base64.b64decode(PROOF.receipt), Receipt) == RECEIPT
    assert decode(base64.b64decode(PROOF.genesis), Genesis) == GENESIS


def test_nothing_is_built_from_a_receipt_that_does_not_hold() -> None:
    with pytest.raises(ProofError, match="expected root"):
        proven(GENESIS, _with_entry(index=2))


# -- certificates that are younger than the chain -------------------------------------------------------------------


def _by_a_person() -> tuple[Genesis, Receipt, Certificate]:
    """A receipt of a transaction whose author was enrolled later, certified by a single orderer."""
    genesis, blocks = CHAINS[ConsensusRule.SINGLE_ORDERER]
    network = found_network(genesis.params, "cryptography", "proofs")
    key = network.keys["agent-0"]
    person = network.authority.certify("person-1", Role.VISITOR, key.public_bytes, kinds=tuple(range(1, 8)))
    crypto, endorsed = network.crypto("administrator-0"), blocks[0].block.transactions[0]
    body = msgspec.structs.replace(endorsed.transaction.body, author="person-1")
    tx_id = crypto.hash_struct(body)
    words = [
        tuple(
            Attestation(item.node, network.crypto(item.node).sign(make(genesis_chain(genesis), tx_id, item.node)))
            for item in given
        )
        for given, make in (
            (endorsed.endorsements, lambda chain, tx, node: EndorsementBody(chain, tx, node, Reason.ACCEPTED)),
            (endorsed.approvals, lambda chain, tx, node: ApprovalBody(chain, tx, node, endorsed.outcome)),
        )
    ]
    signed = Transaction(body, network.crypto("agent-0").sign(body))
    leaf = leaf_bytes(EndorsedTransaction(signed, words[0], endorsed.outcome, words[1]))
    header = msgspec.structs.replace(blocks[0].block.header, merkle_root=MerkleTree(crypto.suite, [leaf]).root, size=1)
    certificate = msgspec.structs.replace(blocks[0].certificate, signature=crypto.sign(header))
    entry = ReceiptEntry(leaf, 0, (), Reason.ACCEPTED)
    return genesis, signed_receipt(genesis, header, certificate, entry), person


def genesis_chain(genesis: Genesis) -> bytes:
    return Verifier(genesis).chain


def test_what_a_person_has_signed_is_proven_with_her_certificate() -> None:
    genesis, receipt, person = _by_a_person()
    with pytest.raises(ProofError, match="unknown-author"):
        build_proof(genesis, receipt, (receipt.word,))
    proof = build_proof(genesis, receipt, (receipt.word,), (person,))
    assert verify_proof(decode_proof(encode_proof(proof))).endorsed.transaction.body.author == "person-1"


def test_a_certificate_that_is_not_the_authoritys_proves_nothing() -> None:
    genesis, receipt, person = _by_a_person()
    forged = msgspec.structs.replace(person, signature=bytes(63) + b"\1")
    with pytest.raises(ProofError, match="expected the authority's signature"):
        build_proof(genesis, receipt, (receipt.word,), (forged,))


def test_nobody_becomes_an_administrator_by_a_proof() -> None:
    genesis, _, _ = _by_a_person()
    network = found_network(genesis.params, "cryptography", "proofs")
    made = network.authority.certify(
        "administrator-9", Role.ADMINISTRATOR, network.keys["agent-1"].public_bytes, stake=9
    )
    with pytest.raises(ProofError, match="expected none of an administrator"):
        Verifier(genesis, (made,))
