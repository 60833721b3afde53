"""The words that `ehrcore` understands.  Each command names the function that carries it out as ``module:function``."""

import argparse
from pathlib import Path
from typing import Any

from ehrcore import __version__
from ehrcore.cli.parser_persons import add_persons
from ehrcore.cli.parser_records import add_records
from ehrcore.cli.words import (
    CONSENSUS,
    ROLES,
    Extend,
    Parser,
    add,
    add_citing,
    add_group,
    add_output,
    add_timeout,
    add_waiting,
    blocks,
    jobs,
    span,
)


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="ehrcore", description="A permissioned chain for health records.")
    text = "a Python file that adds a hash, a library or a rule, before the command; may be given again"
    parser.add_argument("--extend", action=Extend, type=Path, metavar="FILE", default=argparse.SUPPRESS, help=text)
    parser.add_argument("--version", action="version", version=f"ehrcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_network(commands)
    _add_status(commands)
    _add_submit(commands)
    _add_order(commands)
    add_persons(commands)
    add_records(commands)
    _add_ledger(commands)
    add(commands, "protocol", "protocol:show", "print the rules of proof of stake, as they run", has_folder=False)
    _add_check(commands)
    return parser


def _add_network(commands: Any) -> None:
    actions = add_group(commands, "network", "found, start and stop a network's nodes on this host")
    up = add(actions, "up", "network:up", "start this host's nodes and show them live; found the network if need be")
    _add_config(up)
    up.add_argument("--only", nargs="+", default=(), metavar="NAME", help="start these nodes alone")
    up.add_argument("--detach", action="store_true", help="return once the nodes are up, and leave them running")
    init = add(actions, "init", "network:init", "found a network and start nothing")
    _add_config(init)
    down = add(actions, "down", "network:down", "stop this host's nodes")
    down.add_argument("--only", nargs="+", default=(), metavar="NAME", help="stop these nodes alone")
    resync = add(actions, "resync", "network:resync", "put a stopped node's damaged files aside, to be fetched again")
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
    status = add(commands, "status", "status:status", "what every node says of itself; code 1 if one does not answer")
    status.add_argument("--watch", action="store_true", help="again and again, until interrupted")
    status.add_argument("--json", action="store_true", help="everything, as JSON")


def _add_submit(commands: Any) -> None:
    submit = add(commands, "submit", "submit:submit", "put FHIR records on the chain and verify their receipts")
    submit.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a FHIR resource as JSON, or a folder")
    submit.add_argument("--visitor", default="visitor-0", metavar="NAME", help="who signs (visitor-0)")
    add_citing(submit)
    submit.add_argument("--skip", action="store_true", help="leave out files that are no record, and name them")
    submit.add_argument("--no-wait", action="store_true", help="return once enough agents have accepted them")
    add_timeout(submit, "each record")

    sign = add(commands, "sign", "submit:sign", "store a record and print its signed transaction, to be sent by hand")
    sign.add_argument("file", type=Path, metavar="FILE", help="a FHIR resource as JSON")
    add_output(sign)
    sign.add_argument("--visitor", default="visitor-0", metavar="NAME", help="who signs (visitor-0)")


def _add_order(commands: Any) -> None:
    text = "have the chain carry out an order of the authority (where the authority's folder is)"
    actions = add_group(commands, "order", text, "ORDER")
    for name, text in (
        ("bond", "add to an administrator's stake, two blocks later"),
        ("unbond", "take from an administrator's stake, two blocks later"),
        ("revoke", "withdraw the certificate of a node that is no administrator"),
    ):
        action = add(actions, name, "order:order", text)
        action.add_argument("node", metavar="NAME")
        if name != "revoke":
            action.add_argument("amount", type=int, metavar="STAKE")
        add_waiting(action)


def _add_ledger(commands: Any) -> None:
    actions = add_group(commands, "ledger", "look into a ledger file, verify or prune it")
    for name, text in (
        ("verify", "replay a ledger from its genesis and check everything"),
        ("show", "list the blocks of a ledger, unchecked"),
    ):
        action = add(actions, name, f"ledger:{name}", text, has_folder=False)
        action.add_argument("file", type=Path, help="the ledger (SQLite)")
        if name == "verify":
            action.add_argument("--chain", metavar="HEX", help="the chain's id, if it is known from elsewhere")
            action.add_argument("--tip", metavar="HEX", help="the last block's hash, if it is known from elsewhere")
    text = "write a copy without the records of old blocks, and say what it cannot show any more"
    prune = add(actions, "prune", "ledger:prune_file", text, has_folder=False)
    prune.add_argument("file", type=Path, help="the ledger (SQLite), which stays as it is")
    prune.add_argument("--keep", type=blocks, required=True, metavar="N", help="blocks at the end that stay whole")
    prune.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (FILE.pruned.SUFFIX)")


def _add_check(commands: Any) -> None:
    text = "simulate networks under faults and check that everything holds; code 1 if it does not"
    check = add(commands, "check", "check:check", text, has_folder=False)
    which = check.add_mutually_exclusive_group()
    which.add_argument("--seeds", type=span, metavar="A:B", help="schedules A to B - 1 (0:1000, or all splits)")
    which.add_argument("--seed", type=int, metavar="N", help="this schedule alone")
    which.add_argument("--mutants", action="store_true", help="the negative controls: planted bugs that must be caught")
    check.add_argument("--splits", action="store_true", help="every two-way split over three rounds, not random faults")
    check.add_argument("--nodes", type=int, metavar="N", help="administrators (4)")
    check.add_argument("--rule", choices=CONSENSUS, default="pos", help="how blocks become final (pos)")
    check.add_argument("--mutant", default="", metavar="NAME", help="with this bug planted")
    check.add_argument("--jobs", type=jobs, default=1, metavar="N", help="processes (1)")
    check.add_argument("--trace", action="store_true", help="show all that happens under one seed")
