"""A hospital ward for attacks on custody: real nodes, files and HTTP, with all nodes in this process.

So that each denial can be read where it is counted, and nodes can lie, forget, or have another clock.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.net.network import found_where_free
from ehrcore.block import RecordRef, Transaction, TransactionBody
from ehrcore.cli.desk import keep_record
from ehrcore.codec import encode
from ehrcore.consent import Access, Action, Consent, Provision, Purpose
from ehrcore.crypto import Crypto
from ehrcore.custody import ReleaseBody, ReleaseRequest
from ehrcore.drive.net.client import Answer, Client
from ehrcore.drive.net.custodians import Custodians, unseal
from ehrcore.drive.net.objects import FileStore
from ehrcore.drive.net.persons import Person
from ehrcore.drive.net.plan import NetworkConfig, NetworkFolder, NetworkPlan
from ehrcore.drive.net.web.custody import REQUEST_MEDIA
from ehrcore.drive.net.web.views import TRANSACTION_MEDIA
from ehrcore.errors import EhrError
from ehrcore.hashing import find_suite
from ehrcore.identity import FOREVER, Capacity
from ehrcore.records import RecordKind, make_record
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import Role

if TYPE_CHECKING:
    from ehrcore.drive.net.host import NodeHost

PATIENT: Final = hashlib.sha256(b"anna").digest()
OTHER_PATIENT: Final = hashlib.sha256(b"bert").digest()
_PATIENCE_S: Final = 20.0
_CONTRIBUTORS: Final = 3


async def do_not_wait(timeout_s: float) -> bool:
    """In the place of `Links.drain`, where nobody is there to take what waits."""
    return timeout_s < 0


class Ward:
    """A patient (anna), a doctor whom she trusts, and a physician whom she does not know."""

    def __init__(self, folder: NetworkFolder, plan: NetworkPlan, hosts: "dict[str, NodeHost]", client: Client) -> None:
        self.folder, self.plan, self.hosts, self.client = folder, plan, hosts, client
        self.chain, params = bytes.fromhex(plan.chain), plan.open_genesis().params
        self.anna, self.doctor, self.stranger = (
            make_person(params.curve, params.hash_suite, name) for name in ("anna", "doctor", "stranger")
        )
        self.author = self._find_author()
        self.store = FileStore(folder.objects)
        self.custodians = tuple(name for name, role in plan.roles().items() if role is Role.CONTRIBUTOR)
        self._nonce = 0

    def _find_author(self) -> Person:
        """The hospital's system, which writes records."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        crypto = self.folder.context(self.plan, "visitor-0").crypto
        key = crypto.scheme.private_key(1)  # it signs with its crypto
        return Person("visitor-0", "visitor-0", key, X25519PrivateKey.generate(), crypto)

    async def put(self, tx: Transaction) -> bytes:
        """Hand in, and wait until all custodians have it; its id."""
        answer = await self.client.request("agent-0", "/v1/transactions", encode(tx), media=TRANSACTION_MEDIA)
        if answer.status != 202:
            raise AssertionError(f"expected a transaction that agents take, found {answer.problem()}")
        tx_id = self.author.crypto.hash_struct(tx.body)
        await eventually(lambda: all(self.hosts[name].find(tx_id) for name in self.custodians))
        return tx_id

    async def say(self, person: Person, payload: Any) -> bytes:
        """A transaction of a person; its id, once it is in every ledger."""
        self._nonce += 1
        body = TransactionBody(self.chain, person.subject, self._nonce, time.time_ns(), payload)
        return await self.put(Transaction(body, person.crypto.sign(body)))

    async def enrol(self) -> None:
        """The authority certifies all three."""
        authority = self.folder.open_authority(self.plan)
        capacities = (Capacity.PATIENT, Capacity.PRACTITIONER, Capacity.PRACTITIONER)
        for number, person in enumerate((self.anna, self.doctor, self.stranger)):
            certificate = authority.certify(
                person.subject, Role.VISITOR, person.key.public_bytes, kinds=(), capacity=capacities[number],
                pseudonym=b"" if number else PATIENT, wrap_key=person.wrap_key.public_key().public_bytes_raw(),
                serial=1_000 + number,
            )  # fmt: skip
            await self.put(authority.enrol(self.chain, certificate, time.time_ns()))

    async def consent(self, who: Person) -> bytes:
        """Anna permits ``who`` to read and to search for treatment."""
        actions, purposes = (Action.READ, Action.SEARCH), (Purpose.TREATMENT,)
        provision = Provision(True, (who.subject,), (), (), actions, purposes, 0, FOREVER)  # noqa: FBT003 - its order
        return await self.say(self.anna, Consent(PATIENT, (provision,)))

    async def write(self, body: bytes, pseudonym: bytes = PATIENT) -> tuple[bytes, RecordRef]:
        """A record of the hospital's, sealed, its key dealt out; the transaction's id, and what it says."""
        record = make_record(RecordKind.BILL, "patient", "Claim", body)
        deposits = Custodians(self.client, self.author.subject, self.author.crypto)
        reference = await keep_record(deposits, self.store, self.author.crypto, pseudonym, record)
        return await self.say(self.author, reference), reference

    async def access(self, person: Person, about: RecordRef, **changes: Any) -> bytes:
        """An access on the chain, accepted or not; its id."""
        digest = person.crypto.hash_struct(about)
        access = Access(Action.READ, about.pseudonym, about.kind, digest, Purpose.TREATMENT)
        return await self.say(person, msgspec.structs.replace(access, **changes))

    async def ask(self, who: Person, access: bytes, tx_id: bytes, **changes: Any) -> Answer:
        """One custodian is asked for its share, with ``changes`` of what the request says."""
        node = changes.pop("node", self.custodians[0])
        body = ReleaseBody(self.chain, node, who.subject, access, tx_id, time.time_ns())
        body = msgspec.structs.replace(body, **changes)
        request = encode(ReleaseRequest(body, who.crypto.sign(body)))
        return await self.client.request(node, "/v1/custody/releases", request, media=REQUEST_MEDIA)

    async def read(self, person: Person, access: bytes, tx_id: bytes, record: RecordRef, place: Path) -> bytes:
        """The whole way of a reader, as `ehrcore read` goes it; `StorageError` if it leads nowhere."""
        reader = Custodians(self.client, person.subject, person.crypto)
        handed, self.troubles = await reader.collect(access, tx_id, record, person.wrap_key)
        await reader.fetch(handed, record, place / "sealed")
        unseal(record, handed, place / "sealed", plain := place / "plain")
        content = plain.read_bytes()
        plain.unlink()
        return content


