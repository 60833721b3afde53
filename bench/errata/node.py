"""The paper's listings, and Node.js to run them; whoever has none is told so."""

import json
import re
import shutil
import subprocess
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from bench.errata.base import NotRunError

_LISTINGS: Final = Path(str(resources.files("bench"))) / "errata" / "listings"
_PATIENCE_S: Final = 30


def read_listing(name: str) -> str:
    """A listing as printed (as our machine-read copy of the paper has it, without line numbers) or as corrected."""
    return (_LISTINGS / name).read_text(encoding="utf-8")


def restore_assignments(listing: str) -> str:
    """The listing with an equals sign wherever one may have been lost by the machine that read the paper."""
    name = r"^((?:var |exports\.)?[\w.]+) +(?=(?:require|request\.body|function|proposal)\b)"
    return re.sub(name, r"\1 = ", listing, flags=re.MULTILINE)


def check_syntax(source: str) -> str:
    """What Node.js says of a program's syntax: `parses`, or its error."""
    program = (
        "try { new (require('vm').Script)(require('fs').readFileSync(0, 'utf8')); console.log('parses') }"
        "catch (error) { console.log(String(error)) }"
    )
    return _run("-e", program, text=source).strip()


def evaluate(program: str) -> Any:
    """What a program prints as JSON."""
    return json.loads(_run("-e", program))


@cache
def run_trial() -> dict[str, Any]:
    """What the corrected Algorithm 4 does between a client and three coordinators on loopback."""
    result: dict[str, Any] = json.loads(_run(str(_LISTINGS / "trial.js")))
    return result


def listing_path(name: str) -> str:
    """Where a listing is, as a program can `require` it."""
    return json.dumps(str(_LISTINGS / name))


def _run(*words: str, text: str = "") -> str:
    command = shutil.which("node")
    if command is None:
        raise NotRunError("Node.js is not on the path")
    done = subprocess.run([command, *words], input=text, capture_output=True, encoding="utf-8", timeout=_PATIENCE_S,
                          check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"node: expected exit code 0, found {done.returncode}: {done.stderr.strip()}")
    return done.stdout
