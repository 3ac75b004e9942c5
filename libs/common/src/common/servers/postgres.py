"""A PostgreSQL server of our own: made once with a password, started, stopped.

It listens on 127.0.0.1 only, without a unix socket, and every connection needs the password (SCRAM). PostgreSQL refuses
to run as root: then it runs as `nobody` where that user can reach the files, else inside a user namespace in which we
are not root, else (where there are no namespaces, as in many containers) as `nobody` with the one capability that lets
it pass folders of root's. Roles, schemas and tables are `migrate`'s.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from common.servers.binaries import POSTGRES, Program, find
from common.servers.child import Child, Privileges, start_child, wait_ready
from common.servers.errors import ServerError
from common.servers.ports import require_free
from common.servers.running import SERVER_ENV, RunningServer

OWNER = "postgres"
_NAMESPACE = ("unshare", "-U", "--map-user=65534", "--map-group=65534")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "log_min_error_statement": "panic",  # a failed statement that sets a role's password must not stand in the log
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_HASHED_ONCE = {"scram_iterations": "1"}
"""For passwords of tests: the usual 4,096 make a stolen hash useless and each connection slow."""
_HASHED_ONCE_SINCE = 16


def start_postgres(
    data_dir: Path,
    *,
    port: int,
    password: str,
    log_path: Path,
    database: str = "postgres",
    durable: bool = True,
    deadline_seconds: float = 30.0,
) -> RunningServer:
    """Start the server on `data_dir`, made on first use with superuser `postgres` and `database`.

    `durable=False` is for tests: a crash of the machine may lose everything, and passwords are hashed once. Both
    password and database are taken when the directory is made and must be the same later. The URL is the superuser's.
    """
    program = find(POSTGRES)
    _check_version(data_dir, program)
    cluster = _Cluster(program.path.parent, program.version[0], data_dir.absolute(), log_path)
    if not (data_dir / "PG_VERSION").exists():
        cluster.create(password, database, durable=durable)
    require_free(port, "postgres")
    child = cluster.start(port, durable=durable)
    wait_ready(child, lambda: cluster.is_ready(port), deadline_seconds=deadline_seconds)
    url = f"postgresql://{OWNER}:{quote(password, safe='')}@127.0.0.1:{port}/{quote(database, safe='')}"
    return RunningServer(child=child, url=url, port=port, version=program.version_text)


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _check_version(data_dir: Path, program: Program) -> None:
    try:
        made_by = (data_dir / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    if made_by != str(program.version[0]):
        raise ServerError(
            f"{data_dir} was made by PostgreSQL {made_by}, the server here is {program.version_text}: move the data "
            f"with pg_dump of PostgreSQL {made_by}, or move the directory away to start empty"
        )


@dataclass(frozen=True)
class _Cluster:
    """One data directory with the programs for it."""

    bin_dir: Path
    version: int
    data_dir: Path
    log_path: Path

    def create(self, password: str, database: str, *, durable: bool) -> None:
        """initdb beside the final place, renamed when whole: an interrupted one leaves nothing that looks like data."""
        making = self.data_dir.with_name(self.data_dir.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True, mode=0o700)
        how = _privileges(self.bin_dir, making)
        with tempfile.NamedTemporaryFile("w", dir=making.parent, prefix=".pw-") as password_file:
            password_file.write(password)
            password_file.flush()
            _own([making, Path(password_file.name)], how)
            initdb = [self.bin_dir / "initdb", "-D", making, "-U", OWNER, "--auth=scram-sha-256"]
            initdb += ["--pwfile", password_file.name, "-E", "UTF8", "--locale=C", "--no-instructions"]
            # `C` is the only locale that every build and machine has.
            initdb += [] if durable else ["--no-sync", *self._hashing()]
            self._run(list(map(str, initdb)), how)
        if database != OWNER:
            single = [str(self.bin_dir / "postgres"), "--single", "-D", str(making), "postgres"]
            self._run(single, how, stdin=f'CREATE DATABASE "{database}"\n')
        if self.data_dir.exists():
            self.data_dir.rmdir()  # empty, or it would have had a PG_VERSION; a full one is not ours to remove
        making.rename(self.data_dir)

    def start(self, port: int, *, durable: bool) -> Child:
        how = _privileges(self.bin_dir, self.data_dir)
        _own([self.data_dir, *self.data_dir.rglob("*")], how)
        self._remove_stale_pid_file()
        settings = _SETTINGS if durable else _SETTINGS | _NOT_DURABLE
        argv = [str(self.bin_dir / "postgres"), "-D", str(self.data_dir), "-p", str(port), *_options(settings)]
        argv += [] if durable else self._hashing()
        return start_child(
            "postgres",
            argv,
            env=SERVER_ENV,
            log_path=self.log_path,
            stop_signal=signal.SIGINT,  # "fast": ends sessions and shuts down cleanly
            death_signal=signal.SIGINT,
            privileges=how,
        )

    def _hashing(self) -> list[str]:
        return _options(_HASHED_ONCE) if self.version >= _HASHED_ONCE_SINCE else []

    def is_ready(self, port: int) -> bool:
        command = [str(self.bin_dir / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "2"]
        return subprocess.run(command, env=SERVER_ENV, check=False).returncode == 0  # noqa: S603

    def _run(self, argv: list[str], how: Privileges, stdin: str = "") -> None:
        answer = subprocess.run(  # noqa: S603
            [*how.prefix, *argv],
            env=SERVER_ENV,
            cwd="/",
            input=stdin,
            capture_output=True,
            text=True,
            user=how.uid,
            group=how.gid,
            extra_groups=None if how.uid is None else [],
            check=False,
        )
        if answer.returncode:
            said = (answer.stderr or answer.stdout).strip().splitlines()
            raise ServerError(f"{Path(argv[0]).name} failed: {said[-1] if said else answer.returncode}")

    def _remove_stale_pid_file(self) -> None:
        """Take away the pid file of a killed server whose number another program has now; the server would not start.

        A pid that belongs to a postgres is left: the server itself then says that the directory is in use.
        """
        pid_file = self.data_dir / "postmaster.pid"
        try:
            pid = pid_file.read_text().splitlines()[0]
            program = Path("/proc", pid, "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return
        if program != "postgres":
            pid_file.unlink()


def _privileges(bin_dir: Path, data_dir: Path) -> Privileges:
    if os.geteuid() != 0:
        return Privileges()
    nobody = pwd.getpwnam("nobody")
    if all(_others_may_enter(folder) for folder in (bin_dir.resolve(), data_dir.resolve().parent)):
        return Privileges(uid=nobody.pw_uid, gid=nobody.pw_gid)
    if _works(_NAMESPACE):
        return Privileges(prefix=_NAMESPACE)
    passing = _passing(nobody.pw_uid, nobody.pw_gid)
    if _works(passing):
        return Privileges(prefix=passing, owner=(nobody.pw_uid, nobody.pw_gid))
    raise ServerError(
        f"PostgreSQL refuses to run as root, and the user nobody cannot reach {data_dir}: run as an ordinary user, or "
        "from a folder that others may enter"
    )


def _passing(uid: int, gid: int) -> tuple[str, ...]:
    """Runs a program as this user, who may nevertheless enter every folder. Switching clears the death signal."""
    # Without the secure bit `access` would judge by the user alone, and initdb asks it whether postgres is there.
    may_pass = ("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override", "--securebits", "+no_setuid_fixup")
    return ("setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups", *may_pass, "--pdeathsig", "INT")


def _works(prefix: tuple[str, ...]) -> bool:
    if not shutil.which(prefix[0]):
        return False
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603


def _others_may_enter(folder: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


def _own(paths: list[Path], how: Privileges) -> None:
    """Give the files to whom the server runs as; root may have run it another way before."""
    if os.geteuid() != 0:
        return
    switched = (0, 0) if how.uid is None or how.gid is None else (how.uid, how.gid)
    uid, gid = how.owner or switched
    for path in paths:
        if path.lstat().st_uid != uid:
            os.chown(path, uid, gid, follow_symlinks=False)
