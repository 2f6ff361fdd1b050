"""The worker's order of requests, without a model."""

import threading
from collections.abc import Callable
from typing import Any

from app.providers.llama_worker import Requests


class Generation:
    """A generation that goes on until the test lets it end."""

    def __init__(self) -> None:
        self.replies: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.started = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.requests = Requests(self.generate, self.reply)
        threading.Thread(target=self.requests.work, daemon=True).start()

    def generate(self, body: dict[str, Any], chunk_arrived: Callable[[dict[str, Any]], bool]) -> None:
        self.bodies.append(body)
        self.started.release()
        while True:
            self.go_on.acquire()
            if chunk_arrived({"n": len(self.replies)}) or body.get("short"):
                return

    def reply(self, message: dict[str, Any]) -> None:
        self.replies.append(message)
        if "end" in message:
            self.ended.release()


def test_requests_run_one_after_the_other_in_their_order() -> None:
    generation = Generation()
    for number in (3, 1, 2):
        generation.requests.add(number, {"short": True})
    for _ in range(3):
        generation.go_on.release()
        assert generation.ended.acquire(timeout=30)
    assert [reply["id"] for reply in generation.replies if "end" in reply] == [3, 1, 2]


def test_a_running_request_ends_at_its_next_chunk_and_says_no_more() -> None:
    generation = Generation()
    generation.requests.add(1, {})
    assert generation.started.acquire(timeout=30)
    generation.requests.cancel(1)
    generation.go_on.release()
    assert generation.ended.acquire(timeout=30)
    assert generation.replies == [{"id": 1, "end": True}]


def test_a_waiting_request_ends_at_once_and_is_never_generated() -> None:
    generation = Generation()
    generation.requests.add(1, {"short": True})
    generation.requests.add(2, {"short": True})
    assert generation.started.acquire(timeout=30)
    generation.requests.cancel(2)
    assert generation.replies == [{"id": 2, "end": True}]
    generation.go_on.release()
    assert generation.ended.acquire(timeout=30)
    assert len(generation.bodies) == 1


def test_a_late_cancel_disturbs_nobody() -> None:
    generation = Generation()
    generation.requests.add(1, {"short": True})
    generation.go_on.release()
    assert generation.ended.acquire(timeout=30)
    generation.requests.cancel(1)
    generation.requests.add(2, {"short": True})
    generation.go_on.release()
    generation.ended.acquire(timeout=30)
    assert next(reply for reply in generation.replies if reply["id"] == 2).get("chunk")
