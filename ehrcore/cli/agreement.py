"""`ehrcore agreement`: what a patient and a provider agree on, drafted, signed by one and submitted by the other."""

import argparse
import base64
import secrets
import time
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from ehrcore.agreements import Agreement, AgreementBody, Termination, Terms, agreement_id
from ehrcore.cli.chain import read_chain
from ehrcore.cli.desk import context_of, settle_aloud, sign_payload
from ehrcore.cli.format import parse_digest, show_time
from ehrcore.cli.output import write_output
from ehrcore.cli.records import Nonces
from ehrcore.codec import decode, encode
from ehrcore.crypto import Crypto
from ehrcore.drafting import parse_clauses, write_clauses
from ehrcore.drive.net.client import folder_of
from ehrcore.drive.net.files import indented, read_file, write_file
from ehrcore.drive.net.keys import SIGNING_FILE, open_signer
from ehrcore.drive.net.persons import Person, home_of, open_person
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import CodecError, DeploymentError
from ehrcore.identity import Capacity
from ehrcore.ledger import open_crypto
from ehrcore.rules import AUTHORITY
from ehrcore.state import ChainState
from ehrcore.types import SECOND, NodeId, Role

FORMAT: Final = "ehrcore-agreement-1"
MOST_DRAFT_BYTES: Final = 1 << 16
_DAY: Final = 86_400 * SECOND
_WANTED: Final = "agreement {}: expected a final and valid one"


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agreement on its way: ``terms`` is base64 of their canonical bytes, which is what ``signer`` has signed."""

    format: str
    chain: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32,64}\Z")]
    terms: str
    signer: NodeId | None = None
    signature: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")] | None = None


def propose(options: argparse.Namespace) -> int:
    """Write a draft between whoever proposes and the other party, one of whom has to be a patient."""
    folder, plan = folder_of(options.folder)
    clauses = parse_clauses(read_clauses(options.clauses))
    me = open_person(folder, plan, options.person)
    now, state = time.time_ns(), read_chain(folder, plan)
    both = [_find(state, name, now) for name in (me.subject, _subject_of(folder, plan, options.other))]
    patients = [body for body in both if body.capacity is Capacity.PATIENT]
    if len(patients) != 1:
        raise DeploymentError(f"--with: expected one patient among both parties, found {len(patients)}")
    patient, provider = sorted(both, key=lambda body: body.capacity is not Capacity.PATIENT)
    terms = Terms(
        patient.subject, provider.subject, patient.pseudonym, clauses, now, now + options.days * _DAY,
        secrets.token_bytes(16),
    )  # fmt: skip
    draft = Draft(format=FORMAT, chain=plan.chain, terms=base64.b64encode(encode(terms)).decode())
    write_output(options.output, _text_of(draft))
    return 0


def sign(options: argparse.Namespace) -> int:
    """Print the terms and write the signature of ``--as`` into the draft."""
    folder, plan = folder_of(options.folder)
    draft, terms = read_draft(options.draft, plan.chain)
    me = open_person(folder, plan, options.person)
    _require_party(terms, me, draft.signer)
    print("\n".join(_show(me.crypto, plan, terms)))
    signature = me.crypto.sign(AgreementBody(bytes.fromhex(plan.chain), terms))
    signed = msgspec.structs.replace(draft, signer=me.subject, signature=signature.hex())
    write_file(options.draft, _text_of(signed), is_secret=True)
    return 0


def submit(options: argparse.Namespace) -> int:
    """Hand in what the other party has signed; 1 if it is refused or not final in time."""
    folder, plan = folder_of(options.folder)
    draft, terms = read_draft(options.draft, plan.chain)
    if draft.signer is None or draft.signature is None:
        raise DeploymentError(f"{options.draft}: expected the other party's signature, found none")
    me = open_person(folder, plan, options.person)
    _require_party(terms, me, draft.signer)
    print("\n".join(_show(me.crypto, plan, terms)))
    context, nonces = context_of(plan, me.subject, me.crypto), Nonces(home_of(folder, plan, options.person))
    tx = sign_payload(context, nonces, Agreement(terms, bytes.fromhex(draft.signature)))
    return settle_aloud(folder, plan, tx, options, _WANTED.format(options.action))


def terminate(options: argparse.Namespace) -> int:
    """End an agreement; 1 if that is refused or not final in time."""
    folder, plan = folder_of(options.folder)
    payload = Termination(parse_digest("ID", options.id))
    if options.person in {Role.AUTHORITY.value, AUTHORITY}:
        author, home = AUTHORITY, folder.authority
        _, crypto = open_signer(home / SIGNING_FILE, plan.open_genesis().params)
    else:
        me = open_person(folder, plan, options.person)
        crypto, author, home = me.crypto, me.subject, home_of(folder, plan, options.person)
    tx = sign_payload(context_of(plan, author, crypto), Nonces(home), payload)
    return settle_aloud(folder, plan, tx, options, _WANTED.format(options.action))


def list(options: argparse.Namespace) -> int:  # noqa: A001 - the name of the command
    """Print what is in force or to come, as the chain's own blocks have it."""
    folder, plan = folder_of(options.folder)
    subject = None if options.person is None else _subject_of(folder, plan, options.person)
    state, now = read_chain(folder, plan), time.time_ns()
    crypto = open_crypto(plan.open_genesis().params)
    for standing in state.agreements.standings.content().values():
        terms = standing.terms
        if terms is None or now >= terms.not_after or (subject is not None and subject not in terms.parties):
            continue
        print("\n".join(_show(crypto, plan, terms)))
        print(f"uses       {standing.uses}\n")
    return 0


