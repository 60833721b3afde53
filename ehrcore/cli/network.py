"""`ehrcore network`: found a network, start and stop its nodes on this host, put damaged files aside."""

import argparse
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Final

from ehrcore.cli.config import build_config, read_given, require_same
from ehrcore.drive.net.local import LAUNCH_FILE, LocalNetwork, hold_launch, require_free_ports
from ehrcore.drive.net.plan import STORE_FILE, NetworkConfig, NetworkFolder, NetworkPlan, found, place_nodes
from ehrcore.errors import DeploymentError
from ehrcore.network import list_roles
from ehrcore.pseudonyms import RULES
from ehrcore.types import Role

#: What a node keeps, by what it is called here, and what it means to do without.
_FILES: Final = {
    "ledger": ("ledger.sqlite", "index.sqlite"),
    "journal": ("journal.sqlite",),
    "keys": ("keys.sqlite",),
}
#: Nobody has the shares of keys but the node itself: they are put aside only when that is asked for.
_FETCHED: Final = ("ledger", "journal")


def up(options: argparse.Namespace) -> int:
    """Found the network if there is none, start what does not run, and show it until interrupted."""
    given = read_given(options)
    if not NetworkFolder(options.folder).plan_path.exists():
        _found_to_start(options.folder, build_config(given), has_all=not options.only)
    local = LocalNetwork(options.folder)
    require_same(options.folder, local.plan, given)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    begin = time.monotonic()
    started = local.start(options.only)
    _announce(local, started, time.monotonic() - begin, options.only)
    if options.detach:
        return 0
    from ehrcore.cli.dashboard import watch

    try:
        watch(local)
    finally:
        # The first Ctrl-C is answered in full: a second one must not leave half of the nodes running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        mine = local.own()
        if mine:
            _stop(local, mine)
    return 0


def init(options: argparse.Namespace) -> None:
    """Found a network and start nothing."""
    plan = _found(options.folder, build_config(read_given(options)))
    print(f"{options.folder}: network {plan.name} founded, chain {plan.chain}")
    _warn(plan)
    hosts = {place.host for place in plan.nodes.values()}
    if len(hosts) > 1:
        kept = STORE_FILE if (options.folder / STORE_FILE).exists() else "objects/"
        shared = f"network.json, {'tls-authority.pem, ' if plan.tls else ''}{kept}"
        print(f"each host needs {shared} and the folders nodes/NAME of its own nodes, and nobody else's")


def down(options: argparse.Namespace) -> int:
    """Stop this host's nodes."""
    return _stop(LocalNetwork(options.folder), options.only)


def resync(options: argparse.Namespace) -> None:
    """Move a stopped node's files aside; nothing is deleted."""
    local, name = LocalNetwork(options.folder), options.node
    if name not in local.names():
        raise DeploymentError(f"node: expected one of {', '.join(local.names())}, found {name}")
    parts = [part for part in _FILES if getattr(options, part)] or list(_FETCHED)
    with hold_launch(local.folder.path):
        pid = local.running().get(name)
        if pid is not None:
            raise DeploymentError(f"{name}: expected a node that is stopped, found it running (process {pid})")
        moved = {part: _put_aside(local.folder.node(name), _FILES[part]) for part in parts}
    if not any(moved.values()):
        raise DeploymentError(f"{local.folder.node(name)}: expected a {' or a '.join(parts)}, found none")
    for part, paths in moved.items():
        for path in paths:
            print(f"{name}: kept as {path.name}")
        if paths:
            print(_meaning(part, local.plan.roles()[name]))


def _meaning(part: str, role: Role) -> str:
    if part == "ledger":
        return "at its next start the node fetches every block from its peers and validates it"
    if part == "keys":
        return (
            "its shares of records' keys are gone: records stay readable while a majority of contributors hold theirs, "
            "and whoever reads one gives its share back; delete what was put aside once it is of no more use, for no "
            "erasure reaches it"
        )
    if role is Role.AGENT:
        return "what it alone had accepted and was not final is lost: submit that again; orders come from its peers"
    if role is Role.ADMINISTRATOR:
        return (
            "it no longer knows how it voted at the height being decided: start it when the network has gone past it, "
            "lest it vote twice"
        )
    return "at its next start the node begins a journal anew"


