"""Prompt files: what is read, and how each mistake is told."""

import hashlib
import re
from codecs import BOM_UTF8
from pathlib import Path

import pytest

from app.domain.errors import ConfigurationError
from app.providers.prompt_files import PromptFiles, activate, read_prompt, versions_of
from app.settings import Settings, packaged_prompts

_VALUES = [
    "passages",
    "passage",
    "question",
    "history",
    "reference",
    "answer",
    "first",
    "second",
    "verdicts",
    "summary",
    "title",
    "headings",
    "beginning",
    "before",
    "chunk",
    "after",
]
NAMES = ["answer", "answer-small", "condense", "summary", "rerank", "judge", "judge-compare", "closed-book", "context"]
WITHOUT_QUESTION = {"summary": "history", "context": "chunk"}
FILE = """---
purpose: a test
model: any
variables: {variables}
---

## system

Be brief.

## user

{user}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A valid folder of prompts."""
    (tmp_path / "ACTIVE.toml").write_text("".join(f"{name} = 1\n" for name in NAMES))
    for name in NAMES:
        variable = WITHOUT_QUESTION.get(name, "question")
        write(tmp_path, name, FILE.format(variables=variable, user=f"Question: ${variable}, for $$5"))
    return tmp_path


def write(folder: Path, name: str, text: str, version: int = 1) -> None:
    path = folder / name / f"v{version}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_the_projects_own_prompts_are_valid_and_hold_their_values() -> None:
    files = PromptFiles(Settings().prompts_dir)
    for name in NAMES:
        prompt = files.active(name)
        values = {name: f"[the {name}]" for name in _VALUES}
        system, user = prompt.render(**values)
        assert system
        assert ("[the question]" in user) == (name not in WITHOUT_QUESTION)
        assert ("[the passages]" in user) == name.startswith("answer")
        assert ("[the passage]" in user) == (name == "rerank")
        assert ("[the verdicts]" in user) == name.startswith("judge")
        assert ("[the chunk]" in user) == ("[the before]" in user) == (name == "context")
        assert "$" not in system + user


def test_a_prompt_has_its_version_checksum_and_parts(folder: Path) -> None:
    write(folder, "answer", FILE.format(variables="question", user="Well: $question"), version=12)
    toml = folder / "ACTIVE.toml"
    toml.write_text(toml.read_text().replace("answer = 1\n", "answer = 12\n", 1))
    prompt = PromptFiles(folder).active("answer")
    assert (prompt.name, prompt.version, prompt.system, prompt.user) == ("answer", 12, "Be brief.", "Well: $question")
    assert prompt.checksum == hashlib.sha256((folder / "answer" / "v12.md").read_bytes()).hexdigest()
    assert prompt.reference == f"answer/v12@{prompt.checksum[:8]}"


def test_values_are_never_interpreted(folder: Path) -> None:
    _, user = PromptFiles(folder).active("answer").render(question="$history ${x} $$ {y}", history="secret")
    assert user == "Question: $history ${x} $$ {y}, for $5"


def test_files_that_windows_wrote_are_taken(folder: Path) -> None:
    path = folder / "answer" / "v1.md"
    for file in (path, folder / "ACTIVE.toml"):
        file.write_bytes(BOM_UTF8 + file.read_bytes().replace(b"\n", b"\r\n"))
    assert PromptFiles(folder).active("answer").system == "Be brief."


def test_a_file_that_is_not_utf8_is_refused(folder: Path) -> None:
    file = folder / "answer" / "v1.md"
    file.write_bytes(file.read_text().replace("Be brief.", "Sei höflich.").encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"answer/v1\.md is not UTF-8"):
        PromptFiles(folder)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (FILE.format(variables="question, passages", user="$question"), "does not use: passages"),
        (FILE.format(variables="question", user="$question $passages"), "does not declare: passages"),
        (FILE.format(variables="question, quesiton", user="$question $quesiton"), "nothing fills in: quesiton"),
        (FILE.format(variables="question", user="$question costs $5"), "write `$$`"),
        (FILE.format(variables="", user="$question"), "`variables: …`"),
        ("## system\nx\n## user\n$question\n", "front matter"),
        (FILE.format(variables="question", user="$question").replace("## user", "## human"), "`## user`"),
    ],
)
def test_mistakes_in_a_file_are_told_at_the_start(folder: Path, text: str, fault: str) -> None:
    write(folder, "answer", text)
    with pytest.raises(ConfigurationError, match=re.escape(fault)) as caught:
        PromptFiles(folder)
    assert str(folder / "answer" / "v1.md") in caught.value.message


@pytest.mark.parametrize(
    ("toml", "fault"),
    [("anwser = 2", "no prompt `anwser`"), ('answer = "one"', "no version of `answer`"), ("answer = [", "not TOML")],
)
def test_mistakes_in_the_list_of_versions_are_told(folder: Path, toml: str, fault: str) -> None:
    (folder / "ACTIVE.toml").write_text(toml)
    with pytest.raises(ConfigurationError, match=rf"ACTIVE\.toml.*{fault}"):
        PromptFiles(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "ACTIVE.toml").write_text("condense = 99\n")
    with pytest.raises(ConfigurationError, match=r"condense/v99\.md cannot be read.*FOOTNOTE_PROMPTS_DIR"):
        PromptFiles(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no folder .*FOOTNOTE_PROMPTS_DIR"):
        PromptFiles(tmp_path / "promts")


def test_a_folder_need_hold_no_more_than_what_is_different(tmp_path: Path) -> None:
    packaged = PromptFiles(packaged_prompts())
    write(tmp_path, "answer", FILE.format(variables="question", user="Well: $question"), version=40)
    assert PromptFiles(tmp_path).active("answer") == packaged.active("answer"), "it was not chosen"
    assert activate(tmp_path, "answer", 40) == packaged.active("answer").version
    assert versions_of(tmp_path, "answer") == [*versions_of(packaged_prompts(), "answer"), 40]
    mine = PromptFiles(tmp_path)
    assert mine.active("answer").user == "Well: $question"
    assert [mine.active(name) for name in NAMES[1:]] == [packaged.active(name) for name in NAMES[1:]]
    assert activate(tmp_path, "answer", 1) == 40
    assert PromptFiles(tmp_path).active("answer") == read_prompt(packaged_prompts(), "answer", 1)


def test_an_unknown_prompt_is_told(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no prompt `translate`"):
        PromptFiles(folder).active("translate")
