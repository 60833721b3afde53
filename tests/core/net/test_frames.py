import base64
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.codec import encode
from ehrcore.drive.net.frames import MAX_SKEW_NS, TAG_BYTES, Frame, LinkKeys
from ehrcore.drive.net.plan import NetworkFolder
from ehrcore.errors import CodecError, DeploymentError, IdentityError
from tests.core.net.conftest import found_local


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, LinkKeys]:
    path = tmp_path_factory.mktemp("frames") / "network"
    plan = found_local(path)
    folder = NetworkFolder(path)
    return {
        name: LinkKeys(plan, name, bytes.fromhex((folder.node(name) / "link.key").read_text())) for name in plan.nodes
    }


def frame_of(keys: dict[str, LinkKeys], **changes: object) -> Frame:
    given = {
        "sender": "agent-0",
        "receiver": "coordinator-0",
        "epoch": 1,
        "sequence": 2,
        "sent_at": 3,
        "messages": (b"x",),
    }
    return Frame(keys["agent-0"]._chain, **(given | changes))  # type: ignore[arg-type]


def test_the_receiver_reads_what_the_sender_sealed(keys) -> None:
    frame = frame_of(keys)
    assert keys["coordinator-0"].open(keys["agent-0"].seal(frame)) == frame


def test_nobody_else_can_seal_for_the_sender(keys) -> None:
    forged = keys["visitor-0"]
    forged._keys["agent-0", "coordinator-0"] = forged._key("visitor-0", "coordinator-0")
    with pytest.raises(IdentityError, match="expected its tag"):
        keys["coordinator-0"].open(forged.seal(frame_of(keys)))


def test_a_frame_sent_back_to_its_sender_is_not_its_peers(keys) -> None:
    sealed = keys["agent-0"].seal(frame_of(keys))
    with pytest.raises(IdentityError):
        keys["agent-0"].open(sealed)
    # The two directions have keys of their own.
    turned = frame_of(keys, sender="coordinator-0", receiver="agent-0")
    data = encode(turned)
    assert keys["agent-0"]._key("agent-0", "coordinator-0") != keys["agent-0"]._key("coordinator-0", "agent-0")
    with pytest.raises(IdentityError, match="expected its tag"):
        keys["agent-0"].open(data + sealed[-TAG_BYTES:])


def test_a_greeting_is_known_by_whom_it_is_for_and_only_for_a_while(keys) -> None:
    greeting = keys["agent-0"].greet("coordinator-0", MAX_SKEW_NS)
    for now, is_known in ((0, True), (2 * MAX_SKEW_NS, True), (2 * MAX_SKEW_NS + 1, False)):
        assert keys["coordinator-0"].is_greeting(greeting, now) is is_known
    assert not keys["contributor-0"].is_greeting(greeting, MAX_SKEW_NS)
    assert not keys["agent-0"].is_greeting(greeting, MAX_SKEW_NS)


@given(st.text(max_size=40) | st.binary(max_size=120).map(lambda data: "Ehrcore " + base64.b64encode(data).decode()))
def test_nothing_else_is_a_greeting(keys, value: str) -> None:
    assert not keys["agent-0"].is_greeting(value, 0)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_greeting_with_a_changed_byte_is_none(keys, place: int, flip: int) -> None:
    content = bytearray(base64.b64decode(keys["agent-0"].greet("coordinator-0", 0).partition(" ")[2]))
    content[place % len(content)] ^= flip
    changed = f"Ehrcore {base64.b64encode(content).decode()}"
    assert not keys["coordinator-0"].is_greeting(changed, 0)


def test_a_frames_tag_makes_no_greeting(keys) -> None:
    data = encode(("agent-0", "coordinator-0", 0))
    tag = hmac.digest(keys["agent-0"]._key("agent-0", "coordinator-0"), data, "sha256")
    assert not keys["coordinator-0"].is_greeting(f"Ehrcore {base64.b64encode(data + tag).decode()}", 0)


@pytest.mark.parametrize("changes", [{"receiver": "contributor-0"}, {"chain": bytes(32)}])
def test_a_frame_for_another_is_refused(keys, changes) -> None:
    sealed = keys["agent-0"].seal(msgspec.structs.replace(frame_of(keys), **changes))
    with pytest.raises(IdentityError, match="expected one for coordinator-0"):
        keys["coordinator-0"].open(sealed)


def test_a_stranger_is_refused(keys) -> None:
    data = encode(frame_of(keys, sender="agent-7"))
    with pytest.raises(IdentityError, match="expected a sender of this network"):
        keys["coordinator-0"].open(data + bytes(TAG_BYTES))


@given(place=st.integers(0, 1 << 16), bit=st.integers(0, 7))
def test_every_changed_bit_is_found(keys, place: int, bit: int) -> None:
    sealed = bytearray(keys["agent-0"].seal(frame_of(keys)))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises((IdentityError, CodecError)):
        keys["coordinator-0"].open(bytes(sealed))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_frame_are_refused(keys, data: bytes) -> None:
    with pytest.raises((IdentityError, CodecError)):
        keys["coordinator-0"].open(data)


def test_a_link_key_that_is_not_the_plans_is_refused(tmp_path) -> None:
    plan = found_local(tmp_path / "one")
    with pytest.raises(DeploymentError, match="link key of agent-0"):
        LinkKeys(plan, "agent-0", bytes(32))


def test_two_networks_with_one_label_share_no_keys_between_chains(tmp_path) -> None:
    one, two = found_local(tmp_path / "one"), found_local(tmp_path / "two", name="other")
    made = []
    for path, plan in ((tmp_path / "one", one), (tmp_path / "two", two)):
        secret = bytes.fromhex((NetworkFolder(path).node("agent-0") / "link.key").read_text())
        made.append(LinkKeys(plan, "agent-0", secret)._key("agent-0", "coordinator-0"))
    assert made[0] != made[1]
