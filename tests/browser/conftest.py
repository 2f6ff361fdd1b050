"""Browser fixtures: a real Chromium, a server to visit, and a reader at the page."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from app.settings import Settings
from ingestion.pipeline import Report
from tests.browser.fake_server import FakeServer, serving
from tests.browser.reader import Reader, Site, open_reader
from tests.fixtures.server import Server

HERE = Path(__file__).parent
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox needs a user other than root; the rest keeps the browser from calling anyone.
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What the scripted model answers: words of the test corpus (and others), so that there are footnotes to open.
KEEPERS = (
    "Three keepers lived at the station with their families 👩‍👩‍👧. Each watch lasted six hours. The last keeper, Olav "
    "Brekke, left in 1986, when the light became automatic. Nobody knows what became of the 🐈 that lived there too."
)

MUST_RUN = os.environ.get("CI") == "true"
OpenReader = Callable[..., Awaitable[Reader]]


def find_chromium() -> str | None:
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The browser lives as long as the session, so its tests share the session's event loop.

    Without a Chromium only the first of them stays, to say so in one line.
    """
    needing = [item for item in items if HERE in item.path.parents and "chromium" in getattr(item, "fixturenames", ())]
    for item in needing:
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
    if needing and find_chromium() is None and not MUST_RUN:
        config.hook.pytest_deselected(items=needing[1:])
        items[:] = [item for item in items if item not in needing[1:]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; without one these tests are left out, except where they must run (CI=true)."""
    path = find_chromium()
    if path is None:
        told = "the browser tests need Chromium: `apt-get install chromium` brings it"
        if MUST_RUN:
            pytest.fail(told)
        pytest.skip(f"left out, {told}")
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        yield browser
        await browser.close()


@pytest.fixture
def fake(chromium: str) -> Iterator[FakeServer]:
    """A fake server of this test's own, for what a healthy server never does."""
    with serving(FakeServer()) as fake:
        yield fake


@pytest.fixture
def site(chromium: str, settings: Settings, corpus: Report, serve: Callable[[Settings], Server]) -> Site:
    """The real application over the test corpus, its scripted model writing at a reader's pace."""
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 25}))
    return Site(server.url, f"Who kept the lighthouse? [[say={KEEPERS}]]")


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[OpenReader]:
    """Open a server's page in a window of its own; afterwards nothing may have gone wrong in it."""
    readers: list[Reader] = []

    async def visit(url: str, path: str = "/", **options: Any) -> Reader:
        readers.append(await open_reader(browser, url, path, **options))
        return readers[-1]

    yield visit
    for reader in readers:
        await reader.page.context.close()
    assert [complaint for reader in readers for complaint in reader.complaints] == []


@pytest_asyncio.fixture(loop_scope="session")
async def reader(visit: OpenReader, fake: FakeServer) -> Reader:
    """A reader at the fake server's page."""
    return await visit(fake.url)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def modules(browser: Browser) -> AsyncIterator[Reader]:
    """A page whose modules are tested by themselves, shared by a file's tests."""
    with serving(FakeServer()) as fake:
        reader = await open_reader(browser, fake.url)
        yield reader
        await reader.page.context.close()
    assert reader.complaints == []