def _put_aside(folder: Path, stems: tuple[str, ...]) -> list[Path]:
    """Rename databases and what SQLite keeps beside them; the number is the first that is free."""
    names = (f"{stem}{end}" for stem in stems for end in ("", "-wal", "-shm"))
    here = [path for name in names if (path := folder / name).exists()]
    number = 1
    while any((folder / f"{path.name}.damaged-{number}").exists() for path in here):
        number += 1
    try:
        return [path.rename(path.with_name(f"{path.name}.damaged-{number}")) for path in here]
    except OSError as error:
        raise DeploymentError(f"{folder}: expected files that can be renamed, found: {error.strerror}") from None


def _found(path: Path, config: NetworkConfig) -> NetworkPlan:
    """Found a network in a folder that is not there, or empty; nothing is left in it if that fails."""
    if not (path / LAUNCH_FILE).exists():
        _require_empty(path)
    with hold_launch(path):
        # Again, or for the first time where somebody else is or was at it.
        _require_empty(path)
        try:
            return found(path, config, time.time_ns())
        except BaseException:
            for item in _others(path):
                shutil.rmtree(item) if item.is_dir() else item.unlink()
            raise


def _found_to_start(path: Path, config: NetworkConfig, *, has_all: bool) -> None:
    """Found a network whose nodes are to run here, or go on with one that somebody else has just founded."""
    roles = list_roles(config.params(0))
    places = ((name, place) for name, place in place_nodes(config, roles).items() if roles[name] is not Role.VISITOR)
    try:
        if has_all:
            require_free_ports((name, place.host, place.port or 0) for name, place in places)
        _found(path, config)
    except DeploymentError:
        if not NetworkFolder(path).plan_path.exists():
            raise


def _require_empty(path: Path) -> None:
    try:
        others = _others(path)
    except OSError as error:
        raise DeploymentError(f"{path}: expected a folder, found: {error.strerror}") from None
    if NetworkFolder(path).plan_path in others:
        raise DeploymentError(f"{path}: expected no network, found one")
    if others:
        raise DeploymentError(f"{path}: expected a network or an empty folder, found {others[0].name} in it")


def _others(path: Path) -> list[Path]:
    return sorted(item for item in path.iterdir() if item.name != LAUNCH_FILE) if path.exists() else []


def _announce(local: LocalNetwork, started: tuple[str, ...], took_s: float, only: tuple[str, ...]) -> None:
    running, plan = local.running(), local.plan
    if started:
        print(f"{local.folder.path}: started {len(started)} of {len(local.names())} nodes in {took_s:.1f} s")
    else:
        print(f"{local.folder.path}: {', '.join(only) or 'all nodes'} already running")
    print(f"chain {plan.chain}")
    _warn(plan)
    for role, what in ((Role.AGENT, "/v1/transactions"), (Role.CONTRIBUTOR, "/")):
        for name in plan.names(role):
            place = "" if name in running else "  (not started from here)"
            print(f"{name:<16} {plan.url(name)}{what}{place}", flush=True)


def _warn(plan: NetworkPlan) -> None:
    """Say so if patients' names hide nobody."""
    rule = RULES[plan.pseudonyms]
    if rule.is_weak:
        print(f"WEAK pseudonyms: {plan.pseudonyms}, {rule.formula}; patients are known to {rule.revealed_to}")


def _stop(local: LocalNetwork, names: tuple[str, ...]) -> int:
    done = local.stop(names)
    for name, how in done.items():
        if how == "killed":
            print(f"{name}: killed, for it did not end when it was asked to")
    print(f"{local.folder.path}: stopped {len(done)} nodes" if done else f"{local.folder.path}: no node was running")
    return int("killed" in done.values())


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
