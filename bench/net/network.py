"""A real network for the time of a measurement: founded, started, loaded, and stopped."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer
from typing import Final, Self, TypeVar

import msgspec

from bench.engines.paired import plain_environment
from bench.errors import BenchError
from bench.net.step import Begin, Built, Command, Finish, Finished, Played, Step
from ehrcore.block import RecordRef
from ehrcore.codec import decode, encode
from ehrcore.drive.net.client import Client, fetch_health
from ehrcore.drive.net.files import read_file, write_file
from ehrcore.drive.net.local import LocalNetwork, require_free_ports
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, NetworkPlan, found
from ehrcore.drive.net.stores import open_store
from ehrcore.errors import DeploymentError
from ehrcore.hashing import find_suite
from ehrcore.records import ClinicalRecord
from ehrcore.types import Role

T = TypeVar("T", Built, Played, Finished)

REFERENCES: Final = "references"
#: Where ports are looked for: above those of common services, below those that systems give to clients.
_FIRST_PORTS: Final = range(20_000, 32_000, 50)
_START_S, _PATIENCE_S, _FINAL_S = 60.0, 30.0, 20.0


class MeasuredNetwork:
    """A network in the new folder ``path`` with a load generator beside it; a context manager.

    ``config`` says what it is but for its ports; keys come from ``label``.  ``records`` are in its store, and
    transactions cite them in turns.  Leaving the context ends all processes (``local``), whatever has happened.
    """

    def __init__(self, path: Path, config: NetworkConfig, label: str, records: Sequence[ClinicalRecord]) -> None:
        self.folder, self.plan = NetworkFolder(path), found_where_free(path, config, label)
        store_records(self.folder, self.plan, records)
        self.local, self._stack = LocalNetwork(path), ExitStack()
        self._generator: _Generator

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.local.stop)
            with _plain_environment():
                self.local.start(timeout_s=_START_S)
            self._generator = stack.enter_context(_Generator(self.folder.path / "generator.log"))
            begin = Begin(str(self.folder.path), str(self.folder.path / REFERENCES))
            self._generator.ask(begin, Built, _START_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, names: Sequence[str]) -> None:
        """Start nodes again that were ended, and wait until each answers."""
        with _plain_environment():
            self.local.start(names, timeout_s=_START_S)

    def play(self, step: Step, absent: Collection[str] = ()) -> Played:
        """Have a step of load played; `BenchError` if a process has ended meanwhile that is not to be ``absent``."""
        played = self._generator.ask(step, Played, step.warm_s + step.seconds + 2 * step.timeout_s + _PATIENCE_S)
        for reading in (played.before, played.after):
            for name, status in reading.items():
                if status is None and name not in absent:
                    raise BenchError(f"{name}: expected its status, found none ({self.local.last_line(name)})")
        return played

    def stop(self) -> Finished:
        """End all processes once all contributors have the same height; what the generator was promised."""
        end = time.monotonic() + _PATIENCE_S
        while len({fetch_health(self.folder, self.plan, name)["height"] for name in self.contributors()}) > 1:
            if time.monotonic() > end:
                break  # the audit will say what is missing
            time.sleep(0.05)  # heights have to be asked for: nobody tells of them
        finished = self._generator.ask(Finish(), Finished, _PATIENCE_S)
        told = self.local.stop(timeout_s=_PATIENCE_S)
        self._stack.close()
        for name in (name for name, became in told.items() if became != "stopped"):
            raise BenchError(f"{name}: expected it to end when asked to, found it at work {_PATIENCE_S:g} s later")
        return finished

    def find_reference(self) -> RecordRef:
        """What a transaction may cite."""
        return decode(read_file(self.folder.path / REFERENCES), tuple[RecordRef, ...])[0]

    def contributors(self) -> tuple[str, ...]:
        """Who keeps the ledger."""
        return tuple(name for name, role in self.plan.roles().items() if role is Role.CONTRIBUTOR)


class _Generator:
    """The generator's process; what it writes to standard error goes to a file."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __enter__(self) -> Self:
        words = [sys.executable, "-P", "-m", "bench.net.generator"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=plain_environment()
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, command: Command, kind: type[T], timeout_s: float) -> T:
        """Its answer; `TimeoutError` if there is none in time, `BenchError` if it has ended."""
        process = self._process
        watch = Timer(timeout_s, process.kill)
        watch.start()
        try:
            assert process.stdin is not None  # noqa: S101 - they are pipes
            assert process.stdout is not None  # noqa: S101
            process.stdin.write(msgspec.json.encode(command) + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            is_late = not watch.is_alive()
            watch.cancel()
        if line:
            return msgspec.json.decode(line, type=kind)
        if is_late:
            raise TimeoutError(f"load generator: expected an answer within {timeout_s:g} s, found none")
        said = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        raise BenchError(f"load generator: expected an answer, found its end: {last}")


async def await_final(client: Client, tx_ids: Sequence[bytes]) -> bool:
    """Wait until a contributor's ledger has these; False if it has not in time."""
    end = time.monotonic() + _FINAL_S
    while len(await client.final("contributor-0", tx_ids)) < len(tx_ids):
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.05)  # nobody tells of it: it has to be asked for
    return True


def found_where_free(path: Path, config: NetworkConfig, label: str) -> NetworkPlan:
    """Found the network where its ports are free."""
    nodes = config.agents + config.coordinators + config.administrators + config.contributors + config.visitors
    chance, error = random.Random(), DeploymentError("")
    for first in chance.sample(_FIRST_PORTS, 20):
        try:
            require_free_ports((f"port {port}", config.host, port) for port in range(first, first + nodes))
        except DeploymentError as taken:
            error = taken
            continue
        return found(path, msgspec.structs.replace(config, first_port=first), time.time_ns(), label)
    raise error


def store_records(folder: NetworkFolder, plan: NetworkPlan, records: Sequence[ClinicalRecord]) -> None:
    """Put the records where coordinators look for them, and write down what transactions cite."""
    authority, store = folder.open_authority(plan), open_store(folder)
    suite = find_suite(plan.open_genesis().params.hash_suite)
    references = []
    for record in records:
        store.put(record.location, record.body)
        pseudonym = authority.pseudonym(record.patient_id)
        digest, size = suite.hash(record.body), len(record.body)
        references.append(RecordRef(int(record.kind), pseudonym, digest, record.location, size))
    write_file(folder.path / REFERENCES, encode(tuple(references)))


@contextmanager
def _plain_environment() -> Iterator[None]:
    """Meanwhile this process has the environment that measured processes are to inherit."""
    before, plain = dict(os.environ), plain_environment()
    os.environ.clear()
    os.environ.update(plain)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
