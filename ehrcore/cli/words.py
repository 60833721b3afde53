"""What every part of the command line is made of: names that are spelt out, what a word may be, and common flags.

Names are spelt out here, for what defines them takes long to import.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T", int, float)

#: The smallest and the largest number that is neither 0 nor infinite.
MIN_FLOAT, MAX_FLOAT = 5e-324, sys.float_info.max
FOLDER: Final = Path("ehr-network")
#: The rules by name; those of an extension join them when it is loaded.
CONSENSUS: Final = ["pos", "leader", "single", "pow"]
ROLES: Final = ("agents", "coordinators", "administrators", "contributors", "visitors")
#: In the order of their numbers.
KINDS: Final = ("medication", "diagnostic-report", "bill", "insurance", "birth", "death", "sensor")
ACTIONS: Final = ("read", "search", "write")
PURPOSES: Final = ("TREAT", "ETREAT", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT")
EMERGENCIES: Final = ("unconscious", "life-threatened", "unable-to-consent", "danger-to-others")
CAUSES: Final = ("unspecified", "key-compromise", "affiliation-changed", "cessation", "privilege-withdrawn")


class Extend(argparse.Action):
    """Load an extension on the spot: the words after it may already name what it adds."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        del parser, namespace, option_string
        extend((values,))


def extend(paths: Iterable[Path]) -> None:
    """Load extensions, and know the rules that they add."""
    from ehrcore.drive.extensions import load_extensions
    from ehrcore.params import FAMILIES

    load_extensions(paths)
    CONSENSUS.extend(rule for rule in FAMILIES if rule not in CONSENSUS)


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see: {self.prog} --help)\n")


def add(commands: Any, name: str, run: str, text: str, *, has_folder: bool = True) -> Parser:
    """A command that ``run`` carries out, a function as ``module:function``; with a network's folder, if it has one."""
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


def add_group(commands: Any, name: str, text: str, metavar: str = "ACTION") -> Any:
    """A command of several actions."""
    group = commands.add_parser(name, help=text, description=text)
    return group.add_subparsers(dest="action", required=True, metavar=metavar)


def add_timeout(command: Parser, what: str = "it") -> None:
    """How long to wait for what goes on the chain."""
    text = f"how long {what} may take (60)"
    command.add_argument("--timeout", type=seconds, default=60.0, metavar="S", help=text)


def add_waiting(command: Parser) -> None:
    """For a transaction that is waited for.  A visitor's name opens the connection; the author's signature counts."""
    command.set_defaults(no_wait=False, visitor="visitor-0")
    add_timeout(command)


def add_citing(command: Parser) -> None:
    """The agreement that an act is under."""
    command.add_argument("--agreement", metavar="ID", help="act under this agreement, and by its clauses")


def add_output(command: Parser) -> None:
    """Where what a command writes goes to."""
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (standard output)")


def _number(name: str, kind: Callable[[str], T], least: float, most: float = MAX_FLOAT) -> Callable[[str], T]:
    """What argparse reads a word with, which has to be from ``least`` to ``most``, and calls by ``name``."""

    def read(text: str) -> T:
        value = kind(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    read.__name__ = name
    return read


jobs: Final = _number("number of processes", int, 1)
blocks: Final = _number("number of blocks", int, 1)
seconds: Final = _number("number of seconds", float, MIN_FLOAT)
days: Final = _number("number of days", int, 1, 36_500)


def span(text: str) -> tuple[int, int]:
    """Two integers, the first and the one after the last."""
    first, _, end = text.partition(":")
    return int(first), int(end)


span.__name__ = "range A:B"
