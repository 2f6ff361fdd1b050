"""Reader: someone at the page, with what they see and what the browser complains about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Error, Locator, Page, Request, Response

# Said by the browser for every failed request; the tests look at the page's answer to them instead.
NETWORK_NOISE = ("Failed to load resource",)
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI || "inline"}`));
"""
# What is added to the answer's own words: footnote numbers, words for screen readers only.
WORDS = """(prose) => {
  const copy = prose.cloneNode(true);
  copy.querySelectorAll(".marker, .visually-hidden").forEach((added) => added.remove());
  return copy.textContent;
}"""
FOCUSED = """() => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element?.getAttribute("aria-label") ?? element?.textContent.trim() ?? "";
}"""


@dataclass(frozen=True)
class Site:
    """A real server to visit, and a question that it answers at a reader's pace with at least one footnote."""

    url: str
    question: str


@dataclass
class Reader:
    """A page, what the browser complained about in it, and every address it asked for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    @property
    def field(self) -> Locator:
        return self.page.get_by_label("Your question")

    @property
    def answer(self) -> Locator:
        """The newest answer."""
        return self.page.locator(".answer").last

    @property
    def prose(self) -> Locator:
        return self.answer.locator(".prose")

    @property
    def panel(self) -> Locator:
        return self.page.locator("dialog.panel")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def marker(self, number: int) -> Locator:
        """The footnote number in the newest answer's text."""
        return self.prose.locator(f'button[data-note="{number}"]')

    async def ask(self, question: str) -> None:
        await self.field.fill(question)
        await self.field.press("Enter")

    async def finished(self) -> None:
        """Wait until the newest answer can be copied: it is written."""
        await self.answer.get_by_role("button", name="Copy the answer").wait_for()

    async def words(self) -> str:
        """The answer's text as read, without footnote numbers; white space as single spaces."""
        return squeezed(await self.prose.evaluate(WORDS))

    async def focused(self) -> str:
        """The name of the element that has the focus."""
        return str(await self.page.evaluate(FOCUSED))

    async def fetch(self, path: str) -> Any:
        """What the server says about something."""
        response = await self.page.request.get(self.url + path)
        return await response.json()

    async def stored(self) -> dict[str, Any]:
        """The newest conversation's last message, as stored."""
        listed = (await self.fetch("/v1/conversations"))["conversations"]
        conversation = await self.fetch(f"/v1/conversations/{listed[0]['id']}")
        message: dict[str, Any] = conversation["messages"][-1]
        return message

    async def embed(self, style: str, widgets: int = 1) -> None:
        """Go to a page that is not Footnote's own, with these rules, as docs/widget.md tells to embed the widget."""
        head = f'<!doctype html><style>{style}</style><script type="module" src="/widget/footnote.js"></script>'
        body = "<h1>A shop</h1>" + f'<footnote-chat endpoint="{self.url}"></footnote-chat>' * widgets
        await self.page.route("**/shop.html", lambda route: route.fulfill(content_type="text/html", body=head + body))
        await self.page.goto(f"{self.url}/shop.html")
        await self.page.locator("footnote-chat .app").last.wait_for()

    async def module(self, name: str, body: str, value: object = None) -> Any:
        """Run JavaScript with the module's exports as `m` and the argument as `value`; returns what it returns."""
        source = f"async (value) => {{ const m = await import('/widget/{name}.js'); {body} }}"
        return await self.page.evaluate(source, value)


async def open_reader(browser: Browser, url: str, path: str = "/", **options: Any) -> Reader:
    """Open a page in a new window; `options` are those of a browser context."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(10_000)
    page = await context.new_page()
    reader = Reader(page, url)
    await page.add_init_script(REPORT_VIOLATIONS)

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(NETWORK_NOISE):
            reader.complaints.append(f"{message.type}: {message.text}")

    def threw(error: Error) -> None:
        reader.complaints.append(f"thrown: {error.message}")

    def asked(request: Request) -> None:
        reader.requested.append(request.url)

    def answered(response: Response) -> None:
        if response.status >= 400 and "/v1/" not in response.url:
            reader.complaints.append(f"{response.status}: {response.url}")

    page.on("console", heard)
    page.on("pageerror", threw)
    page.on("request", asked)
    page.on("response", answered)
    await page.goto(url + path)
    await page.locator("footnote-chat .app").wait_for()
    return reader


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def plain(markdown: str) -> str:
    """A simple Markdown text as it reads: marks of emphasis, code, headings, quotes and lists removed."""
    lines = [re.sub(r"^\s*(#{1,6}|>|[-*+]|\d+[.)])\s+", "", line) for line in markdown.splitlines()]
    return squeezed(re.sub(r"[*`]+", "", "\n".join(lines)))


def foreign(requested: Sequence[str], *origins: str) -> list[str]:
    """The requests that went anywhere else than to these origins."""
    return [address for address in requested if not address.startswith((*origins, "data:"))]
