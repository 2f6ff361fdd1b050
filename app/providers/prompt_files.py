"""Prompt files: `prompts/<name>/v<N>.md`, of which `prompts/ACTIVE.toml` names the versions in use.

A folder of one's own (FOOTNOTE_PROMPTS_DIR) lies over the packaged one: it holds what is different, files and lines of
`ACTIVE.toml`; all else, prompts of later versions of Footnote included, comes from the package.
A file begins with front matter between `---` lines (`purpose`, `model`, `variables`), then come its two parts under
`## system` and `## user`, with `$variable` placeholders and `$$` for a dollar sign.
"""

import hashlib
import re
import tomllib
from pathlib import Path
from string import Template

from app.domain.errors import ConfigurationError
from app.domain.prompt import Prompt
from app.settings import packaged_prompts

# What is filled in. A prompt may leave some out, but cannot ask for more.
_SUPPLIED = {
    "answer": frozenset({"passages", "question", "history"}),
    "answer-small": frozenset({"passages", "question", "history"}),
    "condense": frozenset({"question", "history"}),
    "summary": frozenset({"summary", "history"}),
    "rerank": frozenset({"question", "passage"}),
    "context": frozenset({"title", "headings", "beginning", "before", "chunk", "after"}),
    "judge": frozenset({"question", "reference", "answer", "verdicts"}),
    "judge-compare": frozenset({"question", "reference", "first", "second", "verdicts"}),
    "closed-book": frozenset({"question"}),
}
_ACTIVE = "ACTIVE.toml"
_HEADER = "# The version of each prompt that is in use, where it is not the packaged one.\n"
_REQUIRED_FIELDS = ("purpose", "model", "variables")
_FILE = re.compile(r"---\n(?P<front>.*?)\n---\n\s*## system\n(?P<system>.*?)\n## user\n(?P<user>.*)", re.DOTALL)


class PromptFiles:
    """The active prompts of a folder, read and checked once. Raises ConfigurationError naming file and fault."""

    def __init__(self, folder: Path) -> None:
        self._prompts = {name: read_prompt(folder, name, number) for name, number in active_versions(folder).items()}

    def active(self, name: str) -> Prompt:
        """The version in use of the prompt `name`. Raises ConfigurationError when there is no such prompt."""
        if name not in self._prompts:
            raise ConfigurationError(_unknown(name))
        return self._prompts[name]


def active_versions(folder: Path) -> dict[str, int]:
    """The version in use of each prompt. Raises ConfigurationError."""
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}; see FOOTNOTE_PROMPTS_DIR.")
    versions: dict[str, int] = {}
    for path in (packaged_prompts() / _ACTIVE, folder / _ACTIVE):
        versions |= _chosen(path) if path.is_file() else {}
    return {name: versions[name] for name in _SUPPLIED}


def _chosen(path: Path) -> dict[str, int]:
    """The version numbers that a file names."""
    try:
        table = tomllib.loads(_bytes(path).decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}.") from error
    for name, number in table.items():
        if name not in _SUPPLIED:
            raise ConfigurationError(f"{path}: {_unknown(name)}")
        if not isinstance(number, int):
            raise ConfigurationError(f"{path} names no version of `{name}`; write a line such as `{name} = 1`.")
    return table


def versions_of(folder: Path, name: str) -> list[int]:
    """The versions that there are of a prompt, the oldest first. Raises ConfigurationError for an unknown name."""
    if name not in _SUPPLIED:
        raise ConfigurationError(_unknown(name))
    files = [path for each in (packaged_prompts(), folder) for path in (each / name).glob("v*.md")]
    numbers = [re.fullmatch(r"v(\d+)\.md", path.name) for path in files]
    return sorted({int(number[1]) for number in numbers if number})


def _unknown(name: str) -> str:
    return f"There is no prompt `{name}`; there are {', '.join(sorted(_SUPPLIED))}."


def prompt_path(folder: Path, name: str, version: int) -> Path:
    """The file of a version: the folder's own, or, where it has none, the packaged one."""
    file = Path(name, f"v{version}.md")
    packaged = packaged_prompts() / file
    return packaged if packaged.is_file() and not (folder / file).is_file() else folder / file


def prompt_text(folder: Path, name: str, version: int) -> str:
    """A prompt file as it is written. Raises ConfigurationError."""
    there = versions_of(folder, name)
    if version not in there:
        shown = ", ".join(map(str, there)) or "none"
        raise ConfigurationError(f"The prompt `{name}` has no version {version}; there are: {shown}.")
    return _bytes(prompt_path(folder, name, version)).decode(errors="replace")


def activate(folder: Path, name: str, version: int) -> int:
    """Use this version from the next start on; returns the one that was in use. Raises ConfigurationError."""
    prompt_text(folder, name, version)
    read_prompt(folder, name, version)
    path, before = folder / _ACTIVE, active_versions(folder)[name]
    text, line = path.read_text("utf-8-sig") if path.is_file() else _HEADER, f"{name} = {version}"
    text, found = re.subn(rf"""(?m)^[ \t]*(["']?){re.escape(name)}\1[ \t]*=.*$""", line, text)
    text += "" if found else ("" if text.endswith("\n") else "\n") + line + "\n"
    try:
        draft = path.with_suffix(".draft")
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}). Make a folder of your own, and set FOOTNOTE_PROMPTS_DIR to "
            "it; it need hold no more than what you change."
        ) from error
    return before


def read_prompt(folder: Path, name: str, version: int) -> Prompt:
    """A version of a prompt, checked. Raises ConfigurationError."""
    path = prompt_path(folder, name, version)
    data = _bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8, which the model would be asked in; save it anew.") from error
    parts = _FILE.fullmatch(text.replace("\r\n", "\n"))
    if parts is None:
        raise ConfigurationError(f"{path} needs front matter between `---` lines, then `## system`, then `## user`.")
    _check_variables(path, _fields(path, parts["front"]), parts["system"] + parts["user"], _SUPPLIED[name])
    return Prompt(name, version, hashlib.sha256(data).hexdigest(), parts["system"].strip(), parts["user"].strip())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); see FOOTNOTE_PROMPTS_DIR.") from error


def _fields(path: Path, front: str) -> dict[str, str]:
    """The front matter: a `name: value` a line."""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in front.splitlines())}
    for name in _REQUIRED_FIELDS:
        if not fields.get(name):
            raise ConfigurationError(f"The front matter of {path} needs a line `{name}: …`.")
    return fields


def _check_variables(path: Path, fields: dict[str, str], template: str, supplied: frozenset[str]) -> None:
    """Raise ConfigurationError unless exactly the declared variables are used, and all of them are supplied."""
    declared = {name.strip() for name in fields["variables"].split(",")} - {""}
    parsed = Template(template)
    if not parsed.is_valid():
        raise ConfigurationError(f"{path} has a `$` that starts no variable; write `$$` for a dollar sign.")
    used = set(parsed.get_identifiers())
    for names, fault in (
        (used - supplied, "uses variables that nothing fills in"),
        (used - declared, "uses variables that its front matter does not declare"),
        (declared - used, "declares variables that it does not use"),
    ):
        if names:
            raise ConfigurationError(
                f"{path} {fault}: {', '.join(sorted(names))}. It can use {', '.join(sorted(supplied))}."
            )
