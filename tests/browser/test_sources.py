"""The widget's sources: plain modules that build the page from elements alone and load nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from tests.browser.fake_server import WIDGET

STATIC = WIDGET / "static"
MODULES = sorted(STATIC.rglob("*.js"))
# Ways to turn text into markup or code, and inline styles, which the content security policy would refuse.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc"
    r"|\beval\(|new Function|setTimeout\(\s*[\"'`]|javascript:|setAttribute\(\s*\"(?:style|on)"
)
IMPORT = re.compile(r"^import .* from \"([^\"]+)\";$", re.MULTILINE)
ADDRESS = re.compile(r"(?:https?:)?//[\w-]+\.[\w.-]+")


def name(path: Path) -> str:
    return str(path.relative_to(WIDGET))


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_builds_elements_and_says_what_it_is(module: Path) -> None:
    source = module.read_text()
    assert FORBIDDEN.findall(source) == []
    assert re.match(r"/\*\* [A-Z][\w\s-]+: ", source), "the first line says the module's noun"
    assert max(map(len, source.splitlines())) <= 120


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_imports_are_relative_and_exist(module: Path) -> None:
    for target in IMPORT.findall(module.read_text()):
        assert target.startswith(("./", "../")), target
        assert (module.parent / target).is_file(), target


def test_imports_have_no_cycles() -> None:
    needs = {
        module: {(module.parent / target).resolve() for target in IMPORT.findall(module.read_text())}
        for module in MODULES
    }
    while needs:
        free = {module for module, targets in needs.items() if not targets & set(needs)}
        assert free, f"a cycle among {sorted(map(name, needs))}"
        needs = {module: targets for module, targets in needs.items() if module not in free}


def test_nothing_names_another_server() -> None:
    for path in [*MODULES, *STATIC.rglob("*.css"), *STATIC.rglob("*.svg"), WIDGET / "index.html"]:
        namespace = "http://www.w3.org/2000/svg"  # a name, never fetched
        assert ADDRESS.findall(path.read_text().replace(namespace, "")) == [], path


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (WIDGET / "index.html").read_text()
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page) == []
