"""Processors: how long this process and PostgreSQL's computed."""

import psutil


class Processors:
    """Counts processor time from wherever it is asked first."""

    def __init__(self, backend_pid: int) -> None:
        """`backend_pid` is any server process of the PostgreSQL that is measured, on this machine."""
        parent = psutil.Process(backend_pid).parent()
        if parent is None:
            raise psutil.NoSuchProcess(backend_pid)
        self._postmaster = parent
        self._own = psutil.Process()

    def client_s(self) -> float:
        """Seconds that this process computed so far, in all its threads."""
        times = self._own.cpu_times()
        return float(times.user + times.system)

    def server_s(self) -> float:
        """Seconds that PostgreSQL computed so far, the processes that ended included."""
        times = self._postmaster.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in self._postmaster.children():
            try:
                own = child.cpu_times()
            except psutil.NoSuchProcess:  # ended meanwhile: it counts among the postmaster's children the next time
                continue
            total += own.user + own.system
        return float(total)
