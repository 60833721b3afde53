"""What a network is founded from: flags over a TOML file, and whether they agree with a network that exists."""

import argparse
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec

from ehrcore.cli.words import ROLES
from ehrcore.drive.net.files import read_file
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, NetworkPlan, place_nodes
from ehrcore.drive.net.stores import connect, read_store_config
from ehrcore.errors import DeploymentError
from ehrcore.network import list_roles
from ehrcore.pseudonyms import require_stable

_FLAGS: Final = (*ROLES, "consensus", "tls", "first_port")
_PLACES: Final = frozenset({"host", "first_port", "nodes"})
#: Fields that a chain's parameters have under the same names.
_PARAMS: Final = ("name", "endorsements", "approvals", "consensus", "dissemination", "hash_suite", "curve")
#: More nodes than any host runs, and fewer than would take a minute to certify.
MOST_NODES: Final = 1_000


def read_given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields that were given, by flag or in the file; `DeploymentError` names one that is not a field."""
    given = {} if options.config is None else _read_toml(options.config)
    given |= {name: value for name in _FLAGS if (value := getattr(options, name)) is not None}
    return given


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(read_file(path).decode())
    except (ValueError, RecursionError) as error:  # bad TOML, UTF-8 or numbers, or too many brackets
        raise DeploymentError(f"{path}: expected TOML, found: {error}") from None
    _convert(given, str(path))
    return given


def _convert(given: dict[str, Any], whence: str) -> NetworkConfig:
    try:
        return msgspec.convert(given, NetworkConfig)
    except msgspec.ValidationError as error:
        raise DeploymentError(f"{whence}: {error}") from None


def build_config(given: dict[str, Any]) -> NetworkConfig:
    """The whole configuration, with every value in its domain; `EhrError` names the first that is not."""
    config = _convert(given, "network")
    count = sum(getattr(config, role) for role in ROLES)
    if count > MOST_NODES:
        raise DeploymentError(f"network: expected at most {MOST_NODES} nodes, found {count}")
    params = config.params(0)
    params.validate()
    require_stable(config.pseudonyms)
    place_nodes(config, list_roles(params))
    if config.store is not None:
        connect(config.store)
    return config


def require_same(path: Path, plan: NetworkPlan, given: dict[str, Any]) -> None:
    """Raise `DeploymentError` that names the first given field in which the network in ``path`` is another."""
    if not given:
        return
    store = read_store_config(NetworkFolder(path))
    wanted, founded = build_config(given), msgspec.structs.replace(_describe(plan), store=store)
    for name in given.keys() - _PLACES:
        expected, found = getattr(founded, name), getattr(wanted, name)
        if found != expected:
            raise DeploymentError(f"{path}: expected {name} {expected}, as it was founded, found {name} {found}")
    if _PLACES & given.keys():
        for node, place in place_nodes(wanted, plan.roles()).items():
            held = plan.nodes[node]
            if (place.host, place.port) != (held.host, held.port):
                raise DeploymentError(
                    f"{path}: expected {node} at {held.host}:{held.port}, as it was founded, "
                    f"found {place.host}:{place.port}"
                )


def _describe(plan: NetworkPlan) -> NetworkConfig:
    """What ``plan`` was founded from, but for its addresses and its store."""
    params = plan.open_genesis().params
    limits, work, topology, stake = params.limits, params.work, params.topology, params.stake
    return NetworkConfig(
        **{role: getattr(topology, role) for role in ROLES},
        **{name: getattr(params, name) for name in _PARAMS},
        max_transactions=limits.max_transactions,
        max_block_bytes=limits.max_block_bytes,
        max_wait_ms=limits.max_wait_ns // 1_000_000,
        propose_timeout_ms=stake.propose_timeout_ns // 1_000_000,
        vote_timeout_ms=stake.vote_timeout_ns // 1_000_000,
        timeout_step_ms=stake.timeout_step_ns // 1_000_000,
        difficulty_bits=work.difficulty.bit_length() - 1,
        retarget_window=work.retarget_window,
        block_interval_ms=work.block_interval_ns // 1_000_000,
        confirmations=work.confirmations,
        tls=plan.tls,
        pseudonyms=plan.pseudonyms,
    )
