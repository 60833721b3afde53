"""`ehrcore ledger`: look into a ledger file, or replay it."""

import argparse
from pathlib import Path

from ehrcore.drive.pruned import UNCHECKED, PrunedLedger, is_pruned, prune
from ehrcore.errors import LedgerError
from ehrcore.ledger import SqliteLedger
from ehrcore.params import ChainParams
from ehrcore.state import ChainState


def verify(options: argparse.Namespace) -> None:
    """Print what was verified, or raise `LedgerError` naming the first block that does not hold.

    A ledger is checked against its own genesis; that it is the right one, and whole, only its reader can know.
    """
    path: Path = options.file
    state, params, gone = _verify(path)
    for name, wanted, found in (("chain", options.chain, state.chain), ("tip", options.tip, state.tip)):
        if wanted is not None and wanted.lower() != found.hex():
            raise LedgerError(f"{path}: expected {name} {wanted}, found {found.hex()}")
    print(f"{path}: {state.height} blocks verified from genesis{f', records from {gone + 1} on' if gone else ''}")
    print(f"chain  {state.chain.hex()} ({params.hash_suite}, {params.curve}, {params.consensus})")
    print(f"tip    {state.tip.hex()}")
    print(f"state  {state.digest.hex()}")
    _tell(gone)


def _verify(path: Path) -> tuple[ChainState, ChainParams, int]:
    """State, parameters, and the height up to which records are gone (0: nothing is)."""
    if not is_pruned(path):
        with SqliteLedger.open(path) as whole:
            return whole.verify(), whole.genesis.params, 0
    pruned = PrunedLedger(path)
    try:
        state, first = pruned.verify()
    finally:
        pruned.close()
    return state, pruned.genesis.params, first - 1


def _tell(gone: int) -> None:
    for item in UNCHECKED if gone else ():
        print(f"not checked in blocks 1 to {gone}: {item}")


def prune_file(options: argparse.Namespace) -> None:
    """Write a pruned copy beside the ledger; nothing is deleted."""
    path: Path = options.file
    target: Path = options.output or path.with_name(f"{path.stem}.pruned{path.suffix}")
    with SqliteLedger.open(path) as ledger:
        gone = prune(ledger, target, options.keep)
        height = ledger.height
    sizes = [item.stat().st_size for item in (path, target)]
    print(f"{target}: {height} blocks, records from {gone + 1} on; {sizes[1]:,} of {sizes[0]:,} bytes")
    _tell(gone)
    print("a node needs a whole ledger, and the network at least one: keep it, or know who does")


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
