"""The nodes of a network that live on this host, as processes: start them, see which run, stop them.

A node runs exactly if its ``node.lock`` is held, so what runs is known without trusting a process id: an id is
signalled only while the lock beside it is held, and no process that is not a node of this network ever is.
"""

import fcntl
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from ehrcore.drive.net.client import NoAnswerError, fetch_health, folder_of
from ehrcore.drive.net.files import open_lock
from ehrcore.errors import DeploymentError
from ehrcore.types import Role

T = TypeVar("T")

LOCK_FILE: Final = "node.lock"
LOG_FILE: Final = "log"
#: Held while nodes are started, so that two who start the same network do not both start a node.
LAUNCH_FILE: Final = "launch.lock"
#: What a node says in these phases it says for good: it takes part.
UP_PHASES: Final = frozenset({"ready", "syncing"})
_PAUSE_S: Final = 0.05
_TAIL_BYTES: Final = 4_096


class LocalNetwork:
    """The nodes of the network in ``folder`` whose keys are here.  `DeploymentError` if it holds no network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plan = folder_of(folder)
        self._children: dict[str, int] = {}
        self._logs: dict[str, int] = {}

    def names(self) -> tuple[str, ...]:
        """Nodes that can run here, in the plan's order: visitors are clients, and others' keys are elsewhere."""
        roles = self.plan.roles()
        here = (name for name, role in roles.items() if role is not Role.VISITOR)
        return tuple(name for name in here if (self.folder.node(name) / "signing.key").exists())

    def running(self) -> dict[str, int]:
        """The nodes that run now, with their process ids."""
        found = {name: self._pid(name) for name in self.names()}
        return {name: pid for name, pid in found.items() if pid is not None}

    def own(self) -> tuple[str, ...]:
        """The nodes that run in a process that was started from here, not by anybody since."""
        return tuple(name for name, pid in self.running().items() if self._children.get(name) == pid)

    def start(self, names: Sequence[str] = (), *, timeout_s: float = 30.0) -> tuple[str, ...]:
        """Start what of ``names`` (all, if none are given) does not run, and wait until each answers.

        Returns the names that were started.  If one of them ends early, says nothing in time, or its port is taken,
        all that this call has started are stopped again and a `DeploymentError` says why, in that node's own words.
        """
        wanted = self._require(names)
        with hold_launch(self.folder.path, timeout_s):
            running = self.running()
            missing = tuple(name for name in wanted if name not in running)
            require_free_ports((name, self.plan.nodes[name].host, self.plan.nodes[name].port) for name in missing)
            try:
                for name in missing:
                    self._spawn(name)
                self._await_up(missing, timeout_s)
            except BaseException:
                self._abandon(missing)
                raise
        return missing

    def stop(self, names: Sequence[str] = (), *, timeout_s: float = 15.0) -> dict[str, str]:
        """End what of ``names`` (all, if none are given) runs, and wait for it.

        ``stopped``, or ``killed`` for a node that had not ended ``timeout_s`` after it was asked to.
        """
        wanted = set(self._require(names))
        asked = [name for name in self.running() if name in wanted]
        for name in asked:
            self._signal(name, signal.SIGTERM)
        left = _wait(asked, lambda name: not self._is_held(name), timeout_s)
        for name in left:
            self.kill(name)
        return {name: "killed" if name in left else "stopped" for name in asked}

    def kill(self, name: str) -> None:
        """End a node at once (SIGKILL), as a power cut would; nothing if it does not run."""
        self._require((name,))
        if self._signal(name, signal.SIGKILL):
            _wait([name], lambda _: not self._is_held(name), 10.0)
        self._reap(name)

    def last_line(self, name: str) -> str:
        """The node's last word in its log since it was started here, or the last error's; empty if there is none."""
        with suppress(OSError), (self.folder.node(name) / LOG_FILE).open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._logs.get(name, 0), end - _TAIL_BYTES))
            lines = [line for line in log.read().decode(errors="replace").split("\n") if line.strip()]
            words = re.compile(rf"\S+Z {re.escape(name)}: |[\w.]+(Error|Exception)\b")
            return next((line for line in reversed(lines) if words.match(line)), lines[-1] if lines else "").strip()
        return ""

    def _require(self, names: Sequence[str]) -> tuple[str, ...]:
        here = self.names()
        for name in names:
            if name not in here:
                raise DeploymentError(f"node: expected one that runs here ({', '.join(here) or 'none'}), found {name}")
        if not here:
            raise DeploymentError(f"{self.folder.path}: expected the key of a node in nodes/NAME, found none")
        return tuple(dict.fromkeys(names)) or here

    def _pid(self, name: str) -> int | None:
        """The process id that the holder of the node's lock has left in it; None if nobody holds it."""
        path = self.folder.node(name) / LOCK_FILE
        try:
            pid = int(path.read_bytes())
        except (OSError, ValueError):
            return None
        # A lock is looked at last: that is to take it for a moment, which must not meet a node that just starts.
        return pid if pid > 1 and _is_alive(pid) and _is_locked(path) else None

    def _is_held(self, name: str) -> bool:
        self._reap(name)
        return self._pid(name) is not None

    def _signal(self, name: str, number: signal.Signals) -> bool:
        pid = self._pid(name)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise DeploymentError(f"{name}: expected a process of this user, found one of another ({pid})") from None
        return True

    def _spawn(self, name: str) -> None:
        """A process in a session of its own: Ctrl-C at the terminal is for who started it, not for it."""
        path = self.folder.node(name) / LOG_FILE
        words = [sys.executable, "-m", "ehrcore.drive.net", str(self.folder.path), name]
        try:
            log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise DeploymentError(f"{path}: expected a file that can be written, found: {error.strerror}") from None
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            self._logs[name] = os.fstat(log).st_size
            streams = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
            self._children[name] = os.posix_spawn(
                sys.executable, words, os.environ, file_actions=streams, setsid=True, setsigdef=(signal.SIGPIPE,)
            )
        except OSError as error:
            raise DeploymentError(f"{name}: expected room for a process, found: {error.strerror}") from None
        finally:
            os.close(log)
            os.close(nothing)

    def _await_up(self, names: Sequence[str], timeout_s: float) -> None:
        late = _wait(names, self._is_up, timeout_s)
        if late:
            told = self.last_line(late[0]) or "nothing in its log"
            raise DeploymentError(f"{late[0]}: expected an answer within {timeout_s:g} s, found none ({told})")

    def _is_up(self, name: str) -> bool:
        if self._reap(name):
            told = self.last_line(name) or "it ended without a word"
            _, is_own, words = told.partition(f"Z {name}: ")
            raise DeploymentError(f"{name}: {words if is_own else told}")
        if self._pid(name) != self._children[name]:
            return False
        try:
            return fetch_health(self.folder, self.plan, name).get("phase") in UP_PHASES
        except NoAnswerError:
            return False

    def _abandon(self, names: Iterable[str]) -> None:
        """Stop what was started in vain: by its own id, for it may not hold its lock yet."""
        started = [name for name in names if name in self._children]
        for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            left = [name for name in started if not self._reap(name)]
            for name in left:
                os.kill(self._children[name], number)
            _wait(left, self._reap, patience_s)

    def _reap(self, name: str) -> bool:
        """Whether no process that was started from here is left of the node; takes the exit code of one that ended."""
        pid = self._children.get(name)
        if pid is None:
            return True
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            ended = True
        if ended:
            del self._children[name]
        return ended


@contextmanager
def hold_launch(folder: Path, timeout_s: float = 30.0) -> Iterator[None]:
    """Hold off whoever else would found or start a network in ``folder``, which is made if it is not there."""
    path = folder / LAUNCH_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeploymentError(f"{path}: expected a file that can be written, found: {error.strerror}") from None
    with open_lock(path) as descriptor:
        if _wait([path], lambda _: _try_lock(descriptor), timeout_s):
            raise DeploymentError(f"{path}: expected nobody else to start this network, found somebody who does")
        yield


def require_free_ports(places: Iterable[tuple[str, str, int]]) -> None:
    """Raise `DeploymentError` that names the first of (node, host, port) that nobody could listen on."""
    for name, host, port in places:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            raise DeploymentError(f"{name}: expected {host}:{port} to be free, found: {error.strerror}") from None


def _wait(items: Sequence[T], is_done: Callable[[T], bool], timeout_s: float) -> list[T]:
    """Wait until each item is done; those that are not after ``timeout_s``."""
    left, end = list(items), time.monotonic() + timeout_s
    while left := [item for item in left if not is_done(item)]:
        if time.monotonic() > end:
            return left
        time.sleep(_PAUSE_S)  # locks and processes of others wake nobody: they have to be looked at
    return []


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
