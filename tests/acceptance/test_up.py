"""`footnote up`: one owner a folder, nothing left after kill -9, all data at the next start."""

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.fixtures.installation import FOOTNOTE, Installation, free_port
from tests.fixtures.server import read_events, text_of

CORPUS = Path(__file__).resolve().parents[1] / "fixtures" / "corpus"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "data"


def processes_on(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in command:
            found.append(command)
    return found


async def test_killed_in_the_middle_of_an_answer_nothing_is_left_and_nothing_is_lost(folder: Path) -> None:
    with Installation.start(folder, settings={"FOOTNOTE_RUN_LEASE_S": "1"}) as first:
        assert first.run("ingest", CORPUS).returncode == 0
        seen = []
        async with httpx.AsyncClient(base_url=first.url) as client:
            question = {"message": "When does the ferry leave? [[tokens=200]]"}
            with pytest.raises(httpx.TransportError):  # noqa: PT012
                async with client.stream("POST", "/v1/chat", json=question) as response:
                    async for event in read_events(response):
                        seen.append(event)
                        if len(seen) == 30:
                            first.kill()
        killed = time.monotonic()
        while processes_on(folder) and time.monotonic() - killed < 20:
            time.sleep(0.05)
        assert processes_on(folder) == []
    with Installation.start(folder, settings={"FOOTNOTE_RUN_LEASE_S": "1"}) as second:
        async with httpx.AsyncClient(base_url=second.url) as client:
            assert (await client.get("/v1/collections")).json()["collections"] == [{"name": "default", "documents": 3}]
            url = f"/v1/conversations/{seen[0].data['conversation_id']}"
            for _ in range(300):
                answer = (await client.get(url)).json()["messages"][-1]
                if answer["state"] != "running":
                    break
                time.sleep(0.1)
            assert (answer["state"], answer["problem"]) == ("completed", None), "the next start goes on with it"
            assert text_of(seen[:-1]) in answer["text"]
            async with client.stream("GET", f"/v1/runs/{seen[0].data['run_id']}/events") as response:
                events = [event async for event in read_events(response)]
            assert events[-1].type == "run.completed"
            assert text_of(events) == answer["text"]


def test_a_second_instance_is_refused_and_says_who_owns_the_folder(folder: Path) -> None:
    with Installation.start(folder) as first:
        environment = first.environment | {"FOOTNOTE_PORT": str(free_port())}
        second = subprocess.run([FOOTNOTE, "up"], env=environment, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert str(first.process.pid) in second.stderr
        assert first.url in second.stderr
        assert httpx.get(f"{first.url}/readyz").json()["status"] == "ready"
        assert first.stop() == 0


def test_commands_share_the_running_services(folder: Path) -> None:
    with Installation.start(folder) as running:
        report = json.loads(running.run("ingest", CORPUS, "--json").stdout.splitlines()[-1])
        assert report["ingested"] == 3
        found = json.loads(running.run("search", "rye loaf", "--k", "1", "--json").stdout)["passages"]
        assert found[0]["title"] == "The bakery on Anker Street"
        assert httpx.get(f"{running.url}/v1/collections").json()["collections"][0]["documents"] == 3


def test_a_taken_port_is_told_before_anything_starts(folder: Path) -> None:
    with Installation.start(folder) as running:
        environment = running.environment | {"FOOTNOTE_DATA_DIR": str(folder.with_name("other"))}
        second = subprocess.run([FOOTNOTE, "up"], env=environment, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert f"Cannot listen on 127.0.0.1:{running.port}" in second.stderr
