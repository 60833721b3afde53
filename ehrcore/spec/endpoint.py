"""The paper's Algorithms 3 and 4: the hash module, and the agent's answer to a request, as printed and as corrected.

Pure: what is sent comes back as a value.  The corrected agent here is the smallest that Algorithm 4 could have meant;
the real one is `ehrcore.roles.agent`, behind `ehrcore.drive.net.web.transactions`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ehrcore.spec import sha256

#: Where Algorithm 4 sends its proposals (lines 13 to 15).
COORDINATORS: Final = ("coordinator1", "coordinator2", "coordinator3")
OK: Final = 200
ACCEPTED: Final = 202
FORBIDDEN: Final = 403


@dataclass(frozen=True, slots=True)
class Request:
    """What a visitor sends (lines 6 to 9): a message on a patient, signed by ``source``."""

    message: bytes
    patient_id: str
    signature: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A message with the agent's flag: A (accepted) or R (rejected)."""

    message: bytes
    flag: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and text that the client gets, and the proposals sent to coordinators by name."""

    status: int
    text: str
    sent: Mapping[str, Proposal]


def sha256_hash(public_key: bytes) -> str:
    """Algorithm 3 as corrected (E26): 64 hexadecimal digits (E36)."""
    return sha256.digest(public_key).hex()


def answer_printed(request: Request, verify_signature: Callable[[bytes], bool]) -> Answer:
    """Algorithm 4's logic with its syntax (E27) mended and nothing else.

    The patient's id stands for a public key (E28), and its digest, a text that is never empty, for a check.  The
    signature is verified without key and message (E29): ``verify_signature`` sees nothing but the signature.  A single
    response can redirect once (E31): of three coordinators the first is told.  What is rejected goes on all the same,
    and the client hears 200 whatever happened (E32).
    """
    public_key = request.patient_id.encode()
    if sha256_hash(public_key) and verify_signature(request.signature):
        proposal = Proposal(request.message, "A")
    else:
        proposal = Proposal(request.message, "R")
    return Answer(OK, "Proposal Received", {COORDINATORS[0]: proposal})


def answer(
    request: Request,
    directory: Mapping[str, bytes],
    verify: Callable[[bytes, bytes, bytes], bool],
    coordinators: Sequence[str] = COORDINATORS,
) -> Answer:
    """Algorithm 4 as corrected (E28 to E32).

    The key is that of the source, from a ``directory`` of those who are enrolled; ``verify`` sees key, message and
    signature.  Every coordinator is sent a request of its own, of accepted proposals alone; the client is told which.
    """
    public_key = directory.get(request.source)
    if public_key is None or not verify(public_key, request.message, request.signature):
        return Answer(FORBIDDEN, "Proposal rejected", {})
    proposal = Proposal(request.message, "A")
    return Answer(ACCEPTED, "Proposal accepted", dict.fromkeys(coordinators, proposal))
