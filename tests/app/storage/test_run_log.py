"""The run log: order, resuming, fencing, and what happens while Valkey is away."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.domain.errors import ConfigurationError, RunFenced, RunLogUnavailable
from app.domain.run import LoggedEvent, RunCompleted, TextDelta
from app.embedded.binaries import valkey_binary
from app.storage.models import new_id
from app.storage.run_log import RunLog


async def collect(log: RunLog, run_id: object, after: int = 0) -> list[LoggedEvent]:
    async with aclosing(log.read(run_id, after=after)) as events:  # type: ignore[arg-type]
        return [event async for batch in events for event in batch]


async def test_events_are_numbered_from_one_and_read_in_order(run_log: RunLog) -> None:
    run_id = new_id()
    writer = run_log.writer(run_id, attempt=1)
    ids = [writer.put(TextDelta(f"{n} ")) for n in range(300)] + [writer.put(RunCompleted("stop"))]
    events = await collect(run_log, run_id)
    await writer.flushed()
    run_log.done(writer)
    assert ids == list(range(1, 302))
    assert [event.id for event in events] == ids
    assert [event.event() for event in events[:2]] == [TextDelta("0 "), TextDelta("1 ")]
    assert events[-1].terminal


async def test_readers_follow_what_is_being_written(run_log: RunLog) -> None:
    run_id = new_id()
    writer = run_log.writer(run_id, attempt=1)
    readers = [asyncio.create_task(collect(run_log, run_id)) for _ in range(3)]
    for n in range(20):
        writer.put(TextDelta(str(n)))
        await asyncio.sleep(0.002)
    writer.put(RunCompleted("stop"))
    for events in await asyncio.wait_for(asyncio.gather(*readers), 30):
        assert [event.id for event in events] == list(range(1, 22))
    await writer.flushed()
    run_log.done(writer)


@pytest.mark.parametrize("after", [0, 1, 5, 9, 10])
async def test_resuming_gives_exactly_the_rest(run_log: RunLog, after: int) -> None:
    run_id = new_id()
    writer = run_log.writer(run_id, attempt=1)
    for n in range(9):
        writer.put(TextDelta(str(n)))
    writer.put(RunCompleted("stop"))
    await writer.flushed()
    run_log.done(writer)
    assert [event.id for event in await collect(run_log, run_id, after)] == list(range(after + 1, 11))


async def test_another_worker_reads_the_same_log(run_log: RunLog, redis_url: str) -> None:
    run_id = new_id()
    other = RunLog(redis_url)
    writer = run_log.writer(run_id, attempt=1)
    writer.put(TextDelta("a"))
    await asyncio.sleep(0.05)  # the other worker may know of the run only once it stands in the log
    reading = asyncio.create_task(collect(other, run_id))
    await asyncio.sleep(0.05)
    writer.put(RunCompleted("stop"))
    assert len(await asyncio.wait_for(reading, 30)) == 2
    await writer.flushed()
    run_log.done(writer)
    await other.close()


async def test_an_older_attempt_cannot_write(run_log: RunLog, redis_url: str) -> None:
    run_id = new_id()
    zombie = run_log.writer(run_id, attempt=1)
    zombie.put(TextDelta("old"))
    await zombie.flushed()
    taken_over = RunLog(redis_url)
    earlier = await taken_over.take(run_id, 2)
    assert [event.event() for event in earlier] == [TextDelta("old")]
    successor = taken_over.writer(run_id, 2, earlier)
    zombie.put(TextDelta("zombie"))
    await zombie.flushed()
    successor.put(TextDelta("new"))
    await successor.flushed()
    with pytest.raises(RunFenced):
        zombie.put(TextDelta("more"))
    assert await run_log.take(run_id, 1) == [], "nor can it take the log back"
    assert [e.event() for e in await run_log.events(run_id)] == [TextDelta("old"), TextDelta("new")]
    await taken_over.close()


async def test_appending_twice_changes_nothing(run_log: RunLog) -> None:
    run_id = new_id()
    batch = [LoggedEvent(1, "text.delta", b'{"text":"a"}'), LoggedEvent(2, "text.delta", b'{"text":"b"}')]
    assert await run_log.append(run_id, 1, batch) == 2
    assert await run_log.append(run_id, 1, batch) == 2
    assert len(await run_log.events(run_id)) == 2


async def test_a_log_that_lost_its_tail_is_filled_up_again(run_log: RunLog) -> None:
    run_id = new_id()
    writer = run_log.writer(run_id, attempt=1)
    writer.put(TextDelta("a"))
    await asyncio.sleep(0.05)
    await run_log._redis.delete(run_log._key(run_id))
    writer.put(TextDelta("b"))
    writer.put(RunCompleted("stop"))
    await writer.flushed()
    run_log.done(writer)
    assert [event.id for event in await run_log.events(run_id)] == [1, 2, 3]


async def test_reading_an_unknown_run_ends(run_log: RunLog) -> None:
    assert await asyncio.wait_for(collect(run_log, new_id()), 30) == []


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/nothing.sock"


async def test_without_valkey_the_writers_own_worker_still_streams(nowhere: str) -> None:
    log = RunLog(nowhere)
    run_id = new_id()
    writer = log.writer(run_id, attempt=1)
    reading = asyncio.create_task(collect(log, run_id))
    for n in range(5):
        writer.put(TextDelta(str(n)))
        await asyncio.sleep(0.01)
    writer.put(RunCompleted("stop"))
    events = await asyncio.wait_for(reading, 30)
    assert [event.id for event in events] == [1, 2, 3, 4, 5, 6]
    assert not await writer.flushed(0.1)
    with pytest.raises(RunLogUnavailable) as failed:
        await log.ping()
    assert "nothing.sock" in failed.value.for_operators
    assert "nothing.sock" not in failed.value.message, "clients are not told"
    with pytest.raises(RunLogUnavailable):
        await collect(log, new_id())
    await log.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1/0?ssl_cert_reqs=none", "127.0.0.1:6379", "mysql://127.0.0.1"])
def test_a_url_that_the_driver_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        RunLog(url)


def test_a_file_of_tls_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no file `.*ca\.pem`, which its option ssl_ca_certs names"):
        RunLog(f"rediss://127.0.0.1/0?ssl_ca_certs={tmp_path}/ca.pem")
    (tmp_path / "ca.pem").touch()
    RunLog(f"rediss://127.0.0.1/0?ssl_ca_certs={tmp_path}/ca.pem")


@pytest.fixture
def own_valkey() -> Iterator[str]:
    """The URL of a Valkey of the test's own, whose settings can be changed."""
    with tempfile.TemporaryDirectory(prefix="fn-") as path:
        folder = Path(path)
        server = subprocess.Popen([valkey_binary(), "--port", "0", "--save", "", "--unixsocket", folder / "v.sock"])
        try:
            deadline = time.monotonic() + 20
            while not (folder / "v.sock").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield f"unix://{folder / 'v.sock'}"
        finally:
            server.terminate()
            server.wait()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), "read only replica"),
        (("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction"), "maxmemory"),
        (("CONFIG", "SET", "requirepass", "secret"), "already authenticated"),
    ],
)
async def test_a_valkey_that_takes_nothing_is_not_ok(own_valkey: str, command: tuple[str, ...], reason: str) -> None:
    log = RunLog(own_valkey)
    await log.ping()
    assert (await log.describe()).startswith("valkey")
    await log.close()
    client = Redis.from_url(own_valkey)
    await client.execute_command(*command)
    await client.aclose()
    log = RunLog(own_valkey)
    for look in (log.ping, log.describe):
        with pytest.raises(RunLogUnavailable) as failed:
            await look()
        assert reason in failed.value.for_operators
    await log.close()


async def test_a_user_needs_the_rights_to_keys_and_channels_and_none_of_an_administrator(own_valkey: str) -> None:
    admin = Redis.from_url(own_valkey)
    rights = ["+@all", "-@admin", "-@dangerous", "~footnote:*"]
    await admin.execute_command("ACL", "SETUSER", "keys", "on", ">secret", *rights)
    await admin.execute_command("ACL", "SETUSER", "both", "on", ">secret", *rights, "&footnote:*")
    await admin.aclose()
    log = RunLog(own_valkey.replace("unix://", "unix://both:secret@"))
    assert (await log.describe()).startswith("valkey 9")
    await log.close()
    log = RunLog(own_valkey.replace("unix://", "unix://keys:secret@"))
    for look in (log.ping, log.describe):
        with pytest.raises(RunLogUnavailable) as failed:
            await look()
        assert "channel" in failed.value.for_operators
    await log.close()
