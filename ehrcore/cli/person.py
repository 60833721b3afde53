"""`ehrcore person`: the authority enrols and revokes persons and devices; these renew their keys.

A person's keys are made where the command runs, and certified on a signed request (PKCS#10) that proves them to be
held.  An order counts once it is final: until then new keys wait beside those in use.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from ehrcore.authority import Authority
from ehrcore.block import Transaction
from ehrcore.cli.chain import read_chain
from ehrcore.cli.desk import Outcome, settle
from ehrcore.cli.format import align, show_time
from ehrcore.cli.output import write_output
from ehrcore.cli.records import Nonces, open_authority
from ehrcore.cli.words import KINDS
from ehrcore.drive.net.client import Client, folder_of
from ehrcore.drive.net.files import write_file
from ehrcore.drive.net.keys import Passphrase, kept_passphrase
from ehrcore.drive.net.persons import (
    NEXT,
    SUBJECT_FILE,
    Directory,
    Entry,
    change_directory,
    check_alias,
    check_organisation,
    home_of,
    make_keys,
    new_subject,
    open_issuer,
    open_person,
    promote,
    read_certificate,
    read_directory,
)
from ehrcore.drive.net.plan import CERTIFICATE_FILE, NetworkFolder, NetworkPlan
from ehrcore.errors import DeploymentError
from ehrcore.identity import FOREVER, Capacity, Cause
from ehrcore.types import SECOND, Role

DAY_NS: Final = 86_400 * SECOND


def enrol(options: argparse.Namespace) -> int:
    """Make keys and a certificate, and enrol their owner; 1 if the order is refused or not final in time."""
    folder, plan = folder_of(options.folder)
    check_alias(options.alias)
    capacity = Capacity.PRACTITIONER if options.practitioner else Capacity.DEVICE
    if options.patient is not None:
        capacity = Capacity.PATIENT
    organisation = options.organisation and check_organisation("--organisation", options.organisation)
    kinds = tuple(sorted({KINDS.index(kind) + 1 for kind in options.kinds}))
    if options.patient is not None:
        # What names nobody is refused before anything is written.
        open_authority(folder, plan).pseudonym(options.patient)
    with change_directory(folder, plan) as directory:
        known = directory.persons.get(options.alias)
        if known is not None and known.height is not None:
            raise DeploymentError(
                f"ALIAS: expected somebody new, found {options.alias}, who is enrolled "
                "(person recover gives new keys to who has lost theirs)"
            )
        _require_alone(directory, options.alias, options.patient)
        # An order that was not final in time may still become so; a later serial of the same name replaces it then.
        subject = known.subject if known else new_subject()
        entry = Entry(subject, capacity, organisation, options.patient or "", kinds, ())
        directory.persons[options.alias] = entry
    return _certify(folder, plan, options, "enrolled")


def rotate(options: argparse.Namespace) -> int:
    """New keys for a person who shows the present ones by opening them; 1 as for `enrol`."""
    folder, plan = folder_of(options.folder)
    _find(folder, plan, options.alias)
    open_person(folder, plan, options.alias)
    # What was protected stays so.
    kept = kept_passphrase(home_of(folder, plan, options.alias))
    return _certify(folder, plan, options, "rotated", kept)


def recover(options: argparse.Namespace) -> int:
    """New keys for a person whose old ones are out of their hands: void first, then replaced; 1 as for `enrol`."""
    folder, plan = folder_of(options.folder)
    outcome, serial = _revoke(folder, plan, options, Cause.KEY_COMPROMISE)
    if not outcome.is_good:
        return _report(options, outcome, "")
    print(f"{options.alias}: serial {serial} is void from block {outcome.height} on")
    return _certify(folder, plan, options, "recovered")


def revoke(options: argparse.Namespace) -> int:
    """Withdraw a person's certificate; 1 as for `enrol`."""
    folder, plan = folder_of(options.folder)
    outcome, serial = _revoke(folder, plan, options, Cause[options.cause.replace("-", "_").upper()])
    if outcome.is_good:
        with change_directory(folder, plan) as directory:
            directory.persons[options.alias] = msgspec.structs.replace(
                directory.find(options.alias), is_revoked=True, height=outcome.height
            )
    return _report(options, outcome, f"serial {serial} revoked")


def list_all(options: argparse.Namespace) -> int:
    """Everybody who is enrolled; of a patient's id nothing is printed."""
    folder, plan = folder_of(options.folder)
    open_authority(folder, plan)
    rows = [("ALIAS", "SUBJECT", "CAPACITY", "ORGANISATION", "SERIAL", "STATE")]
    for alias, entry in sorted(read_directory(folder, plan).persons.items()):
        state = "pending" if entry.height is None else f"{'revoked' if entry.is_revoked else 'since'} {entry.height}"
        serial = str(entry.serials[-1]) if entry.serials else "-"
        rows.append((alias, entry.subject, entry.capacity.value, entry.organisation or "-", serial, state))
    print("\n".join(align(rows, left=len(rows[0]))))
    return 0


def show(options: argparse.Namespace) -> int:
    """A certificate in words, read strictly."""
    folder, plan = folder_of(options.folder)
    body, der = read_certificate(folder, plan, options.alias)
    digits = hashlib.sha256(der).hexdigest().upper()
    end = "for ever" if body.not_after == FOREVER else show_time(body.not_after)
    lines = (
        ("subject", body.subject),
        ("role", body.role.value if not body.capacity else f"{body.role.value}, as a {body.capacity.value}"),
        ("organisation", body.organisation or "-"),
        ("may submit", ", ".join(KINDS[kind - 1] for kind in body.kinds) or "nothing"),
        ("serial", str(body.serial)),
        ("valid", f"from {show_time(body.not_before)}, until {end}"),
        ("pseudonym", body.pseudonym.hex() or "-"),
        ("key", body.public_key.hex()),
        ("wrap key", body.wrap_key.hex() or "-"),
        ("issuer", f"authority-0 of {body.network}"),
        ("sha-256", ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))),
    )
    print("\n".join(f"{name:<13} {value}" for name, value in lines))
    now = time.time_ns()
    if body.not_before <= now < body.not_after:
        return 0
    sys.stderr.write(f"ehrcore: {options.alias}: expected a certificate that is valid now, found one that is not\n")
    return 1


