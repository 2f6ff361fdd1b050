"""The page of an evaluation in a browser: nothing is loaded, nothing overflows, both colour schemes."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser

from evals.gate import decide
from evals.page.page import render_page
from evals.policy import load_policy
from tests.evals.results import answers


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_the_page_fits_and_loads_nothing(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    base, head, policy = answers(0.0), answers(-0.3), load_policy()
    path = tmp_path / "page.html"
    path.write_text(render_page(head, policy, base, decide(base, head, policy)))
    page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    await page.goto(path.as_uri())
    for details in await page.locator("details").all():
        await details.evaluate("element => { element.open = true }")
    assert complaints == [path.as_uri()]
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(251, 250, 248)", "dark": "rgb(22, 23, 25)"}[scheme]
    drawn = await page.locator("svg").evaluate_all("all => all.map(svg => svg.getBoundingClientRect().height)")
    assert len(drawn) == 5
    assert all(height > 60 for height in drawn)
    await page.close()
