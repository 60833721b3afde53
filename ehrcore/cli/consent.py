"""`ehrcore consent`: patients permit and deny, by transactions that they sign themselves.

Names that are given here are local; the chain sees pseudonyms, subjects and organisations.
"""

import argparse
import json
import sys
import time
from datetime import UTC, datetime

import msgspec

from ehrcore.block import Payload
from ehrcore.cli.chain import read_chain
from ehrcore.cli.desk import settle
from ehrcore.cli.format import parse_digest, show_time
from ehrcore.cli.output import write_output
from ehrcore.cli.records import patient_of
from ehrcore.cli.words import ACTIONS, KINDS
from ehrcore.codec import decode, encode
from ehrcore.consent import MOST_NAMES, Action, Consent, Provision, Purpose, Withdrawal
from ehrcore.drive.net.client import Client, folder_of
from ehrcore.drive.net.persons import check_organisation, known_aliases, open_person, pseudonym_of, subject_of
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import CodecError, DeploymentError
from ehrcore.identity import FOREVER, Reason
from ehrcore.messages import Finalised
from ehrcore.state import Verdict
from ehrcore.types import SECOND, Nanos
from ehrcore.wording import say_provision


def grant(options: argparse.Namespace) -> int:
    """Sign a consent of one provision and wait until it is final; 1 if it is refused or not final in time."""
    folder, plan = folder_of(options.folder)
    pseudonym = pseudonym_of(folder, plan, options.alias)
    since = _parse_day("--since", options.since) if options.since else time.time_ns()
    until = _parse_day("--until", options.until) if options.until else FOREVER
    if since >= until:
        raise DeploymentError(f"--until: expected a day after {show_time(since)}, found {options.until}")
    organisations = (check_organisation("--to-organisation", name) for name in options.to_organisation)
    provision = Provision(
        is_permit=not options.deny,
        subjects=tuple(sorted({subject_of(folder, plan, alias) for alias in options.to})),
        organisations=tuple(sorted(set(organisations))),
        kinds=tuple(sorted({KINDS.index(kind) + 1 for kind in options.kinds})),
        actions=tuple(sorted({Action(ACTIONS.index(action) + 1) for action in options.actions})),
        purposes=tuple(purpose for purpose in Purpose if purpose in options.purpose),
        not_before=since,
        not_after=until,
    )
    try:
        consent = decode(encode(Consent(pseudonym, (provision,))), Consent)
    except CodecError:
        count = len(provision.subjects), len(provision.organisations)
        raise DeploymentError(f"consent: expected at most {MOST_NAMES} names of each sort, found {count}") from None
    return _submit(folder, plan, options, consent, "in force")


def revoke(options: argparse.Namespace) -> int:
    """Withdraw a consent; 1 as for `grant`."""
    folder, plan = folder_of(options.folder)
    return _submit(folder, plan, options, Withdrawal(parse_digest("ID", options.id)), "withdrawn")


def list_all(options: argparse.Namespace) -> int:
    """A patient's consents in force, oldest first."""
    folder, plan = folder_of(options.folder)
    pseudonym = patient_of(folder, plan, options)
    names = known_aliases(folder, plan)
    held = read_chain(folder, plan).consents.held.get(pseudonym)
    for consent_id, consent in held:
        for provision in consent.provisions:
            print(f"{consent_id.hex()}  {say_provision(provision, names)}")
    if not held:
        print("no consent in force: all may write, nobody else may read or search")
    return 0


def export(options: argparse.Namespace) -> int:
    """A consent as FHIR R4, whether it is in force or not; 1 if the chain holds none of this id."""
    from ehrcore.fhir_consent import write_consent

    folder, plan = folder_of(options.folder)
    wanted = parse_digest("ID", options.id)
    given: list[tuple[Consent, int]] = []

    def take(final: Finalised, verdict: Verdict) -> None:
        for endorsed, reason, tx_id in zip(final.block.transactions, verdict.reasons, verdict.tx_ids, strict=True):
            payload = endorsed.transaction.body.payload
            if tx_id == wanted and reason is Reason.ACCEPTED and isinstance(payload, Consent):
                given.append((payload, final.block.header.timestamp))

    state = read_chain(folder, plan, take)
    if not given:
        sys.stderr.write(f"ehrcore: {options.id}: expected a consent on the chain, found none\n")
        return 1
    is_in_force = any(item[0] == wanted for item in state.consents.held.get(given[0][0].pseudonym))
    resource = write_consent(given[0][0], wanted, given[0][1], is_in_force=is_in_force)
    write_output(options.fhir, json.dumps(resource, indent=1).encode() + b"\n")
    return 0


def _parse_day(name: str, text: str) -> int:
    """The beginning of a day in UTC, in nanoseconds."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return msgspec.convert(int(day.timestamp()) * SECOND, Nanos)
    except (ValueError, msgspec.ValidationError):
        raise DeploymentError(f"{name}: expected a day such as 2027-01-31, found {text[:40]!r}") from None


def _submit(folder: NetworkFolder, plan: NetworkPlan, options: argparse.Namespace, payload: Payload, done: str) -> int:
    outcome = settle(Client(folder, plan), options, payload, open_person(folder, plan, options.alias))
    if outcome.is_good:
        print(f"{outcome.tx_id.hex()}  block {outcome.height}  {done}")
        return 0
    sys.stderr.write(f"ehrcore: consent {options.action}: expected to be final and valid, found {outcome.verdict}\n")
    return 1
