"""Two documents that read differently and share all but their colliding beginnings.

The format stands for those of the published demonstrations (PostScript, PDF, images): it allows bytes that nobody looks
at before the content, and something in the content selects by one of them what is shown.  Both are needed.  Read from
the end, as a ZIP file or a PDF's cross-reference table is: an instruction in JSON, then its length in eight digits.
"""

from dataclasses import replace
from typing import Final

import msgspec

from bench.attacks.pairs import Pair
from bench.errors import BenchError

_LENGTH_DIGITS: Final = 8
#: What the two halves of a pair show: a prescription with another dose, a consent that says the opposite.
CONTENTS: Final = {
    "forged prescription": ("Methotrexate 2.5 mg once a WEEK", "Methotrexate 25 mg once a DAY"),
    "flipped consent": ("Consent: DENY research use of my records", "Consent: PERMIT research use of my records"),
}


class Instruction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Show the first text if the byte at ``offset`` is ``value``, else the second."""

    offset: int
    value: int
    shown: tuple[str, str]


def make_documents(pair: Pair, texts: tuple[str, str]) -> Pair:
    """Both halves, each followed by the same instruction; `BenchError` if nothing can follow them."""
    if not pair.is_extensible:
        raise BenchError(f"{pair.name}: expected a pair that collides whatever follows, found one that does not")
    offset = next(
        index for index, (left, right) in enumerate(zip(pair.first, pair.second, strict=True)) if left != right
    )
    content = msgspec.json.encode(Instruction(offset, pair.first[offset], texts))
    tail = content + b"%0*d" % (_LENGTH_DIGITS, len(content))
    return replace(pair, first=pair.first + tail, second=pair.second + tail)


def read_document(body: bytes) -> str:
    """What a reader of the format sees; `ValueError` if ``body`` is no document."""
    length = int(body[-_LENGTH_DIGITS:])
    content = body[-_LENGTH_DIGITS - length : -_LENGTH_DIGITS]
    instruction = msgspec.json.decode(content, type=Instruction)
    return instruction.shown[body[instruction.offset] != instruction.value]