def crl(options: argparse.Namespace) -> int:
    """Replay the chain and sign the list of what is revoked on it, as PEM."""
    from ehrcore.crl import RevocationList
    from ehrcore.x509_parts import to_pem

    folder, plan = folder_of(options.folder)
    open_authority(folder, plan)
    issuer, state = open_issuer(folder, plan, is_signing=True), read_chain(folder, plan)
    at = max(time.time_ns(), state.timestamp)
    revoked = RevocationList(state.height, at, at + options.days * DAY_NS, state.registry.revocations())
    write_output(options.output, to_pem("X509 CRL", issuer.revocations(revoked)))
    return 0


def _require_alone(directory: Directory, alias: str, patient: str | None) -> None:
    """Whoever holds a certificate for a patient's pseudonym may read all that is hers: one person does."""
    others = (name for name, entry in directory.persons.items() if name != alias and not entry.is_revoked)
    holder = next((name for name in others if patient and directory.persons[name].patient == patient), None)
    if holder is not None:
        raise DeploymentError(f"--patient: expected somebody who is not enrolled, found the patient of {holder}")


def _find(folder: NetworkFolder, plan: NetworkPlan, alias: str) -> Entry:
    open_authority(folder, plan)
    entry = read_directory(folder, plan).find(alias)
    if not entry.serials or entry.is_revoked:
        raise DeploymentError(f"ALIAS: expected a person whose certificate is in force, found {alias}")
    return entry


def _certify(
    folder: NetworkFolder, plan: NetworkPlan, options: argparse.Namespace, done: str, kept: bytes | None = None
) -> int:
    """New keys, a request, a certificate with the next serial, and its order; in use once that is final."""
    from ehrcore.x509 import read_request, request
    from ehrcore.x509_parts import to_pem

    home, curve = folder.path / "persons" / options.alias, plan.open_genesis().params.curve
    with change_directory(folder, plan) as directory:
        entry, serial = directory.find(options.alias), directory.take_serial()
    waiting = home / NEXT
    key, wrap_key = make_keys(waiting, curve, _new_passphrase(options) or kept)
    subject, public_key = read_request(curve, request(entry.subject, curve, key))
    now = time.time_ns()
    authority = open_authority(folder, plan)
    pseudonym = authority.pseudonym(entry.patient) if entry.capacity is Capacity.PATIENT else b""
    certificate = authority.certify(
        subject, Role.VISITOR, public_key, kinds=entry.kinds, not_before=now, not_after=now + options.days * DAY_NS,
        organisation=entry.organisation, capacity=entry.capacity, pseudonym=pseudonym, wrap_key=wrap_key, serial=serial,
    )  # fmt: skip
    issuer = open_issuer(folder, plan, is_signing=True)
    write_file(waiting / CERTIFICATE_FILE, to_pem("CERTIFICATE", issuer.certificate(certificate.body)))
    write_file(waiting / SUBJECT_FILE, subject.encode())
    with change_directory(folder, plan) as directory:
        _keep(directory, options.alias, serial, None)
    outcome = _order(folder, plan, options, lambda who, chain, at: who.enrol(chain, certificate, at))
    if outcome.is_good:
        promote(home)
        with change_directory(folder, plan) as directory:
            _keep(directory, options.alias, serial, outcome.height)
    return _report(options, outcome, f"{done} as {subject}, serial {serial}")


def _keep(directory: Directory, alias: str, serial: int, height: int | None) -> None:
    """Note a certificate, and where it became final."""
    entry = directory.find(alias)
    serials = entry.serials if serial in entry.serials else (*entry.serials, serial)
    # Until a new certificate is final the old one counts.
    kept = entry.height if height is None else height
    directory.persons[alias] = msgspec.structs.replace(entry, serials=serials, height=kept, is_revoked=False)


def _new_passphrase(options: argparse.Namespace) -> bytes | None:
    if not options.protect and options.new_passphrase_file is None:
        return None
    return Passphrase(options.new_passphrase_file).read(f"{options.alias}'s new keys", is_new=True)


def _order(
    folder: NetworkFolder,
    plan: NetworkPlan,
    options: argparse.Namespace,
    sign: Callable[[Authority, bytes, int], Transaction],
) -> Outcome:
    """Sign an order of the authority and have it carried out."""
    authority = open_authority(folder, plan)
    authority.nonce = Nonces(folder.authority).take()
    tx = sign(authority, bytes.fromhex(plan.chain), time.time_ns())
    return settle(Client(folder, plan, options.visitor), options, tx)


def _revoke(folder: NetworkFolder, plan: NetworkPlan, options: argparse.Namespace, cause: Cause) -> tuple[Outcome, int]:
    """Withdraw the certificate that is in force; with what has become of that, its serial."""
    serial = _find(folder, plan, options.alias).serials[-1]
    return _order(folder, plan, options, lambda who, chain, at: who.revoke(chain, serial, at, cause)), serial


def _report(options: argparse.Namespace, outcome: Outcome, done: str) -> int:
    if outcome.is_good:
        print(f"{options.alias}: {done}, from {outcome.place} on")
        return 0
    sys.stderr.write(
        f"ehrcore: person {options.action} {options.alias}: expected a final and valid order, found {outcome.verdict}\n"
    )
    return 1
