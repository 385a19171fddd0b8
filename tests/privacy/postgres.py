"""A PostgreSQL server of the tests' own: in a temporary folder, reached by a socket, gone when the tests are."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

OPTIONS = {
    "listen_addresses": "", "max_connections": "200", "fsync": "off", "synchronous_commit": "off",
    "full_page_writes": "off", "shared_buffers": "32MB", "autovacuum": "off",
}  # fmt: skip


def fresh_database() -> str:
    """The URL of an empty database. Skips the test if there is no PostgreSQL; fails it where CI is set."""
    if binaries() is None:
        message = "PostgreSQL is not installed"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(address("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return address(name)


def binaries() -> Path | None:
    """The folder of initdb and postgres, or None."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def address(database: str) -> str:
    return f"postgresql+psycopg://privsynth@/{database}?host={server()}"


@cache
def server() -> Path:
    """Starts the server, once a process. Returns the folder of its socket."""
    place = binaries()
    assert place is not None
    folder = Path(tempfile.mkdtemp(prefix="privsynth-pg-", dir="/tmp"))  # a socket's path may have 107 bytes
    account = _account()
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    data = folder / "data"
    initdb = [place / "initdb", "-D", data, "-U", "privsynth", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **become)
    options = [word for key, value in OPTIONS.items() for word in ("-c", f"{key}={value}")]
    log = (folder / "log").open("wb")
    postgres = subprocess.Popen(
        [place / "postgres", "-D", data, "-k", folder, *options], stdout=log, stderr=log, cwd=folder, **become
    )
    atexit.register(_end, postgres, folder)
    _wait(postgres, folder)
    return folder


def _account() -> pwd.struct_passwd | None:
    """Whom to become: PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


def _end(postgres: subprocess.Popen[bytes], folder: Path) -> None:
    """Quick, since pytest-xdist waits only a moment for its workers: nothing of the server's is needed any more."""
    postgres.send_signal(signal.SIGQUIT)
    postgres.wait(30)
    subprocess.Popen(["rm", "-rf", folder], start_new_session=True)


def _wait(postgres: subprocess.Popen[bytes], folder: Path) -> None:
    engine = create_engine(f"postgresql+psycopg://privsynth@/postgres?host={folder}")
    for _ in range(300):
        try:
            with engine.connect():
                break
        except OperationalError:
            if postgres.poll() is not None:
                break
            time.sleep(0.1)
    engine.dispose()
    assert postgres.poll() is None, (folder / "log").read_text()
