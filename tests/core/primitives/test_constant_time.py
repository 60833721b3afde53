"""Secrets are compared in constant time, and no object that holds one shows it; read from the source, and tried."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from ehrcore.crypto import Crypto
from ehrcore.hashing import find_suite
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology
from ehrcore.sharing import split
from ehrcore.signing import CURVES, derive_secret, find_scheme

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "ehrcore").rglob("*.py"))
#: Words in the names of what must not be compared byte by byte.
SECRET = re.compile(
    r"(?:^|_)(?:mac|hmac|tag|secret|commitment|passphrase|password|token|capability|share|shares)(?:_|$)"
)
#: Comparisons of these names that reveal nothing, with the reason.
PLAIN = {
    "ehrcore/der.py": "`tag` is a type of ASN.1",
}
#: Where a secret is compared with what somebody else has sent.
COMPARING = ("ehrcore/custodian.py", "ehrcore/drive/net/frames.py", "ehrcore/sealing.py")


def names_of(node: ast.AST) -> set[str]:
    """Names and attributes that an operand is made of; what a call returns is no operand of ours."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    return names_of(node.value) if isinstance(node, ast.Subscript) else set()


def find_comparisons(source: str) -> list[str]:
    """``==``, ``!=`` and ``in`` on something that is called like a secret, as source."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(way, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for way in node.ops)
        # A number or a text in the source is no secret.
        and not any(isinstance(side, ast.Constant) for side in (node.left, *node.comparators))
        and any(SECRET.search(name) for side in (node.left, *node.comparators) for name in names_of(side))
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_called_a_secret_is_compared_byte_by_byte(path: Path) -> None:
    assert str(path.relative_to(ROOT)) in PLAIN or not find_comparisons(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", COMPARING)
def test_who_compares_secrets_does_so_in_constant_time(name: str) -> None:
    assert "hmac.compare_digest(" in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "source",
    ["tag == hmac.digest(key, data)", "if self._mac != given: pass", "secret in known", "found[0] == link_token",
     "x = 1 if given == commitment else 2", "passphrase != again"],
)  # fmt: skip
def test_a_planted_comparison_is_found(source: str) -> None:
    assert find_comparisons(source)


@pytest.mark.parametrize(
    "source", ["len(tag) == size", "stage == other", "hmac.compare_digest(tag, mac)", "secret is None", "tags == 3"]
)
def test_what_compares_no_secret_is_not_found(source: str) -> None:
    assert not find_comparisons(source)


@pytest.mark.parametrize("scheme", ["p256/cryptography", "secp256k1/cryptography", "p256/ecdsa", "p256/pycryptodome"])
def test_keys_show_nothing_of_themselves(scheme: str) -> None:
    secret = derive_secret(CURVES[scheme.partition("/")[0]], "shown")
    key = find_scheme(scheme).private_key(secret)
    for shown in (key, Crypto(find_suite("sha256"), find_scheme(scheme), key)):
        require_hidden(secret, repr(shown), str(shown), f"{shown!r:>10}")


def test_a_network_an_authority_and_a_share_show_no_secret() -> None:
    params = ChainParams("n", Topology(1, 1, 1, 1), 1, 1)
    network = found_network(params, "cryptography", "shown")
    for name in network.roles:
        require_hidden(derive_secret(CURVES["p256"], f"shown|{name}"), repr(network), repr(network.context(name)))
    require_hidden(int.from_bytes(network.authority.pseudonyms._secret), repr(network.authority), repr(network))
    for share in split(b"\x5a" * 32, 2, 3, bytes(range(32))):
        require_hidden(int.from_bytes(share.value), repr(share), f"{share}")


def require_hidden(secret: int, *shown: Any) -> None:
    raw = secret.to_bytes(32)
    for text in map(str, shown):
        assert not any(each in text.lower() for each in (raw.hex(), str(secret), repr(raw)[2:-1].lower()))