# -- files -------------------------------------------------------------------------------------------------------------


def read_clauses(path: Path) -> Any:
    """The plain values of a TOML or JSON file of clauses; `DeploymentError` names a file that is neither."""
    data, is_json = read_file(path, MOST_DRAFT_BYTES), path.suffix == ".json"
    try:
        return msgspec.json.decode(data) if is_json else tomllib.loads(data.decode())
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        found = str(error) if len(str(error)) < 200 else type(error).__name__  # noqa: PLR2004 - one line
        raise DeploymentError(f"{path}: expected {'JSON' if is_json else 'TOML'}, found: {found}") from None


def read_draft(path: Path, chain: str) -> tuple[Draft, Terms]:
    """A draft for this chain and its terms; `DeploymentError` says what is wrong with the file."""
    try:
        draft = msgspec.json.decode(read_file(path, MOST_DRAFT_BYTES), type=Draft)
        terms = decode(base64.b64decode(draft.terms, validate=True), Terms)
    except (msgspec.DecodeError, CodecError, ValueError, RecursionError) as error:
        raise DeploymentError(f"{path}: expected the draft of an agreement, found: {error}") from None
    for what, expected, found in (("format", FORMAT, draft.format), ("chain", chain, draft.chain)):
        if found != expected:
            raise DeploymentError(f"{path}: {what}: expected {expected}, found {found[:80]!r}")
    return draft, terms


def _text_of(draft: Draft) -> bytes:
    return indented(draft, 1) + b"\n"


# -- parties and terms -------------------------------------------------------------------------------------------------


def _subject_of(folder: NetworkFolder, plan: NetworkPlan, name: str) -> str:
    """The name on the chain of an alias of this host; any other name is one."""
    if name in plan.nodes:
        return name
    path = folder.path / "persons" / name / "subject"
    try:
        return read_file(path, 128).decode().strip() if "/" not in name and path.exists() else name
    except UnicodeDecodeError:
        raise DeploymentError(f"{path}: expected a subject's name, found something else") from None


def _find(state: ChainState, subject: str, now: int) -> Any:
    reason, body = state.registry.check(subject, Role.VISITOR, now)
    if body is None:
        raise DeploymentError(f"{subject[:80]}: expected a certificate in force on the chain, found: {reason.value}")
    return body


def _require_party(terms: Terms, me: Person, signer: str | None) -> None:
    if me.subject not in terms.parties:
        raise DeploymentError(f"--as: expected one of {', '.join(terms.parties)}, found {me.subject}")
    if me.subject == signer:
        raise DeploymentError(f"--as: expected the party that has not signed yet, found {signer}")


def _show(crypto: Crypto, plan: NetworkPlan, terms: Terms) -> tuple[str, ...]:
    """The terms in words: what is signed must have been seen."""
    return (
        f"agreement  {agreement_id(crypto, bytes.fromhex(plan.chain), terms).hex()}",
        f"patient    {terms.patient} ({terms.pseudonym.hex()})",
        f"provider   {terms.provider}",
        f"period     {show_time(terms.not_before)} to {show_time(terms.not_after)}",
        *(f"clause     {line}" for line in write_clauses(terms.clauses)),
    )
