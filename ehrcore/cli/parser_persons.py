"""The words of `ehrcore person` and `ehrcore consent`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

#: In the order of their numbers; spelt out, for what defines them takes long to import.
KINDS: Final = ("medication", "diagnostic-report", "bill", "insurance", "birth", "death", "sensor")
ACTIONS: Final = ("read", "search", "write")
PURPOSES: Final = ("TREAT", "ETREAT", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT")
CAUSES: Final = ("unspecified", "key-compromise", "affiliation-changed", "cessation", "privilege-withdrawn")

_KINDS, _ACTIONS, _PURPOSES, _CAUSES = map(", ".join, (KINDS, ACTIONS, PURPOSES, CAUSES))
Add = Callable[..., argparse.ArgumentParser]


def add_persons(commands: Any, add: Add) -> None:
    """Both commands; ``add`` makes one that has a network's folder."""
    _add_person(_open(commands, "person", "enrol and revoke persons and devices, renew their keys"), add)
    _add_consent(_open(commands, "consent", "what patients permit and deny, as transactions of theirs"), add)


def _open(commands: Any, name: str, text: str) -> Any:
    return commands.add_parser(name, help=text, description=text).add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )


def _add_person(actions: Any, add: Add) -> None:
    enrol = add(actions, "enrol", "person:enrol", "make keys and a certificate for somebody and enrol them")
    enrol.add_argument("alias", metavar="ALIAS", help="a name for them on this host; nothing of it leaves it")
    what = enrol.add_mutually_exclusive_group(required=True)
    what.add_argument("--patient", metavar="ID", help="a patient, whose records name this id")
    what.add_argument("--practitioner", action="store_true", help="somebody who treats patients")
    what.add_argument("--device", action="store_true", help="a device that writes records and reads none")
    enrol.add_argument("--organisation", default="", metavar="NAME", help="whose they are, such as ward-3")
    enrol.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=(),
        metavar="KIND",
        help=f"records they may submit: {_KINDS} (none)",
    )
    _add_days(enrol, "how long the certificate is valid (365)", 365)
    for name, text in (
        ("rotate", "replace a person's keys, by their present ones"),
        ("recover", "replace keys that were lost or stolen: the old ones are void first"),
    ):
        command = add(actions, name, f"person:{name}", text)
        command.add_argument("alias", metavar="ALIAS")
        _add_days(command, "how long the new certificate is valid (365)", 365)
    _add_new_passphrase(*(actions.choices[name] for name in ("enrol", "rotate", "recover")))
    revoke = add(actions, "revoke", "person:revoke", "withdraw a person's certificate for good")
    revoke.add_argument("alias", metavar="ALIAS")
    revoke.add_argument("--cause", choices=CAUSES, default="unspecified", metavar="WHY", help=f"why: {_CAUSES}")
    for name in ("enrol", "rotate", "recover", "revoke"):
        _add_waiting(actions.choices[name])
    show = add(actions, "show", "person:show", "a certificate of this host in words, with its fingerprint")
    show.add_argument("alias", metavar="ALIAS", help="a person, or a node")
    add(actions, "list", "person:list_all", "everybody who is enrolled (where the authority's folder is)")
    crl = add(actions, "crl", "person:crl", "the revocation list (X.509) of what is revoked on the chain now")
    crl.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (standard output)")
    _add_days(crl, "when the next one is due (7)", 7)


def _add_days(command: argparse.ArgumentParser, text: str, default: int) -> None:
    command.add_argument("--days", type=_days, default=default, metavar="N", help=text)


def _add_new_passphrase(*commands: argparse.ArgumentParser) -> None:
    for command in commands:
        new = command.add_mutually_exclusive_group()
        new.add_argument("--protect", action="store_true", help="ask for a passphrase and encrypt the new keys")
        new.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help="encrypt the new keys with this")


def _add_waiting(command: argparse.ArgumentParser) -> None:
    command.set_defaults(no_wait=False, visitor="visitor-0")
    command.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="how long it may take (60)")


def _add_consent(actions: Any, add: Add) -> None:
    grant = add(actions, "grant", "consent:grant", "permit, or deny, what is asked with a patient's records")
    grant.add_argument("--to", nargs="+", default=(), metavar="ALIAS", help="to whom: persons or nodes (anybody)")
    grant.add_argument("--to-organisation", nargs="+", default=(), metavar="NAME", help="and to all of these")
    grant.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=(),
        metavar="KIND",
        help=f"records of these: {_KINDS} (all)",
    )
    grant.add_argument(
        "--actions",
        nargs="+",
        choices=ACTIONS,
        default=(),
        metavar="ACTION",
        help=f"these alone: {_ACTIONS} (all)",
    )
    grant.add_argument(
        "--purpose",
        nargs="+",
        choices=PURPOSES,
        default=(),
        metavar="CODE",
        help=f"for these: {_PURPOSES} (all)",
    )
    grant.add_argument("--since", metavar="DATE", help="from this day on, UTC (now)")
    grant.add_argument("--until", metavar="DATE", help="up to the beginning of this day, UTC (for ever)")
    grant.add_argument("--deny", action="store_true", help="deny it, whatever else permits it")
    revoke = add(actions, "revoke", "consent:revoke", "withdraw a consent")
    revoke.add_argument("id", metavar="ID", help="the consent's id")
    for command in (grant, revoke):
        command.add_argument("--as", dest="alias", required=True, metavar="ALIAS", help="the patient")
        _add_waiting(command)
    found = add(actions, "list", "consent:list_all", "a patient's consents in force, from a chain replayed")
    whose = found.add_mutually_exclusive_group(required=True)
    whose.add_argument("--as", dest="alias", metavar="ALIAS", help="the patient")
    whose.add_argument("--patient", metavar="ID", help="the patient's id (where the authority's folder is)")
    export = add(actions, "export", "consent:export", "write a consent as a FHIR R4 resource")
    export.add_argument("id", metavar="ID", help="the consent's id")
    export.add_argument("--fhir", type=Path, metavar="FILE", help="where to (standard output)")


def _days(text: str) -> int:
    if not 1 <= (value := int(text)) <= 36_500:  # noqa: PLR2004 - a hundred years
        raise ValueError(text)
    return value


_days.__name__ = "number of days"


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


_seconds.__name__ = "number of seconds"
