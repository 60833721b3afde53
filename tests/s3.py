"""A real S3 server on this machine: `rclone serve s3`, which checks signatures and keeps objects as files."""

import os
import re
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER, SECRET = "hospital", "not-for-anybody-to-see"
CREDENTIALS = {"access_key_id": USER, "secret_access_key": SECRET}
BUCKET = "records"


@dataclass
class S3Server:
    """The process, where it answers, and the folder that it serves."""

    process: "subprocess.Popen[str]"
    url: str
    folder: Path

    @property
    def objects(self) -> list[Path]:
        """What the bucket holds; what is being written has another name."""
        return [path for path in (self.folder / BUCKET).rglob("*") if path.is_file()]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


@contextmanager
def serve_s3(folder: Path, address: str = "127.0.0.1:0") -> Iterator[S3Server]:
    """Serve ``folder`` with the bucket `BUCKET` in it, until the block ends."""
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    words = [Path(sysconfig.get_path("scripts"), "rclone"), "serve", "s3", folder, "--addr", address, "--config", ""]
    environment: dict[str, Any] = os.environ | {"RCLONE_AUTH_KEY": f'"{USER},{SECRET}"'}
    with log.open("w") as file:
        process = subprocess.Popen(words, env=environment, stderr=file, stdin=subprocess.DEVNULL, text=True)
    server = S3Server(process, "", folder)
    try:
        while not (found := re.search(r"\[(http://[0-9.:]+)/\]", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)  # what another process does has to be looked at
        server.url = found[1]
        yield server
    finally:
        server.stop()
