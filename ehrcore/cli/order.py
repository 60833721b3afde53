"""`ehrcore order`: what the authority orders about nodes, carried out by the chain itself."""

import argparse
import time

from ehrcore.authority import Authority
from ehrcore.block import Transaction
from ehrcore.cli.desk import settle_aloud
from ehrcore.cli.records import Nonces, open_authority
from ehrcore.drive.net.client import folder_of
from ehrcore.drive.net.plan import NetworkPlan
from ehrcore.errors import DeploymentError
from ehrcore.types import Role

MOST_STAKE = (1 << 53) - 1


def order(options: argparse.Namespace) -> int:
    """Sign the order, hand it in and wait until it is final; 1 if it is refused or not final in time."""
    folder, plan = folder_of(options.folder)
    authority = open_authority(folder, plan)
    _check(plan, options)
    authority.nonce = Nonces(folder.authority).take()
    tx = _sign(plan, authority, options)
    wanted = f"{options.action} {options.node}: expected a final and valid order"
    return settle_aloud(folder, plan, tx, options, wanted)


def _check(plan: NetworkPlan, options: argparse.Namespace) -> None:
    is_voter = plan.roles().get(options.node) is Role.ADMINISTRATOR
    if options.action == "revoke":
        if is_voter or options.node not in plan.roles():
            raise DeploymentError(f"NAME: expected a node that is no administrator, found {options.node!r}")
        return
    if not is_voter:
        raise DeploymentError(f"NAME: expected an administrator, found {options.node!r}")
    if not 1 <= options.amount <= MOST_STAKE:
        raise DeploymentError(f"STAKE: expected 1 to {MOST_STAKE}, found {options.amount}")


def _sign(plan: NetworkPlan, authority: Authority, options: argparse.Namespace) -> Transaction:
    chain, now = bytes.fromhex(plan.chain), time.time_ns()
    if options.action == "revoke":
        certificates = plan.open_genesis().certificates
        serial = next(item.body.serial for item in certificates if item.body.subject == options.node)
        return authority.revoke(chain, serial, now)
    change = authority.bond if options.action == "bond" else authority.unbond
    return change(chain, options.node, options.amount, now)
