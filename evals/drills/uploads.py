"""Uploads drill: a hundred files at once, a large one, one that breaks off, one twice, and a worker killed.

`python -m evals.drills.uploads [--files 100] [--large-mb 200]` starts `footnote serve` and two workers on embedded
services, uploads everything at once, kills one worker with kill -9 in the middle, and waits until every job has ended.
Printed is what became of each kind, how much memory the server and the workers took, and which files are kept. Exit
code 1 when a job did not end as it should.
"""

import asyncio
import io
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any

import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from app.embedded.connect import connected, environment_of
from app.settings import Settings, load_settings
from evals.drills.fleet import free_port

LONGEST_S = 600
COLLECTION = "uploads"
console = Console(soft_wrap=True)


@dataclass(slots=True)
class Peaks:
    """The most memory (MB) that each kind of process had."""

    server: int = 0
    workers: int = 0


def main(
    files: Annotated[int, typer.Option(help="How many files at once.")] = 100,
    large_mb: Annotated[int, typer.Option(help="Size of the large one.")] = 200,
) -> None:
    """Upload, kill, wait, count."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        data_dir = Path(folder) / "data"
        settings = stack.enter_context(connected(load_settings(data_dir=data_dir)))
        port = free_port()
        environment = _environment(settings, data_dir, port, large_mb)
        server = stack.enter_context(_started(environment, "serve", "--port", str(port)))
        workers = [stack.enter_context(_started(environment, "worker")) for _ in range(2)]
        failed = asyncio.run(_drill(f"http://127.0.0.1:{port}", server, workers, files, large_mb, data_dir))
    raise typer.Exit(1 if failed else 0)


def _environment(settings: Settings, data_dir: Path, port: int, large_mb: int) -> dict[str, str]:
    return environment_of(settings) | {
        "FOOTNOTE_DATA_DIR": str(data_dir),
        "FOOTNOTE_CHAT_MODEL": "extractive",
        "FOOTNOTE_LOG_LEVEL": "error",
        "FOOTNOTE_PORT": str(port),
        "FOOTNOTE_MAX_FILE_BYTES": str((large_mb + 10) * 1_000_000),
    }


def _started(environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "app.cli", *command], env=environment, stderr=subprocess.DEVNULL)


async def _drill(
    url: str,
    server: subprocess.Popen[bytes],
    workers: list[subprocess.Popen[bytes]],
    files: int,
    large_mb: int,
    data_dir: Path,
) -> bool:
    peaks, started = Peaks(), time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        await _ready(client)
        watching = asyncio.create_task(_watch(peaks, server, workers))
        small = [_upload(client, f"file-{n}.md", _text(n)) for n in range(files)]
        large = _upload(client, "large.docx", _large(large_mb))
        twice = [_upload(client, "twice.md", _text(files)) for _ in range(2)]
        answers = await asyncio.gather(*small, large, *twice, _break_off(url))
        taken_s = time.monotonic() - started
        workers[0].send_signal(signal.SIGKILL)
        jobs = await _ended(client, {answer["job"]["id"] for answer in answers if answer})
        found = (await client.get("/v1/documents", params={"collection": COLLECTION, "limit": 1000})).json()[
            "documents"
        ]
        listed = (await client.get("/v1/jobs", params={"limit": 1000})).json()["jobs"]
        watching.cancel()
    for process in (server, *workers):
        if process.poll() is None:
            process.terminate()
    duplicates = sum(answer["duplicate"] for answer in answers if answer)
    kept = {path.name for path in (data_dir / "uploads").iterdir()}
    strays = len(kept ^ {job["id"] for job in jobs if job["state"] == "done"})  # too many, or missing
    states = Counter(job["state"] for job in jobs)
    table = Table("what", "figure", title=f"{files} files, one of {large_mb} MB, one twice, one that broke off")
    table.add_row("all taken after", f"{taken_s:.1f} s")
    table.add_row("all ended after", f"{time.monotonic() - started:.1f} s")
    table.add_row("jobs by state", ", ".join(f"{state} {count}" for state, count in sorted(states.items())))
    table.add_row("jobs begun twice", str(sum(job["attempts"] > 1 for job in jobs)))
    table.add_row(
        "the large one", ", ".join(f"{j['state']} {j['problem'] or ''}" for j in jobs if "large" in j["name"])
    )
    table.add_row("duplicates told", str(duplicates))
    table.add_row("documents stored", str(len(found)))
    table.add_row("jobs of the one that broke off", str(sum(job["name"] == "broken.md" for job in listed)))
    table.add_row("files kept in the data folder", str(len(kept)))
    table.add_row("files without a document, or missing", str(strays))
    table.add_row("server's peak memory", f"{peaks.server} MB")
    table.add_row("workers' peak memory, each", f"{peaks.workers} MB")
    console.print(table)
    wanted = files + 2
    return (len(jobs), states["done"], len(found), duplicates, strays) != (wanted, wanted, wanted, 1, 0)


async def _upload(client: httpx.AsyncClient, name: str, data: bytes) -> Any:
    response = await client.post("/v1/documents", files={"file": (name, data)}, data={"collection": COLLECTION})
    return response.raise_for_status().json()


async def _break_off(url: str) -> None:
    """Send half of a file and hang up."""
    host, _, port = url.removeprefix("http://").partition(":")
    _reader, writer = await asyncio.open_connection(host, int(port))
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="broken.md"\r\n\r\n'
    head = f"POST /v1/documents HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    writer.write(head.encode() + b"Content-Length: 40000000\r\n\r\n" + form + b"x" * 20_000_000)
    await writer.drain()
    writer.close()


async def _ended(client: httpx.AsyncClient, ids: set[str]) -> list[Any]:
    """The jobs once all have ended."""
    deadline = time.monotonic() + LONGEST_S
    while True:
        jobs = [(await client.get(f"/v1/jobs/{id_}")).json() for id_ in ids]
        if all(job["state"] in {"done", "failed"} for job in jobs) or time.monotonic() > deadline:
            return jobs
        await asyncio.sleep(1)


async def _ready(client: httpx.AsyncClient) -> None:
    while True:
        try:
            if (await client.get("/readyz")).status_code == 200:
                return
        except httpx.ConnectError:
            pass
        await asyncio.sleep(0.2)


async def _watch(peaks: Peaks, server: subprocess.Popen[bytes], workers: list[subprocess.Popen[bytes]]) -> None:
    while True:
        peaks.server = max(peaks.server, _mb(server.pid))
        peaks.workers = max([peaks.workers, *(_mb(worker.pid) for worker in workers)])
        await asyncio.sleep(0.1)


def _mb(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss / 1e6)
    except psutil.Error:
        return 0


def _text(number: int) -> bytes:
    return f"# Chapter {number}\n\nThe lamp number {number} is seen for {number + 20} miles over the sea.\n".encode()


def _large(megabytes: int) -> bytes:
    """A word processor's file with a short text and a large picture."""
    import docx  # noqa: PLC0415 - of the group dev

    document = docx.Document()
    document.add_paragraph("The tower was built of granite and stands on the outermost rock.")
    packed = io.BytesIO()
    document.save(packed)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("word/media/picture.bin", Random(1).randbytes(megabytes * 1_000_000))  # noqa: S311
    return packed.getvalue()


if __name__ == "__main__":
    typer.run(main)
