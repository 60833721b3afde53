"""The command line `ehrcore`: run a network of nodes, submit records, read them, prove and audit.

Bad input ends in one clear line on standard error and exit code 2; code 1 says that something was looked at and does
not hold.
"""

import argparse
import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ehrcore.cli.parser import build_parser
from ehrcore.cli.words import extend
from ehrcore.errors import EhrError


def main(words: Sequence[str] | None = None) -> None:
    """Entry point."""
    try:
        try:
            if given := os.environ.get("EHR_EXTEND"):
                extend(map(Path, given.split(os.pathsep)))
            options = build_parser().parse_args(words)
            _choose_passphrase(options)
            module, _, name = options.run.partition(":")
            code = getattr(importlib.import_module(f"ehrcore.cli.{module}"), name)(options)
        finally:
            print(end="", flush=True)
    except EhrError as error:
        sys.stderr.write(f"ehrcore: {' '.join(str(error).split())}\n")
        sys.exit(2)
    except ModuleNotFoundError as error:
        if error.name not in {"aiohttp", "rich"}:
            raise
        sys.stderr.write(f"ehrcore: {error.name}: expected the packages of 'ehrbench[net]', found none\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("ehrcore: interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone; Python must not try to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        # A full disk, or a terminal that was closed.
        if error.errno not in {errno.ENOSPC, errno.EIO}:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        with contextlib.suppress(OSError):
            sys.stderr.write(f"ehrcore: output: expected room to write, found: {error.strerror}\n")
        sys.exit(2)
    if code:
        sys.exit(code)


def _choose_passphrase(options: argparse.Namespace) -> None:
    if hasattr(options, "passphrase_file"):
        from ehrcore.drive.net.keys import choose_passphrase  # noqa: PLC0415 - most commands read no key

        choose_passphrase(options.passphrase_file, options.passphrase_fd)


if __name__ == "__main__":
    main()
