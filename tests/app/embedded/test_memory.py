"""Memory: a container's limit counts, and PostgreSQL takes its share of what there is."""

from pathlib import Path

import pytest

from app.embedded import postgres
from app.embedded.memory import memory_bytes

MB = 2**20


@pytest.mark.parametrize(("limit", "counts"), [("123456789\n", True), ("max\n", False), (None, False)])
def test_a_containers_limit_counts(tmp_path: Path, limit: str | None, counts: bool) -> None:
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)
    machine = memory_bytes(())
    assert machine > 500 * MB
    assert memory_bytes((str(file),)) == (123456789 if counts else machine)


@pytest.mark.parametrize(("there", "taken"), [(500 * MB, 128), (4096 * MB, 512), (64 * 1024 * MB, 2048)])
def test_postgresql_takes_an_eighth_within_bounds(monkeypatch: pytest.MonkeyPatch, there: int, taken: int) -> None:
    monkeypatch.setattr(postgres, "memory_bytes", lambda: there)
    assert postgres.shared_buffers_mb() == taken
