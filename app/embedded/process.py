"""A server process that ends with its owner, however the owner dies."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from app.domain.errors import ServiceDidNotStart
from app.embedded.account import ENVIRONMENT
from app.embedded.home import Home
from app.embedded.private_file import open_private

# Standard input is a pipe that only the owner can write to. A line asks for an orderly stop, without haste; the end of
# the pipe says that the owner is gone (or out of patience): stop, after 1.5 s at once, after 2 s by force.
# The shell becomes the server, so that its child, the watcher, is in the server's process group: as long as the watcher
# lives the kernel gives $$ to no other process, so that it never signals a stranger.
# A dead server whose new parent is slow to collect it (a zombie) is not alive; where there is no /proc nobody is slow.
_WATCHED = """
signal=$1; shift
exec 3<&0 </dev/null
alive() { kill -0 $$ && { read -r state </proc/$$/stat; case ${state##*)} in " Z"*) return 1; esac; }; }
alive_for() { n=$1; while [ "$n" -gt 0 ] && alive; do sleep 0.1; n=$((n - 1)); done; }
{
    trap '' HUP INT QUIT TERM
    if read -r _ <&3; then kill -s "$signal" $$; read -r _ <&3; fi
    kill -s "$signal" $$; alive_for 15
    kill -s QUIT $$; alive_for 5
    kill -s KILL 0
} >/dev/null 2>&1 &
exec "$@" 3<&-
"""
_STOP_PATIENCE_S = 60  # a checkpoint after a big load, on a slow disk
_START_PATIENCE_S = 120  # replaying 1 GB of write-ahead log after a kill, on a slow disk
_POLL_S = 0.01
_LOG_BYTES = 10_000_000
_TAIL_BYTES = 1500


class OwnedProcess:
    """A running program of ours and its log."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, log_start: int, advice: str) -> None:
        self._name, self._process, self._log, self._log_start, self._advice = name, process, log, log_start, advice

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready. Raises ServiceDidNotStart with its log's end if it ends before, or never is."""
        deadline = time.monotonic() + _START_PATIENCE_S
        while not ready():
            if self._process.poll() is not None:
                raise self._failure("ended at its start")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready within {_START_PATIENCE_S} s")
            time.sleep(_POLL_S)

    def wait(self) -> None:
        """Wait until it has done its work. Raises ServiceDidNotStart with its log's end if it failed."""
        if self._process.wait() != 0:
            raise self._failure("failed")

    def _failure(self, what: str) -> ServiceDidNotStart:
        with self._log.open("rb") as file:
            file.seek(max(self._log_start, self._log.stat().st_size - _TAIL_BYTES))
            tail = file.read().decode(errors="replace").strip()
        return ServiceDidNotStart(
            f"{self._name} {what}. Its log, {self._log}, ends:\n{tail or '(nothing)'}\n"
            f"Nothing is lost. Mend what the log names and start again, or {self._advice}."
        )


@contextmanager
def owned_process(
    name: str,
    command: Sequence[str | Path],
    home: Home,
    *,
    log: Path,
    stop_signal: str,
    advice: str,
) -> Iterator[OwnedProcess]:
    """Run a program, its output in `log`; at the exit, or when this process dies, `stop_signal` stops it.

    `advice` says, after the log's end, what else to do when it fails. Raises OSError.
    """
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
    user, group, extra_groups = home.account.switch
    read_end, write_end = os.pipe()
    with FileIO(write_end, "w") as pipe:
        # A forked child (multiprocessing) must not keep the pipe open when this process is gone.
        os.register_at_fork(after_in_child=pipe.close)
        try:
            with FileIO(open_private(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as output:
                log_start = output.seek(0, os.SEEK_END)
                process = subprocess.Popen(
                    [*home.account.prefix, "/bin/sh", "-c", _WATCHED, "sh", stop_signal, *command],
                    stdin=read_end, stdout=output, stderr=output, cwd="/", env=ENVIRONMENT, umask=0o077,
                    user=user, group=group, extra_groups=extra_groups, pass_fds=(home.lock.fileno(),),
                    start_new_session=True,  # Ctrl-C in the terminal is for the owner alone
                )  # fmt: skip
        finally:
            os.close(read_end)
        try:
            yield OwnedProcess(name, process, log, log_start, advice)
        finally:
            _stop(process, pipe)


def _stop(process: subprocess.Popen[bytes], pipe: FileIO) -> None:
    """Stop in an orderly way, then by force; the watcher ends too."""
    with suppress(BrokenPipeError):  # nobody listens any more
        pipe.write(b"stop\n")
    try:
        process.wait(_STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        pipe.close()
        process.wait()
