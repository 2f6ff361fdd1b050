"""Following: one client that asks and reads its answer to the end, over as many connections as it takes."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx
import msgspec

from app.services.rendering import RENDERED
from evals.event_stream import read_events

ENDS = {"run.completed", "run.cancelled", "run.failed"}
TRIES_S = 90  # without a new event


@dataclass(slots=True)
class Followed:
    """What one client saw. `silence_s` is the longest time without a new event, `stored` the message in the store."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list)
    end: str | None = None
    problem: str | None = None
    run_id: str = ""
    conversation_id: str = ""
    rewinds: int = 0
    connections: int = 0
    refused: int = 0
    silence_s: float = 0.0
    first_s: float = 0.0
    stored: dict[str, Any] = field(default_factory=dict)

    @property
    def gapless(self) -> bool:
        """Whether every id came once, in order; those of an answer that was rendered anew begin at their own number."""
        return all(then in {before + 1, RENDERED + 1} for before, then in pairwise([0, *self.ids]))

    @property
    def as_stored(self) -> bool:
        """Whether the text and its footnotes are those of the stored message."""
        return self.text == self.stored.get("text") and self.citations == self.stored.get("citations")

    def add(self, event_id: int, kind: str, data: dict[str, Any]) -> None:
        """Take one event."""
        self.ids.append(event_id)
        match kind:
            case "run.started":
                self.run_id, self.conversation_id = data["run_id"], data["conversation_id"]
            case "text.delta":
                self.text += data["text"]
            case "text.rewind":
                self.rewinds += 1
                self.text = self.text[: data["to"]]
                self.citations = [c for c in self.citations if c["sentence_end"] <= data["to"]]
            case "citation":
                self.citations.append(data)
            case _ if kind in ENDS:
                self.end = kind
                self.problem = data.get("problem", {}).get("code")


async def ask(
    url: str, question: str, followed: Followed, *, drop: random.Random | None = None, timeout_s: float = 20
) -> None:
    """Ask, and follow to the end; with `drop`, leave now and then in the middle and resume elsewhere.

    Raises TimeoutError when nothing new came for TRIES_S.
    """
    began = last = time.monotonic()
    while followed.end is None:
        if time.monotonic() - last > TRIES_S:
            raise TimeoutError
        leave_after = drop.randint(5, 120) if drop else None
        try:
            # a client of its own each time: the next connection goes to any worker
            async with httpx.AsyncClient(base_url=url, timeout=timeout_s) as client:
                request = (
                    client.stream("POST", "/v1/chat", json={"message": question})
                    if not followed.run_id
                    else client.stream(
                        "GET",
                        f"/v1/runs/{followed.run_id}/events",
                        headers={"Last-Event-ID": str(followed.ids[-1] if followed.ids else 0)},
                    )
                )
                async with request as response:
                    if response.status_code != 200:
                        followed.refused += 1
                        await asyncio.sleep(0.3)
                        continue
                    followed.connections += 1
                    followed.run_id = followed.run_id or response.headers["x-run-id"]
                    async for event in read_events(response):
                        now = time.monotonic()
                        if not followed.ids:
                            followed.first_s = now - began
                        followed.silence_s, last = max(followed.silence_s, now - last), now
                        followed.add(event.id, event.type, msgspec.json.decode(event.data))
                        if leave_after is not None and (leave_after := leave_after - 1) < 0:
                            break
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for _ in range(100):
            try:
                reply = await client.get(f"/v1/conversations/{followed.conversation_id}")
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            if reply.status_code == 200:
                followed.stored = reply.json()["messages"][-1]
                if followed.stored["state"] != "running":
                    return
            await asyncio.sleep(0.2)
