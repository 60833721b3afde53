"""The words of `ehrcore person`, `ehrcore consent` and `ehrcore agreement`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ehrcore.cli.words import ACTIONS, CAUSES, KINDS, PURPOSES, Parser, add, add_group, add_output, add_waiting, days


def add_persons(commands: Any) -> None:
    """All that is about persons and what they decide."""
    _add_person(add_group(commands, "person", "enrol and revoke persons and devices, renew their keys"))
    _add_consent(add_group(commands, "consent", "what patients permit and deny, as transactions of theirs"))
    text = "agreements of a patient and a provider, which acts may cite and then have to satisfy"
    _add_agreement(add_group(commands, "agreement", text))


def _add_person(actions: Any) -> None:
    enrol = add(actions, "enrol", "person:enrol", "make keys and a certificate for somebody and enrol them")
    enrol.add_argument("alias", metavar="ALIAS", help="a name for them on this host; nothing of it leaves it")
    what = enrol.add_mutually_exclusive_group(required=True)
    what.add_argument("--patient", metavar="ID", help="a patient, whose records name this id")
    what.add_argument("--practitioner", action="store_true", help="somebody who treats patients")
    what.add_argument("--device", action="store_true", help="a device that writes records and reads none")
    enrol.add_argument("--organisation", default="", metavar="NAME", help="whose they are, such as ward-3")
    _add_several(enrol, "--kinds", KINDS, "KIND", "records they may submit", "none")
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
    revoke.add_argument(
        "--cause", choices=CAUSES, default="unspecified", metavar="WHY", help=f"why: {', '.join(CAUSES)}"
    )
    for name in ("enrol", "rotate", "recover", "revoke"):
        add_waiting(actions.choices[name])
    show = add(actions, "show", "person:show", "a certificate of this host in words, with its fingerprint")
    show.add_argument("alias", metavar="ALIAS", help="a person, or a node")
    add(actions, "list", "person:list_all", "everybody who is enrolled (where the authority's folder is)")
    crl = add(actions, "crl", "person:crl", "the revocation list (X.509) of what is revoked on the chain now")
    add_output(crl)
    _add_days(crl, "when the next one is due (7)", 7)


def _add_several(
    command: Parser, flag: str, choices: Sequence[str], metavar: str, text: str, without: str = "all"
) -> None:
    """Some of ``choices``; by default none are given, which means ``without``."""
    text = f"{text}: {', '.join(choices)} ({without})"
    command.add_argument(flag, nargs="+", choices=choices, default=(), metavar=metavar, help=text)


def _add_days(command: Parser, text: str, default: int) -> None:
    command.add_argument("--days", type=days, default=default, metavar="N", help=text)


def _add_new_passphrase(*commands: Parser) -> None:
    for command in commands:
        new = command.add_mutually_exclusive_group()
        new.add_argument("--protect", action="store_true", help="ask for a passphrase and encrypt the new keys")
        new.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help="encrypt the new keys with this")


def _add_consent(actions: Any) -> None:
    grant = add(actions, "grant", "consent:grant", "permit, or deny, what is asked with a patient's records")
    grant.add_argument("--to", nargs="+", default=(), metavar="ALIAS", help="to whom: persons or nodes (anybody)")
    grant.add_argument("--to-organisation", nargs="+", default=(), metavar="NAME", help="and to all of these")
    _add_several(grant, "--kinds", KINDS, "KIND", "records of these")
    _add_several(grant, "--actions", ACTIONS, "ACTION", "these alone")
    _add_several(grant, "--purpose", PURPOSES, "CODE", "for these")
    grant.add_argument("--since", metavar="DATE", help="from this day on, UTC (now)")
    grant.add_argument("--until", metavar="DATE", help="up to the beginning of this day, UTC (for ever)")
    grant.add_argument("--deny", action="store_true", help="deny it, whatever else permits it")
    revoke = add(actions, "revoke", "consent:revoke", "withdraw a consent")
    revoke.add_argument("id", metavar="ID", help="the consent's id")
    for command in (grant, revoke):
        command.add_argument("--as", dest="alias", required=True, metavar="ALIAS", help="the patient")
        add_waiting(command)
    found = add(actions, "list", "consent:list_all", "a patient's consents in force, from a chain replayed")
    whose = found.add_mutually_exclusive_group(required=True)
    whose.add_argument("--as", dest="alias", metavar="ALIAS", help="the patient")
    whose.add_argument("--patient", metavar="ID", help="the patient's id (where the authority's folder is)")
    export = add(actions, "export", "consent:export", "write a consent as a FHIR R4 resource")
    export.add_argument("id", metavar="ID", help="the consent's id")
    export.add_argument("--fhir", type=Path, metavar="FILE", help="where to (standard output)")


def _add_agreement(actions: Any) -> None:
    made = {
        "propose": "write a draft of an agreement with somebody, for both to look at",
        "sign": "print a draft's terms and put your signature to them",
        "submit": "hand in a draft that the other party has signed",
        "list": "agreements in force or to come, from the chain itself",
        "terminate": "end an agreement of your own (or, as the authority, anyone's)",
    }
    words = {name: add(actions, name, f"agreement:{name}", text) for name, text in made.items()}
    for name, action in words.items():
        if name != "list":
            action.add_argument("--as", dest="person", required=True, metavar="ALIAS", help="who acts")
    propose = words["propose"]
    propose.add_argument("--with", dest="other", required=True, metavar="NAME", help="an alias, or a name on the chain")
    propose.add_argument("--clauses", type=Path, required=True, metavar="FILE", help="the clauses, as TOML or JSON")
    _add_days(propose, "how long it is to hold, from now (365)", 365)
    add_output(propose)
    for name in ("sign", "submit"):
        words[name].add_argument("draft", type=Path, metavar="FILE", help="the draft")
    words["list"].add_argument("--of", dest="person", metavar="NAME", help="of this party alone")
    words["terminate"].add_argument("id", metavar="ID", help="the agreement's id")
    for name in ("submit", "terminate"):
        add_waiting(words[name])
