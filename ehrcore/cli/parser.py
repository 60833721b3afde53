"""The words that `ehrcore` understands.  Each command names the function that carries it out as ``module:function``."""

import argparse
from pathlib import Path
from typing import Any, Final, NoReturn

from ehrcore import __version__
from ehrcore.cli.parser_persons import add_persons

FOLDER: Final = Path("ehr-network")
#: The rules by name; spelt out, for what defines them takes long to import.
CONSENSUS: Final = ("pos", "leader", "single", "pow")
PURPOSES: Final = ("TREAT", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT")
EMERGENCIES: Final = ("unconscious", "life-threatened", "unable-to-consent", "danger-to-others")
KINDS: Final = ("medication", "diagnostic-report", "bill", "insurance", "birth", "death", "sensor")
ROLES: Final = ("agents", "coordinators", "administrators", "contributors", "visitors")


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see: {self.prog} --help)\n")


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="ehrcore", description="A permissioned chain for health records.")
    parser.add_argument("--version", action="version", version=f"ehrcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_network(commands)
    _add_status(commands)
    _add_submit(commands)
    _add_order(commands)
    add_persons(commands, _add)
    _add_agreement(commands)
    _add_read(commands)
    _add_proofs(commands)
    _add_audit(commands)
    _add_ledger(commands)
    _add(commands, "protocol", "protocol:show", "print the rules of proof of stake, as they run", has_folder=False)
    _add_check(commands)
    return parser


def _add(commands: Any, name: str, run: str, text: str, *, has_folder: bool = True) -> Parser:
    command: Parser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    if has_folder:
        command.add_argument(
            "--folder", type=Path, default=FOLDER, metavar="DIR", help=f"the network's folder (./{FOLDER})"
        )
        secret = command.add_mutually_exclusive_group()
        secret.add_argument("--passphrase-file", type=Path, metavar="FILE", help="what encrypted keys are opened with")
        secret.add_argument("--passphrase-fd", type=int, metavar="N", help="the same, from an open descriptor")
    return command


def _add_network(commands: Any) -> None:
    network = commands.add_parser("network", help="found, start and stop a network's nodes on this host")
    actions = network.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = _add(actions, "up", "network:up", "start this host's nodes and show them live; found the network if need be")
    _add_config(up)
    up.add_argument("--only", nargs="+", default=(), metavar="NAME", help="start these nodes alone")
    up.add_argument("--detach", action="store_true", help="return once the nodes are up, and leave them running")
    init = _add(actions, "init", "network:init", "found a network and start nothing")
    _add_config(init)
    down = _add(actions, "down", "network:down", "stop this host's nodes")
    down.add_argument("--only", nargs="+", default=(), metavar="NAME", help="stop these nodes alone")
    resync = _add(actions, "resync", "network:resync", "put a stopped node's damaged files aside, to be fetched again")
    resync.add_argument("node", metavar="NAME")
    for part in ("ledger", "journal"):
        resync.add_argument(f"--{part}", action="store_true", help=f"the {part} alone")
    resync.add_argument("--keys", action="store_true", help="a contributor's shares of records' keys, which nobody has")


def _add_config(command: Parser) -> None:
    """Flags are None if they are not given: what is given must not contradict a network that exists."""
    for role in ROLES:
        command.add_argument(f"--{role}", type=int, metavar="N", help="how many (1)")
    command.add_argument("--consensus", choices=CONSENSUS, help="how blocks are final (pos)")
    command.add_argument("--tls", action="store_const", const=True, help="mutual TLS between nodes and with clients")
    command.add_argument("--first-port", type=int, metavar="P", help="port of the first agent; others follow (7777)")
    command.add_argument("--config", type=Path, metavar="FILE", help="all of it as TOML; flags come before it")


def _add_status(commands: Any) -> None:
    status = _add(commands, "status", "status:status", "what every node says of itself; code 1 if one does not answer")
    status.add_argument("--watch", action="store_true", help="again and again, until interrupted")
    status.add_argument("--json", action="store_true", help="everything, as JSON")


def _add_submit(commands: Any) -> None:
    submit = _add(commands, "submit", "submit:submit", "put FHIR records on the chain and verify their receipts")
    submit.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a FHIR resource as JSON, or a folder")
    submit.add_argument("--visitor", default="visitor-0", metavar="NAME", help="who signs (visitor-0)")
    _add_citing(submit)
    submit.add_argument("--skip", action="store_true", help="leave out files that are no record, and name them")
    submit.add_argument("--no-wait", action="store_true", help="return once enough agents have accepted them")
    submit.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="how long each record may take (60)"
    )

    sign = _add(commands, "sign", "submit:sign", "store a record and print its signed transaction, to be sent by hand")
    sign.add_argument("file", type=Path, metavar="FILE", help="a FHIR resource as JSON")
    sign.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (standard output)")
    sign.add_argument("--visitor", default="visitor-0", metavar="NAME", help="who signs (visitor-0)")


