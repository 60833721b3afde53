"""The command line `ehrcore`: look into ledgers and check them.

Bad input ends in one clear line on standard error and exit code 2.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ehrcore import __version__
from ehrcore.errors import EhrError, LedgerError


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see: {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ehrcore", description="A permissioned chain for health records.")
    parser.add_argument("--version", action="version", version=f"ehrcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ledger = commands.add_parser("ledger", help="look into a ledger file or verify it")
    actions = ledger.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("verify", "replay a ledger from its genesis and check everything"),
        ("show", "list the blocks of a ledger, unchecked"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("file", type=Path, help="the ledger (SQLite)")
        if name == "verify":
            action.add_argument("--chain", metavar="HEX", help="the chain's id, if it is known from elsewhere")
            action.add_argument("--tip", metavar="HEX", help="the last block's hash, if it is known from elsewhere")
    return parser


def verify_ledger(options: argparse.Namespace) -> None:
    """Print what was verified, or raise `LedgerError` naming the first block that does not hold.

    A ledger is checked against its own genesis; that it is the right one, and whole, only its reader can know.
    """
    from ehrcore.ledger import SqliteLedger  # noqa: PLC0415 - keeps the start short

    path: Path = options.file
    with SqliteLedger.open(path) as ledger:
        state = ledger.verify()
        params = ledger.genesis.params
    for name, wanted, found in (("chain", options.chain, state.chain), ("tip", options.tip, state.tip)):
        if wanted is not None and wanted.lower() != found.hex():
            raise LedgerError(f"{path}: expected {name} {wanted}, found {found.hex()}")
    print(f"{path}: {state.height} blocks verified from genesis")
    print(f"chain  {state.chain.hex()} ({params.hash_suite}, {params.curve}, {params.consensus.value})")
    print(f"tip    {state.tip.hex()}")
    print(f"state  {state.digest.hex()}")


def show_ledger(options: argparse.Namespace) -> None:
    """Print a line per block."""
    from ehrcore.ledger import SqliteLedger  # noqa: PLC0415 - keeps the start short

    with SqliteLedger.open(options.file) as ledger:
        print(f"{'height':>8} {'time [s]':>12} {'transactions':>12} {'marked invalid':>14}  proposer")
        for entry in ledger.entries():
            header = entry.block.header
            invalid = sum(reason != "" for reason in entry.reasons)
            print(
                f"{header.height:>8} {header.timestamp / 1e9:>12.3f} {header.size:>12} {invalid:>14}  {header.proposer}"
            )


def main(words: Sequence[str] | None = None) -> None:
    """Entry point."""
    try:
        try:
            options = _parser().parse_args(words)
            {"verify": verify_ledger, "show": show_ledger}[options.action](options)
        finally:
            print(end="", flush=True)
    except EhrError as error:
        sys.stderr.write(f"ehrcore: {' '.join(str(error).split())}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("ehrcore: interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone; Python must not try to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"ehrcore: output: expected room to write, found: {error.strerror}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
