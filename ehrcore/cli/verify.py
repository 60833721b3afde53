"""`ehrcore verify-proof`: what a proof shows, what it cannot show, and what is left to its reader; from files alone."""

import argparse
import sys
from typing import Final

from ehrcore.block import LeaderCertificate, OrdererCertificate, RecordRef, StakeCertificate, WorkCertificate
from ehrcore.cli.disclosure import open_disclosure
from ehrcore.cli.format import parse_digest, show_time
from ehrcore.drive.net.files import read_file
from ehrcore.drive.net.objects import MAX_OBJECT_BYTES
from ehrcore.errors import ProofError
from ehrcore.hashing import find_suite
from ehrcore.ledger import open_crypto
from ehrcore.proof import Verified, decode_proof, verify_proof
from ehrcore.records import RecordKind
from ehrcore.wording import say_payload

#: An object in base64, and its key.
MAX_EVIDENCE_BYTES: Final = 2 * MAX_OBJECT_BYTES
Lines = list[tuple[str, str]]


def verify_file(options: argparse.Namespace) -> int:
    """Print what a proof shows and what it does not; 1 with one line if it does not hold."""
    data = read_file(options.file)
    chain = None if options.chain is None else parse_digest("--chain", options.chain)
    record = None if options.record is None else read_file(options.record, MAX_OBJECT_BYTES)
    evidence = None if options.evidence is None else read_file(options.evidence, MAX_EVIDENCE_BYTES)
    try:
        # What is sealed is compared with the chain by its evidence, else as it is stored.
        shown = verify_proof(decode_proof(data), chain, record if evidence is None else None)
        if evidence is not None:
            _compare(shown, evidence, record)
    except ProofError as error:
        sys.stderr.write(f"ehrcore: {options.file}: {error}\n")
        return 1
    print(f"{options.file}: the proof holds")
    for word, text in (*_proven(shown, options), *_claimed(shown, options)):
        print(f"{word:<8} {text}")
    return 0


def _compare(shown: Verified, evidence: bytes, record: bytes | None) -> None:
    """Raise `ProofError` unless the evidence opens what the chain declares, and that is the record."""
    payload = shown.endorsed.transaction.body.payload
    if not isinstance(payload, RecordRef):
        raise ProofError(f"evidence: expected a transaction about a record, found {type(payload).__name__.lower()}")
    found = open_disclosure(evidence, payload, open_crypto(shown.genesis.params))
    if record is not None and found != record:
        raise ProofError(f"record: expected what the evidence of transaction {shown.tx_id.hex()} holds, found another")


def _proven(shown: Verified, options: argparse.Namespace) -> Lines:
    """What follows from the genesis of the chain."""
    header, endorsed, topology = shown.header, shown.endorsed, shown.genesis.params.topology
    payload, author = endorsed.transaction.body.payload, endorsed.transaction.body.author
    if isinstance(payload, RecordRef):
        kind = RecordKind(payload.kind).name.lower().replace("_", " ")
        what = [
            f"{author} signed for a record ({kind}) of patient {payload.pseudonym.hex()} (a pseudonym)",
            f"the record is at {payload.location}, digest {payload.digest.hex()}",
        ]
    else:
        (deed, about), *more = say_payload(payload)
        what = [f"{author} {deed} {about}", *(f"{name}: {value}" for name, value in more)]
    if options.record is not None:
        what.append(f"the record is {options.record}, byte for byte")
    if options.evidence is not None:
        what.append(f"the stored object is the one in {options.evidence}, and opens to that record and to no other")
    endorsed_by = f"{len(endorsed.endorsements)} of {topology.agents} agents endorsed it"
    approved_by = f"{len(endorsed.approvals)} of {topology.coordinators} coordinators approved it"
    what += [
        f"{endorsed_by}, {approved_by}",
        f"transaction {shown.tx_id.hex()} is number {shown.index + 1} of {header.size} in block {header.height}",
        f"block {shown.block_hash.hex()} is final: {_finality(shown)}",
    ]
    return [("proven", text) for text in what]


def _finality(shown: Verified) -> str:
    match shown.certificate:
        case StakeCertificate(votes=votes):
            return f"{len(votes)} administrators with more than two thirds of the stake voted for it"
        case OrdererCertificate():
            return f"{shown.header.proposer} signed it"
        case LeaderCertificate(term=term, leader=leader):
            return f"{leader} says, as leader of term {term}, that a majority has stored it"
        case WorkCertificate(successors=successors):
            return f"{len(successors)} blocks with proof of work follow it"


def _claimed(shown: Verified, options: argparse.Namespace) -> Lines:
    """What the reader has to believe, or to find out."""
    submitted, cut = map(show_time, (shown.endorsed.transaction.body.submitted_at, shown.header.timestamp))
    verdict, count = shown.reason or "valid", shown.genesis.params.topology.contributors
    names = shown.witnesses
    lines = [
        ("signed", f"verdict {verdict}, by {len(names)} of {count} contributors: {', '.join(names)}"),
        ("claimed", f"signed at {submitted} by the author's clock, in a block of {cut} by the proposer's"),
    ]
    is_record = isinstance(shown.endorsed.transaction.body.payload, RecordRef)
    if is_record and options.record is None and options.evidence is None:
        lines.append(("open", "whether a file is that record (--record FILE)"))
    if options.chain is None:
        lines.append(("open", f"whether {shown.chain.hex()} is the right chain (--chain HEX)"))
    suite = find_suite(shown.genesis.params.hash_suite)
    if suite.is_weak:
        lines.append(("beware", f"{suite.name} is broken: two records can be made with one digest"))
    return lines