def _add_order(commands: Any) -> None:
    text = "have the chain carry out an order of the authority (where the authority's folder is)"
    order = commands.add_parser("order", help=text, description=text)
    actions = order.add_subparsers(dest="action", required=True, metavar="ORDER")
    for name, text in (
        ("bond", "add to an administrator's stake, two blocks later"),
        ("unbond", "take from an administrator's stake, two blocks later"),
        ("revoke", "withdraw the certificate of a node that is no administrator"),
    ):
        action = _add(actions, name, "order:order", text)
        action.add_argument("node", metavar="NAME")
        if name != "revoke":
            action.add_argument("amount", type=int, metavar="STAKE")
        action.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="how long it may take (60)")


def _add_agreement(commands: Any) -> None:
    text = "agreements of a patient and a provider, which acts may cite and then have to satisfy"
    agreement = commands.add_parser("agreement", help=text, description=text)
    actions = agreement.add_subparsers(dest="action", required=True, metavar="ACTION")
    made = {
        "propose": "write a draft of an agreement with somebody, for both to look at",
        "sign": "print a draft's terms and put your signature to them",
        "submit": "hand in a draft that the other party has signed",
        "list": "agreements in force or to come, from the chain itself",
        "terminate": "end an agreement of your own (or, as the authority, anyone's)",
    }
    words = {name: _add(actions, name, f"agreement:{name}", text) for name, text in made.items()}
    for name, action in words.items():
        if name != "list":
            action.add_argument("--as", dest="person", required=True, metavar="ALIAS", help="who acts")
    propose = words["propose"]
    propose.add_argument("--with", dest="other", required=True, metavar="NAME", help="an alias, or a name on the chain")
    propose.add_argument("--clauses", type=Path, required=True, metavar="FILE", help="the clauses, as TOML or JSON")
    propose.add_argument("--days", type=_jobs, default=365, metavar="N", help="how long it is to hold, from now (365)")
    propose.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (standard output)")
    for name in ("sign", "submit"):
        words[name].add_argument("draft", type=Path, metavar="FILE", help="the draft")
    words["list"].add_argument("--of", dest="person", metavar="NAME", help="of this party alone")
    words["terminate"].add_argument("id", metavar="ID", help="the agreement's id")
    for name in ("submit", "terminate"):
        words[name].add_argument(
            "--timeout", type=_seconds, default=60.0, metavar="S", help="how long it may take (60)"
        )


def _add_read(commands: Any) -> None:
    read = _add(commands, "read", "read:read", "read a record, byte for byte as it was submitted, if that is permitted")
    read.add_argument("id", metavar="ID", help="the transaction's id")
    read.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (standard output)")
    read.add_argument(
        "--evidence", type=Path, metavar="FILE", help="save the sealed record and its key, too, for others"
    )
    _add_access(read)
    search = _add(commands, "search", "search:search", "list the records of a patient, if that is permitted")
    whose = search.add_mutually_exclusive_group(required=True)
    whose.add_argument("--patient", metavar="ID", help="the patient (where the authority's folder is)")
    whose.add_argument("--pseudonym", metavar="HEX", help="the patient's pseudonym")
    search.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"one kind alone: {', '.join(KINDS)} (all)")
    _add_access(search)
    erase = _add(commands, "erase", "erase:erase", "have a record's key destroyed for good; the chain stays as it is")
    erase.add_argument("id", metavar="ID", help="the transaction's id")
    who = erase.add_mutually_exclusive_group(required=True)
    who.add_argument("--as", dest="alias", metavar="ALIAS", help="the patient whose record it is")
    who.add_argument("--by-authority", action="store_true", help="the authority, for the patient (where its folder is)")
    _add_waiting(erase)


def _add_access(command: Parser) -> None:
    """Who asks for what purpose; an access is a transaction, to be waited for."""
    command.add_argument(
        "--as", dest="alias", default="visitor-0", metavar="ALIAS", help="a person or node (visitor-0)"
    )
    text = f"what for: {', '.join(PURPOSES)} (TREAT)"
    command.add_argument("--purpose", choices=PURPOSES, default="TREAT", metavar="CODE", help=text)
    _add_citing(command)
    text = f"as a practitioner in an emergency, against all consents: {', '.join(EMERGENCIES)}"
    command.add_argument("--break-glass", choices=EMERGENCIES, default="", metavar="WHY", help=text)
    _add_waiting(command)


def _add_citing(command: Parser) -> None:
    command.add_argument("--agreement", metavar="ID", help="act under this agreement, and by its clauses")


