"""Demonstrations of E01 to E12, E36 and E37: Algorithm 1, modular exponentiation, Equations 1 and 2, and digests."""

import hashlib
import math
from collections.abc import Iterable
from typing import Final

from bench.errata.base import Line
from ehrcore.errors import ParameterError
from ehrcore.spec import sha256
from ehrcore.spec.equations import Trapdoor, exponentiate, exponentiate_printed, hash_message, hash_message_printed

MESSAGE: Final = "patient 0001"
#: The id of section 3, step 2; where the paper breaks the line, our copy has a space that is left out here.
EXAMPLE_ID: Final = "1bcd9cefb5ef8afn5ad4d4ff74b3ade"
_MODULUS: Final = 3233  # 61 * 53, of the textbooks
_TRAPDOOR: Final = Trapdoor(_MODULUS, 17, pow(17, -1, math.lcm(60, 52)))


def _as_printed(message: str, printed: Iterable[str]) -> str:
    """The digest by Algorithm 1 with these errata, or why there is none."""
    try:
        return sha256.show_words(sha256.hash_words(sha256.encode_text(message, frozenset(printed)), frozenset(printed)))
    except ParameterError as error:
        return f"none ({error})"


def _compare(message: str, *printed: str) -> Line:
    called = repr(message) if len(message) < 20 else f"{len(message)} letters"
    return Line(f"digest of {called}", _as_printed(message, printed), hashlib.sha256(message.encode()).hexdigest())


def show_padding() -> list[Line]:
    """A digest, padded without the 1 bit, beside hashlib's."""
    return [_compare(MESSAGE, "E01")]


def show_blocks() -> list[Line]:
    """Digests of what no single block holds, a record of 2 KB among them."""
    return [_compare("x" * size, "E02") for size in (56, 2048)]


def show_schedule() -> list[Line]:
    """How many digests 100 messages of one length and one beginning have."""
    messages = [f"ECG of patient {number:04}" for number in range(100)]
    lines = [
        Line(f"different digests of 100 messages, {name}", str(len(found)), str(len(right)))
        for name, printed in (("M_0 alone", {"E03"}), ("the whole of Algorithm 1 as printed", sha256.ALGORITHM_1))
        for found in [{_as_printed(message, printed) for message in messages}]
        for right in [{hashlib.sha256(message.encode()).digest() for message in messages}]
    ]
    return [_compare(MESSAGE, "E03"), *lines]


def show_third_word() -> list[Line]:
    """The third word of a digest, which has lost its old value."""
    words = sha256.hash_words(MESSAGE.encode(), frozenset({"E04"}))
    right = hashlib.sha256(MESSAGE.encode()).hexdigest()[16:24]
    return [Line(f"third word of the digest of {MESSAGE!r}", f"{words[2]:08x}", right)]


def show_last_round() -> list[Line]:
    """A digest that leaves out the last round."""
    return [_compare(MESSAGE, "E05")]


def show_missing_sign() -> list[Line]:
    """A digest whose E is never assigned, for the listing has a plus where it needs an equals sign."""
    return [_compare(MESSAGE, "E06")]


def show_modulus() -> list[Line]:
    """The longest word of a digest whose sums are not reduced, and the digest's length."""
    words = sha256.hash_words(MESSAGE.encode(), frozenset({"E07"}))
    right = hashlib.sha256(MESSAGE.encode()).hexdigest()
    longest = max(int(right[start : start + 8], 16).bit_length() for start in range(0, 64, 8))
    return [
        Line("bits of the longest word", str(max(words).bit_length()), str(longest)),
        Line("hexadecimal digits of the digest", str(len(sha256.show_words(words))), str(len(right))),
    ]


def show_encoding() -> list[Line]:
    """Digests of names that ASCII cannot write."""
    return [_compare(name, "E08") for name in ("Zoë", "Łukasz")]


def show_exponentiation() -> list[Line]:
    """Whether the values of two messages tell that of their product, as they do for powers modulo n."""
    n, e = (1 << 255) - 19, 65537

    def product_rule(hash_of: "dict[int, int]") -> str:
        return "yes" if hash_of[2] * hash_of[3] % n == hash_of[6] else "no"

    powers = {m: exponentiate(m, e, n) for m in (2, 3, 6)}
    digests = {m: int.from_bytes(hashlib.sha256(bytes([m])).digest()) % n for m in (2, 3, 6)}
    return [
        Line("h(2) h(3) = h(6) modulo n", product_rule(powers), product_rule(digests)),
        Line("h(1), in hexadecimal", f"{exponentiate(1, e, n):x}", hashlib.sha256(b"\x01").hexdigest()),
    ]


def show_remainder() -> list[Line]:
    """Three bases raised to the 3rd power modulo 13, the exponent or the power being divided."""
    bases = (5, 6, 7)
    printed, right = (
        ", ".join(str(rule(base, 3, 13)) for base in bases) for rule in (exponentiate_printed, exponentiate)
    )
    return [Line("5, 6 and 7, exponent 3, modulus 13", printed, right)]


def show_trapdoor() -> list[Line]:
    """How many inputs can be had back: from textbook RSA with its secret, and at best from a hash of the same range."""
    inputs = range(_MODULUS)
    recovered = sum(_TRAPDOOR.invert(_TRAPDOOR.apply(a)) == a for a in inputs)
    values = {int.from_bytes(hashlib.sha256(str(a).encode()).digest()) % _MODULUS for a in inputs}
    return [Line(f"inputs of {_MODULUS} that have a value of their own", str(recovered), str(len(values)))]


def show_identity() -> list[Line]:
    """What Equation 2 gives for a patient's id, and its size for messages of three sizes."""
    sizes = (0, 12, 1000)
    rules = (hash_message_printed, hash_message)
    printed, right = (", ".join(str(8 * len(rule(bytes(size)))) for size in sizes) for rule in rules)
    plain, digest = (rule(MESSAGE.encode()) for rule in rules)
    return [
        Line(f"h of {MESSAGE!r}", repr(plain.decode()), digest.hex()),
        Line("bits of h for 0, 12 and 1000 bytes", printed, right),
    ]


def show_digits() -> list[Line]:
    """The size of a digest that is written in hexadecimal."""
    text = hashlib.sha256(MESSAGE.encode()).hexdigest()
    return [Line("bits of the digest", str(len(text)), f"{4 * len(text)}, as {len(text)} digits of 4 bits")]


def show_example_id() -> list[Line]:
    """The paper's example of a hashed id beside a digest: its length, and the letters that are no digits."""
    digest = hashlib.sha256(b"0001").hexdigest()
    printed, right = ("".join(sorted(set(text) - set("0123456789abcdef"))) or "none" for text in (EXAMPLE_ID, digest))
    return [
        Line("length", str(len(EXAMPLE_ID)), str(len(digest))),
        Line("what is no hexadecimal digit", printed, right),
    ]
