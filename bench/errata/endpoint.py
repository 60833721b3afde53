"""Demonstrations of E26 to E32 and E42: Algorithms 3 and 4, run on Node.js and as the pure model of `ehrcore.spec`."""

import hashlib
from typing import Final

from bench.errata.base import Line
from bench.errata.node import check_syntax, evaluate, listing_path, read_listing, restore_assignments, run_trial
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.signing.base import split
from ehrcore.spec.endpoint import Answer, Request, answer, answer_printed

_SCHEME: Final = find_scheme("p256/cryptography")
_CURVE: Final = CURVES["p256"]
_ID: Final = "0001"
_MESSAGE: Final = b"ECG of 0001"


def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return _SCHEME.verifying_key(public_key).verify(hashlib.sha256(message).digest(), signature)


def _is_well_formed(signature: bytes) -> bool:
    """All that can be said of a signature without key and message."""
    return split(_CURVE, signature) is not None


def _sign(who: str, message: bytes) -> bytes:
    return _SCHEME.private_key(derive_secret(_CURVE, who)).sign(hashlib.sha256(message).digest())


def _answers(request: Request) -> tuple[Answer, Answer]:
    """As printed, and as corrected where the operator alone is enrolled."""
    directory = {"operator": _SCHEME.private_key(derive_secret(_CURVE, "operator")).public_bytes}
    return answer_printed(request, _is_well_formed), answer(request, directory, _verify)


def _flags(found: Answer) -> str:
    """The flag that coordinators get, or that none gets one."""
    flags = sorted({proposal.flag for proposal in found.sent.values()})
    return f"sent on with flag {', '.join(flags)}" if flags else "nothing is sent on"


def _flag_line(what: str, request: Request) -> Line:
    printed, right = _answers(request)
    return Line(what, _flags(printed), _flags(right))


def _syntax_lines(name: str) -> list[Line]:
    printed, right = read_listing(f"{name}.js"), check_syntax(read_listing(f"{name}_corrected.js"))
    return [
        Line("Node.js on the listing", check_syntax(printed), right),
        Line("with each '=' that our copy may have lost put back", check_syntax(restore_assignments(printed)), right),
    ]


def show_module() -> list[Line]:
    """Algorithm 3 given to Node.js, as printed and as corrected, and the corrected one run."""
    path = listing_path("algorithm3_corrected.js")
    digest = evaluate(f"console.log(JSON.stringify(require({path}).sha256Hash('{_ID}')))")
    is_right = digest == hashlib.sha256(_ID.encode()).hexdigest()
    return [*_syntax_lines("algorithm3"),
            Line(f"sha256Hash('{_ID}')", "does not run", digest if is_right else f"wrong: {digest}")]  # fmt: skip


def show_endpoint() -> list[Line]:
    """Algorithm 4 given to Node.js, as printed and as corrected, and the corrected one run on loopback."""
    trial = run_trial()
    return [*_syntax_lines("algorithm4"),
            Line("answers to a signed proposal and to a changed one", "does not run",
                 f"{trial['signed']}, {trial['changed']}")]  # fmt: skip


def show_key() -> list[Line]:
    """What an agent tells coordinators of a stranger's request that names a patient's id, or any id."""
    own = _sign("stranger", _MESSAGE)
    return [
        _flag_line(f"a stranger's request on patient {name!r}", Request(_MESSAGE, name, own, "stranger"))
        for name in (_ID, "no such patient", "")
    ]


def show_verification() -> list[Line]:
    """What an agent tells coordinators of a message that was changed after it was signed."""
    signature = _sign("operator", _MESSAGE)
    return [_flag_line("another message under the operator's signature",
                       Request(b"ECG of 0002", _ID, signature, "operator"))]  # fmt: skip


def show_members() -> list[Line]:
    """Whether Node's requests have a body and whether anything redirects; where the corrected listing gets its own."""
    found = evaluate(
        "const http = require('http'); const q = new http.IncomingMessage(null);"
        "console.log(JSON.stringify(['body' in q, 'redirect' in q, 'on' in q, 'request' in http]))"
    )
    answers = ["there" if is_there else "not there" for is_there in found]
    return [
        Line("request.body, and right request.on('data')", answers[0], answers[2]),
        Line("request.redirect, and right http.request", answers[1], answers[3]),
    ]


def show_redirects() -> list[Line]:
    """How many coordinators three redirects of one response name, and how many three requests reach."""
    sent = evaluate(
        "const http = require('http'); const r = new http.ServerResponse(new http.IncomingMessage(null)); let sent = 0;"
        "for (const to of ['1', '2', '3']) try {"
        " r.writeHead(302, {Location: '../coordinator' + to}); r.end(); sent += 1 } catch (error) {"
        " if (error.code !== 'ERR_HTTP_HEADERS_SENT') throw error }"
        "console.log(JSON.stringify(sent))"
    )
    return [Line("coordinators of 3 that are told", str(sent), str(sum(count > 0 for count in run_trial()["heard"])))]


def show_rejection() -> list[Line]:
    """What coordinators and the client get of a request whose signature is none."""
    printed, right = _answers(Request(_MESSAGE, _ID, b"no signature", "operator"))
    return [
        Line("sent on, of a request that is rejected", _flags(printed), _flags(right)),
        Line("status that its client gets", str(printed.status), str(right.status)),
    ]


def show_names() -> list[Line]:
    """Whether Node.js has modules of the names that are printed and that are meant."""
    found = evaluate("const all = require('module').builtinModules;"
                     "console.log(JSON.stringify(['nmp', 'crypto'].map((name) => all.includes(name))))")  # fmt: skip
    printed, right = ("built in" if is_there else "not built in" for is_there in found)
    return [Line("'nmp', and right 'crypto'", printed, right)]