def _add_waiting(command: Parser) -> None:
    command.set_defaults(no_wait=False)
    command.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="how long it may take (60)")


def _add_proofs(commands: Any) -> None:
    prove = _add(commands, "prove", "read:prove", "write the proof that a transaction is on the chain")
    prove.add_argument("id", metavar="ID", help="the transaction's id")
    prove.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (standard output)")
    text = "check a proof from files alone; code 1 if it does not hold"
    verify = _add(commands, "verify-proof", "verify:verify_file", text, has_folder=False)
    verify.add_argument("file", type=Path, metavar="FILE", help="the proof")
    verify.add_argument("--chain", metavar="HEX", help="the chain's id, if it is known from elsewhere")
    verify.add_argument("--record", type=Path, metavar="FILE", help="the record that it is to be about")
    verify.add_argument("--evidence", type=Path, metavar="FILE", help="what `read --evidence` has saved of that record")


def _add_audit(commands: Any) -> None:
    text = "replay the chain, compare every ledger and check every stored record; code 1 if something is found"
    audit = _add(commands, "audit", "audit:audit", text)
    whose = audit.add_mutually_exclusive_group()
    whose.add_argument("--patient", metavar="ID", help="the trail of one patient (where the authority's folder is)")
    whose.add_argument("--as", dest="alias", metavar="ALIAS", help="a patient's own trail, by her certificate alone")
    audit.add_argument("--fhir", type=Path, metavar="FILE", help="write the trail (of all) as FHIR AuditEvents")

    text = "print what patients are called on the chain or in a study (where the authority's folder is)"
    pseudonym = _add(commands, "pseudonym", "pseudonym:pseudonym", text)
    pseudonym.add_argument("patient", metavar="PATIENT", help="the patient's id; -: one a line from standard input")
    pseudonym.add_argument(
        "--study", default="", metavar="NAME", help="under the study's own key, unlinkable to others"
    )


def _add_ledger(commands: Any) -> None:
    ledger = commands.add_parser("ledger", help="look into a ledger file, verify or prune it")
    actions = ledger.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("verify", "replay a ledger from its genesis and check everything"),
        ("show", "list the blocks of a ledger, unchecked"),
    ):
        action = _add(actions, name, f"ledger:{name}", text, has_folder=False)
        action.add_argument("file", type=Path, help="the ledger (SQLite)")
        if name == "verify":
            action.add_argument("--chain", metavar="HEX", help="the chain's id, if it is known from elsewhere")
            action.add_argument("--tip", metavar="HEX", help="the last block's hash, if it is known from elsewhere")
    text = "write a copy without the records of old blocks, and say what it cannot show any more"
    prune = _add(actions, "prune", "ledger:prune_file", text, has_folder=False)
    prune.add_argument("file", type=Path, help="the ledger (SQLite), which stays as it is")
    prune.add_argument("--keep", type=_blocks, required=True, metavar="N", help="blocks at the end that stay whole")
    prune.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (FILE.pruned.SUFFIX)")


def _add_check(commands: Any) -> None:
    text = "simulate networks under faults and check that everything holds; code 1 if it does not"
    check = _add(commands, "check", "check:check", text, has_folder=False)
    which = check.add_mutually_exclusive_group()
    which.add_argument("--seeds", type=_range, metavar="A:B", help="schedules A to B - 1 (0:1000, or all splits)")
    which.add_argument("--seed", type=int, metavar="N", help="this schedule alone")
    which.add_argument("--mutants", action="store_true", help="the negative controls: planted bugs that must be caught")
    check.add_argument("--splits", action="store_true", help="every two-way split over three rounds, not random faults")
    check.add_argument("--nodes", type=int, metavar="N", help="administrators (4)")
    check.add_argument("--rule", choices=CONSENSUS, default="pos", help="how blocks become final (pos)")
    check.add_argument("--mutant", default="", metavar="NAME", help="with this bug planted")
    check.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="processes (1)")
    check.add_argument("--trace", action="store_true", help="show all that happens under one seed")


def _range(text: str) -> tuple[int, int]:
    """Two integers, the first and the one after the last."""
    first, _, end = text.partition(":")
    return int(first), int(end)


_range.__name__ = "range A:B"


def _jobs(text: str) -> int:
    """A number of processes."""
    if (value := int(text)) < 1:
        raise ValueError(text)
    return value


_jobs.__name__ = "number of processes"


def _blocks(text: str) -> int:
    """A number of blocks."""
    return _jobs(text)


_blocks.__name__ = "number of blocks"


def _seconds(text: str) -> float:
    """A positive, finite number of seconds."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


_seconds.__name__ = "number of seconds"
