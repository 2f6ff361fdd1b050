"""`footnote serve --workers`: one address, several processes, each of which can be lost."""

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from app.embedded.connect import environment_of
from app.settings import Settings
from tests.fixtures.installation import free_port
from tests.fixtures.server import Event, read_events, text_of

QUESTION = "When does the ferry to Holm Island leave? [[tokens=120]]"

SCRIPTED = {"FOOTNOTE_CHAT_MODEL": "scripted", "FOOTNOTE_EMBEDDER": "scripted", "FOOTNOTE_MIN_EVIDENCE": "0"}


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path, corpus: object) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Two workers; yields their URL and their parent."""
    port = free_port()
    environment = (
        environment_of(settings)
        | SCRIPTED
        | {
            "FOOTNOTE_SCRIPTED_TOKENS_PER_S": "40",
            "FOOTNOTE_RUN_LEASE_S": "1",
            "FOOTNOTE_LOG_LEVEL": "warning",
        }
    )
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--workers", "2"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path) as parent:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while len(workers(parent)) < 2 or not answers(url):
                assert parent.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield url, parent
        finally:
            parent.terminate()
            assert parent.wait(30) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def workers(parent: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The parent's workers, without the helper process of `multiprocessing`."""
    found = []
    for child in psutil.Process(parent.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # ended, and perhaps not yet waited for
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def worker_of(client_port: int, parent: subprocess.Popen[bytes]) -> psutil.Process:
    """The worker at the other end of a client's connection."""
    for worker in workers(parent):
        if any(c.raddr and c.raddr.port == client_port for c in worker.net_connections("tcp")):
            return worker
    raise AssertionError("nobody has this connection")


async def follow(
    url: str, seen: list[Event], parent: subprocess.Popen[bytes], number: int | None, *, killing: bool
) -> None:
    """Read the answer to its end over as many connections as it takes; after ten events, send its worker a signal."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        async with client.stream("POST", "/v1/chat", json={"message": QUESTION}) as response:
            stream = response.extensions["network_stream"]
            client_port = stream.get_extra_info("client_addr")[1]
            try:
                async for event in read_events(response):
                    seen.append(event)
                    if len(seen) == 10 and number is not None:
                        worker_of(client_port, parent).send_signal(number)
            except httpx.TransportError:
                assert killing, "a worker that leaves ends its streams properly"
        while seen[-1].type not in {"run.completed", "run.failed"}:
            try:
                async with client.stream(
                    "GET",
                    f"/v1/runs/{seen[0].data['run_id']}/events",
                    headers={"Last-Event-ID": str(seen[-1].id)},
                ) as response:
                    seen += [event async for event in read_events(response)]
            except httpx.TransportError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_an_answer_goes_on_when_its_worker_is_lost(
    fleet: tuple[str, subprocess.Popen[bytes]], number: int
) -> None:
    url, parent = fleet
    lost: list[Event] = []
    other: list[Event] = []
    killing = number == signal.SIGKILL  # both may be read on the worker that dies
    await asyncio.gather(
        follow(url, lost, parent, number, killing=killing), follow(url, other, parent, None, killing=killing)
    )
    for seen in (lost, other):
        assert seen[-1].type == "run.completed"
        assert [event.id for event in seen] == list(range(1, len(seen) + 1)), "nothing is lost or comes twice"
    assert text_of(lost) == text_of(other)
    async with httpx.AsyncClient(base_url=url) as client:
        conversation = (await client.get(f"/v1/conversations/{lost[0].data['conversation_id']}")).json()
        assert conversation["messages"][-1]["text"] == text_of(lost)
        metrics = (await client.get("/metrics")).text
    taken_over = re.search(r"^footnote_take_overs_total (\d)", metrics, re.MULTILINE)
    assert taken_over is not None
    # of all workers together; one that leaves may also have found the time to end its answers by itself
    assert int(taken_over[1]) >= 1 or not killing
    deadline = time.monotonic() + 30
    while len(workers(parent)) < 2:
        assert time.monotonic() < deadline, "a lost worker is replaced"
        await asyncio.sleep(0.1)


def test_a_second_ctrl_c_while_an_answer_is_written_leaves_no_traceback(
    settings: Settings, tmp_path: Path, corpus: object
) -> None:
    port = free_port()
    environment = (
        environment_of(settings)
        | SCRIPTED
        | {
            "FOOTNOTE_SCRIPTED_TOKENS_PER_S": "10",
            "FOOTNOTE_SHUTDOWN_GRACE_S": "2",
        }
    )
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("w") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as server:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while not answers(url):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with httpx.stream("POST", f"{url}/v1/chat", json={"message": QUESTION}, timeout=30) as answer:
            assert next(answer.iter_lines())
            server.send_signal(signal.SIGINT)
            while answers(url):  # it takes no more connections once it has heard the first
                assert time.monotonic() < deadline
                time.sleep(0.02)
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
    assert "Traceback" not in log.read_text()


async def test_metrics_tell_nothing_of_workers_that_left(fleet: tuple[str, subprocess.Popen[bytes]]) -> None:
    _url, parent = fleet
    before = workers(parent)
    metrics = Path(before[0].environ()["PROMETHEUS_MULTIPROC_DIR"])
    assert _measured(metrics) == {worker.pid for worker in before}
    parent.send_signal(signal.SIGHUP)
    await _other_than(before, parent, count=2)
    parent.send_signal(signal.SIGTTOU)
    (rest,) = await _other_than(before, parent, count=1)
    deadline = time.monotonic() + 10
    while _measured(metrics) != {rest.pid}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _measured(metrics: Path) -> set[int]:
    """The workers whose present state is told."""
    return {int(path.stem.rpartition("_")[2]) for path in metrics.glob("gauge_live*.db")}


async def _other_than(
    gone: list[psutil.Process], parent: subprocess.Popen[bytes], *, count: int
) -> list[psutil.Process]:
    """The workers, once they are so many and none of those."""
    deadline = time.monotonic() + 60
    while len(found := workers(parent)) != count or set(found) & set(gone):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return found