def make_person(curve: str, suite: str, alias: str) -> Person:
    """Somebody whose keys come from a name."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    scheme = find_scheme(f"{curve}/cryptography")
    key = scheme.private_key(derive_secret(CURVES[curve], alias))
    wrap_key = X25519PrivateKey.from_private_bytes(hashlib.sha256(alias.encode()).digest())
    return Person(f"person-{alias}", alias, key, wrap_key, Crypto(find_suite(suite), scheme, key))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it is so; `TimeoutError` if it is not to be."""
    async with asyncio.timeout(_PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.005)


@asynccontextmanager
async def open_ward(path: Path, curve: str, label: str) -> AsyncIterator[Ward]:
    """Found a network in the new folder ``path``, serve all its nodes on loopback, and enrol everybody."""
    config = NetworkConfig(curve=curve, contributors=_CONTRIBUTORS, visitors=1, max_wait_ms=10)
    plan, folder = found_where_free(path, config, label), NetworkFolder(path)
    names = [name for name, role in plan.roles().items() if role is not Role.VISITOR]
    async with AsyncExitStack() as stack:
        hosts = {name: await _serve(folder, plan, name, stack) for name in names}
        client = await stack.enter_async_context(Client(folder, plan, "visitor-0"))
        ward = Ward(folder, plan, hosts, client)
        await ward.enrol()
        yield ward
        for host in hosts.values():
            # What is for a node that is gone already would be waited for.
            host.links.drain = do_not_wait  # type: ignore[method-assign]


async def _serve(folder: NetworkFolder, plan: NetworkPlan, name: str, stack: AsyncExitStack) -> "NodeHost":
    from aiohttp import web

    from ehrcore.drive.net.node import open_host
    from ehrcore.drive.net.sync import followers
    from ehrcore.drive.net.web.app import Runner, build_app
    from ehrcore.drive.net.web.exchange import Bounds

    host = open_host(folder, plan, name)
    stack.push_async_callback(_close, host)
    await host.links.start()
    runner = Runner(build_app(host, Bounds()), shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    place = plan.nodes[name]
    await web.TCPSite(runner, place.host, place.port).start()
    host.start()
    stack.push_async_callback(_cancel, followers(host))
    return host


async def _close(host: "NodeHost") -> None:
    with suppress(EhrError):
        await host.close()


async def _cancel(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
