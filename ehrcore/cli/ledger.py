"""`ehrcore ledger`: look into a ledger file, or replay it."""

import argparse
from pathlib import Path

from ehrcore.errors import LedgerError
from ehrcore.ledger import SqliteLedger


def verify(options: argparse.Namespace) -> None:
    """Print what was verified, or raise `LedgerError` naming the first block that does not hold.

    A ledger is checked against its own genesis; that it is the right one, and whole, only its reader can know.
    """
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


def show(options: argparse.Namespace) -> None:
    """Print a line per block."""
    with SqliteLedger.open(options.file) as ledger:
        print(f"{'height':>8} {'time [s]':>12} {'transactions':>12} {'marked invalid':>14}  proposer")
        for entry in ledger.entries():
            header = entry.block.header
            invalid = sum(reason != "" for reason in entry.reasons)
            print(
                f"{header.height:>8} {header.timestamp / 1e9:>12.3f} {header.size:>12} {invalid:>14}  {header.proposer}"
            )
