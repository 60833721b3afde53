"""The words of commands that read, erase, prove and audit records."""

from pathlib import Path
from typing import Any

from ehrcore.cli.words import EMERGENCIES, KINDS, PURPOSES, Parser, add, add_citing, add_output, add_waiting


def add_records(commands: Any) -> None:
    """All that is about records and who has looked at them."""
    _add_read(commands)
    _add_proofs(commands)
    _add_audit(commands)


def _add_read(commands: Any) -> None:
    read = add(commands, "read", "read:read", "read a record, byte for byte as it was submitted, if that is permitted")
    read.add_argument("id", metavar="ID", help="the transaction's id")
    add_output(read)
    read.add_argument(
        "--evidence", type=Path, metavar="FILE", help="save the sealed record and its key, too, for others"
    )
    _add_access(read)
    search = add(commands, "search", "search:search", "list the records of a patient, if that is permitted")
    whose = search.add_mutually_exclusive_group(required=True)
    whose.add_argument("--patient", metavar="ID", help="the patient (where the authority's folder is)")
    whose.add_argument("--pseudonym", metavar="HEX", help="the patient's pseudonym")
    search.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"one kind alone: {', '.join(KINDS)} (all)")
    _add_access(search)
    erase = add(commands, "erase", "erase:erase", "have a record's key destroyed for good; the chain stays as it is")
    erase.add_argument("id", metavar="ID", help="the transaction's id")
    who = erase.add_mutually_exclusive_group(required=True)
    who.add_argument("--as", dest="alias", metavar="ALIAS", help="the patient whose record it is")
    who.add_argument("--by-authority", action="store_true", help="the authority, for the patient (where its folder is)")
    add_waiting(erase)


def _add_access(command: Parser) -> None:
    """Who asks for what purpose; an access is a transaction, to be waited for."""
    command.add_argument(
        "--as", dest="alias", default="visitor-0", metavar="ALIAS", help="a person or node (visitor-0)"
    )
    # ETREAT goes without saying where the glass is broken.
    purposes = tuple(code for code in PURPOSES if code != "ETREAT")
    text = f"what for: {', '.join(purposes)} (TREAT)"
    command.add_argument("--purpose", choices=purposes, default="TREAT", metavar="CODE", help=text)
    add_citing(command)
    text = f"as a practitioner in an emergency, against all consents: {', '.join(EMERGENCIES)}"
    command.add_argument("--break-glass", choices=EMERGENCIES, default="", metavar="WHY", help=text)
    add_waiting(command)


def _add_proofs(commands: Any) -> None:
    prove = add(commands, "prove", "read:prove", "write the proof that a transaction is on the chain")
    prove.add_argument("id", metavar="ID", help="the transaction's id")
    add_output(prove)
    text = "check a proof from files alone; code 1 if it does not hold"
    verify = add(commands, "verify-proof", "verify:verify_file", text, has_folder=False)
    verify.add_argument("file", type=Path, metavar="FILE", help="the proof")
    verify.add_argument("--chain", metavar="HEX", help="the chain's id, if it is known from elsewhere")
    verify.add_argument("--record", type=Path, metavar="FILE", help="the record that it is to be about")
    verify.add_argument("--evidence", type=Path, metavar="FILE", help="what `read --evidence` has saved of that record")


def _add_audit(commands: Any) -> None:
    text = "replay the chain, compare every ledger and check every stored record; code 1 if something is found"
    audit = add(commands, "audit", "audit:audit", text)
    whose = audit.add_mutually_exclusive_group()
    whose.add_argument("--patient", metavar="ID", help="the trail of one patient (where the authority's folder is)")
    whose.add_argument("--as", dest="alias", metavar="ALIAS", help="a patient's own trail, by her certificate alone")
    audit.add_argument("--fhir", type=Path, metavar="FILE", help="write the trail (of all) as FHIR AuditEvents")

    text = "print what patients are called on the chain or in a study (where the authority's folder is)"
    pseudonym = add(commands, "pseudonym", "pseudonym:pseudonym", text)
    pseudonym.add_argument("patient", metavar="PATIENT", help="the patient's id; -: one a line from standard input")
    pseudonym.add_argument(
        "--study", default="", metavar="NAME", help="under the study's own key, unlinkable to others"
    )
