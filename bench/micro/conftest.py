"""Settings of the micro-benchmarks that pytest-benchmark would choose otherwise; its own flags overrule them.

Without a warm-up it calibrates on a cold first call: short operations then come out up to an eighth too slow.
They are given as marks since a mark counts however this directory was reached (``pytest bench/micro``, ``pytest .``).
"""

import os
import shlex
from pathlib import Path
from typing import Any, Final

import pytest

#: Mark argument -> value here.  A thousand calls warm every cache; ``max_time`` is in seconds.
SETTINGS: Final[dict[str, Any]] = {"warmup": True, "warmup_iterations": 1_000, "max_time": 0.2}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark this directory's benchmarks with the settings that no flag sets."""
    given = {word.partition("=")[0] for word in all_words(config)}
    settings = {name: value for name, value in SETTINGS.items() if flag_of(name) not in given}
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.benchmark(**settings))


def all_words(config: pytest.Config) -> list[str]:
    """The words of the command line, of ``PYTEST_ADDOPTS`` and of the configured ``addopts``."""
    environment = shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    return [*config.invocation_params.args, *environment, *config.getini("addopts")]


def flag_of(name: str) -> str:
    """The flag of pytest-benchmark that sets a mark argument."""
    return f"--benchmark-{name.replace('_', '-')}"
