"""The account that the servers run as: PostgreSQL refuses to be root, as which most containers run everything."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import ServiceDidNotStart
from app.embedded.binaries import postgres_binary, valkey_binary

# Servers get a clean environment: no PG… variable can disturb them, and no secret of ours reaches them.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_PROBE = 'cd "$1" && : >probe && rm probe && "$2" --show -D "$1" && "$3" --version'


@dataclass(frozen=True)
class Account:
    """Who runs the servers, and how to become it; the default is this process's own user.

    `uid` and `gid` own the servers' files. `prefix` is a command that becomes the account and runs what follows it;
    with an empty one `subprocess` changes to `uid` and `gid` itself.
    """

    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = ()

    @property
    def switch(self) -> tuple[int | None, int | None, list[int] | None]:
        """`user`, `group` and `extra_groups` for `subprocess`."""
        return (None, None, None) if self.prefix or self.uid is None else (self.uid, self.gid, [])

    def give(self, path: Path) -> None:
        """Make the account own the path and, if it did not yet, everything under it. Raises OSError.

        Symlinks are not followed: root would give away what they point to.
        """
        if self.uid is None or self.gid is None or path.is_symlink() or path.lstat().st_uid == self.uid:
            return
        for folder, _, files in os.walk(path, topdown=False):  # the top last: an interrupted change starts again
            for name in (*files, ""):
                os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)


def account_for(data_dir: Path) -> Account:
    """The account for the servers of this folder: of this process's user, or as root one that can reach everything.

    Each way is tried for real. Raises ServiceDidNotStart if none works, and OSError.
    """
    if os.geteuid() != 0:
        return Account()
    failures = []
    for account in _ways(_user(data_dir)):
        failure = _try(account, data_dir)
        if failure is None:
            return account
        failures.append(failure)
    reasons = "\n".join(dict.fromkeys(failures))
    raise ServiceDidNotStart(
        "PostgreSQL refuses to run as root, and no other account can reach both its programs and the folder "
        f"{data_dir}:\n{reasons}\nRun this as an ordinary user, move the project and the folder out of a home that "
        "only root can enter, or set DATABASE_URL and REDIS_URL to servers of your own."
    )


def _user(data_dir: Path) -> pwd.struct_passwd:
    """The folder's owner, so that root and that user can take turns; `nobody` if that is root or unknown here."""
    owner = data_dir.stat().st_uid
    try:
        return pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError:
        return pwd.getpwnam("nobody")


def _ways(user: pwd.struct_passwd) -> Iterator[Account]:
    """How root can start a program as somebody else, the least privileged first."""
    yield Account(user.pw_uid, user.pw_gid)
    # Under a home that only root can enter, that user needs one capability to get through. Of these two, containers
    # usually grant root the second alone. no_setuid_fixup: otherwise access(2), which PostgreSQL asks whether its
    # programs are there, ignores capabilities.
    for capability in ("dac_read_search", "dac_override"):
        only = f"-all,+{capability}"
        yield Account(
            user.pw_uid,
            user.pw_gid,
            (
                *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs"),
                *(f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}"),
                "--securebits=+no_setuid_fixup",
            ),
        )
    # Where root is the only user there is (rootless sandboxes): the same user under another name.
    yield Account(0, 0, ("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"))


def _try(account: Account, data_dir: Path) -> str | None:
    """Start the programs and write to the folder as the account; None, or why that failed."""
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=data_dir) as folder:
        user, group, extra_groups = account.switch
        command = ["/bin/sh", "-c", _PROBE, "sh", folder, str(postgres_binary("initdb")), str(valkey_binary())]
        try:
            account.give(Path(folder))
            result = subprocess.run(
                [*account.prefix, *command], user=user, group=group, extra_groups=extra_groups,
                cwd="/", env=ENVIRONMENT, capture_output=True, text=True, errors="replace", check=False,
            )  # fmt: skip
        except OSError as error:
            return str(error)
    return None if result.returncode == 0 else result.stderr.strip()[-300:]
