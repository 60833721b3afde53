"""What a case of the micro-benchmarks is: a call that is set up, checked once, and then measured by either front end.

The paired engine compares the operations of a family with each other; pytest-benchmark measures them one by one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from bench.errors import BenchError
from bench.measure.paired import Group, Runner, repeat_call

NOT_INSTALLED: Final = "the package '{}' is not installed"


#: A function with its arguments, and whether what it returned is right.
Prepared = tuple[tuple[Any, ...], Callable[[Any], bool]]


@dataclass(frozen=True, slots=True)
class Operation:
    """``prepare()`` builds everything anew; ``details`` are JSON values that tables show beside the times."""

    prepare: Callable[[], Prepared]
    details: Mapping[str, Any]

    def build_runner(self) -> Runner:
        """A runner for the paired engine; `BenchError` if the operation does not do what it is measured for."""
        (function, *arguments), is_right = self.prepare()
        found = function(*arguments)
        if not is_right(found):
            raise BenchError(f"operation {dict(self.details)}: expected a right result, found {found!r:.80}")
        return repeat_call(function, *arguments)


@dataclass(frozen=True, slots=True)
class Family:
    """Operations that do the same work in different ways; the first is what the others are compared with.

    ``labels`` are JSON values that describe the family, ``missing`` says of operations that cannot run here why.
    """

    name: str
    labels: Mapping[str, Any]
    operations: Mapping[str, Operation]
    missing: Mapping[str, str] = field(default_factory=dict)

    def as_group(self) -> Group:
        """The family for the paired engine."""
        variants = {name: operation.build_runner for name, operation in self.operations.items()}
        details = {name: operation.details for name, operation in self.operations.items()}
        return Group(self.name, variants, self.labels, details, self.missing)


def choose(key: str, wanted: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The names ``wanted`` for ``key``, in their order; all that are known if none is wanted.

    `BenchError` names the one that is unknown.
    """
    names, choices = tuple(wanted), tuple(known)
    for name in names:
        if name not in choices:
            raise BenchError(f"{key}: expected one of {', '.join(choices)}, found {name!r}")
    return names or choices


def describe_package(library: str) -> dict[str, str]:
    """Version of the package ``library``, and of the OpenSSL that does its work ('' where there is none)."""
    if library != "cryptography":
        try:
            return {"version": version(library), "openssl": ""}
        except PackageNotFoundError:  # an extension's own code
            return {"version": "", "openssl": ""}
    from cryptography.hazmat.backends.openssl import backend

    return {"version": version(library), "openssl": str(backend.openssl_version_text())}
