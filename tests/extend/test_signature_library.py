"""The example of a signature library, and libraries with one thing wrong, none of which is let in."""

import hashlib
from typing import Any

import pytest

from bench.micro.groups import build_groups
from bench.scenario import load_scenario
from ehrcore.errors import ParameterError, SignatureError
from ehrcore.signing import CURVES, SCHEMES, add_backend, find_scheme
from tests.extend.support import EXAMPLES, build, simulate


@pytest.mark.slow
def test_the_textbook_signs_all_that_a_chain_needs(load) -> None:
    load("signature_library")
    simulate(build("textbook", administrators=1), 1)


def test_the_textbook_is_measured_beside_the_default_library(load) -> None:
    load("signature_library")
    groups = {group.name: group for group in build_groups("signatures", {"libraries": ["textbook"]})}
    assert set(groups["p256-sign"].variants) == {"p256/cryptography", "p256/textbook"}
    assert "textbook" in load_scenario("smoke", EXAMPLES / "signature_library.toml").signatures.libraries


class Spoiled:
    """The default library with one thing wrong."""

    def __init__(self, curve: Any, **wrong: Any) -> None:
        self._right, self._wrong = find_scheme(f"{curve.name}/cryptography"), wrong
        self.name, self.is_modelled = wrong.get("name", f"{curve.name}/spoiled"), wrong.get("is_modelled", False)

    def private_key(self, secret: int) -> Any:
        key = self._right.private_key(secret)
        return _Key(key.public_bytes, self._wrong.get("sign", lambda right, digest: right.sign(digest)), key)

    def verifying_key(self, public_bytes: bytes) -> Any:
        try:
            key = self._right.verifying_key(public_bytes)
        except SignatureError:
            if "forgives" in self._wrong:
                return self._right.verifying_key(self._right.private_key(1).public_bytes)
            raise self._wrong.get("raises", SignatureError)("no point") from None
        return _Public(self._wrong.get("verify", lambda right, *given: right.verify(*given)), key)


class _Key:
    def __init__(self, public_bytes: bytes, sign: Any, right: Any) -> None:
        self.public_bytes, self._sign, self._right = public_bytes, sign, right

    def sign(self, digest: bytes) -> bytes:
        return self._sign(self._right, digest)


class _Public:
    def __init__(self, verify: Any, right: Any) -> None:
        self._verify, self._right = verify, right

    def verify(self, digest: bytes, signature: bytes) -> bool:
        return self._verify(self._right, digest, signature)


ORDER = CURVES["p256"].order


def other_s(signature: bytes) -> bytes:
    return signature[:32] + (ORDER - int.from_bytes(signature[32:])).to_bytes(32)


WRONG = {
    "another nonce": (
        {"sign": lambda right, digest: right.sign(hashlib.sha256(digest).digest())}, "deterministic low-S signature"
    ),
    "high s": ({"sign": lambda right, digest: other_s(right.sign(digest))}, "deterministic low-S signature"),
    "no digest is too short": (
        {"sign": lambda right, digest: right.sign(digest.rjust(32, b"\0")[:32])}, "a digest of 15 bytes"
    ),
    "believes all": ({"verify": lambda *_: True}, "that another digest is refused"),
    "believes nothing": ({"verify": lambda *_: False}, "that a right signature verifies"),
    "says 1 for yes": ({"verify": lambda *given: int(given[0].verify(*given[1:]))}, "expected True, found 1"),
    "believes both s": (
        {"verify": lambda right, digest, signature: right.verify(digest, signature)
         or (len(signature) == 64 and 0 < int.from_bytes(signature[32:]) < ORDER
             and right.verify(digest, other_s(signature)))},
        "that the other s of the two is refused",
    ),
    "believes what is longer": (
        {"verify": lambda right, digest, signature: right.verify(digest, signature[:64])},
        "a longer signature is refused",
    ),
    "takes any key": ({"forgives": True}, "a key of no bytes: expected a SignatureError"),
    "raises its own": ({"raises": ValueError}, "expected a SignatureError, found ValueError: no point"),
    "only models": ({"is_modelled": True}, "that it really signs"),
    "another name": ({"name": "p256/other"}, "a name: expected p256/spoiled, found p256/other"),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "expected"), WRONG.values(), ids=WRONG)
def test_a_library_that_is_wrong_is_not_added(wrong, expected) -> None:
    before = list(SCHEMES)
    with pytest.raises(ParameterError, match=expected):
        add_backend("spoiled", lambda curve: Spoiled(curve, **wrong), ["p256"])
    assert list(SCHEMES) == before


def test_a_library_that_is_right_is_added(load) -> None:
    del load  # which takes it away again
    add_backend("spoiled", Spoiled)
    assert find_scheme("secp256k1/spoiled").private_key(1).public_bytes[0] in {2, 3}
