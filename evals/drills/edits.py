"""Edits: a documentation tree that changes at random, as people would change it."""

import random
import re
import shutil
import tarfile
from pathlib import Path

EVERYTHING = 1_000_000  # as a number of files
_RUNNING = re.compile(r"[A-Z][^\n]+\n(?![-=~^'\"`#*]{3})")  # no heading, list, directive or code
_TEXTS = {".md", ".rst", ".txt"}
_WORDS = [
    first + second for first in ("bal", "cor", "den", "fir", "gan", "hol", "jin") for second in ("a", "en", "ist")
]


class Tree:
    """A folder under random edits of its text files."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self._chance = chance
        self._made = 0

    @classmethod
    def of(cls, source: Path | None, folder: Path, chance: random.Random, *, files: int) -> "Tree":
        """A copy of a folder or a tar archive, `files` of its files at most; a generated one without a source."""
        tree = cls(folder, chance)
        folder.mkdir(parents=True)
        if source is None:
            for _ in range(files):
                tree.add()
            return tree
        if source.is_dir():
            shutil.copytree(source, folder, dirs_exist_ok=True)
        else:
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
        for path in tree.files()[files:]:
            path.unlink()
        return tree

    def files(self) -> list[Path]:
        """The text files that are there."""
        return sorted(path for path in self.folder.rglob("*") if path.suffix in _TEXTS and path.is_file())

    def edit(self) -> None:
        """Change a paragraph of some files, add, copy, move and delete others."""
        for path in self._some(6):
            paragraphs = path.read_text(encoding="utf-8").split("\n\n")
            self._replace(path, paragraphs, self._chance.randrange(len(paragraphs)))
        for path in self._some(2):
            path.rename(path.with_name(f"moved-{self._number()}{path.suffix}"))
        for path in self._some(1):
            shutil.copy(path, path.with_name(f"copy-{self._number()}{path.suffix}"))
        for path in self._some(2):
            path.unlink()
        for _ in range(self._chance.randrange(3)):
            self.add()

    def reword(self) -> None:
        """Change one paragraph of running text in one file."""
        while True:
            path = self._chance.choice(self.files())
            paragraphs = path.read_text(encoding="utf-8").split("\n\n")
            running = [at for at, text in enumerate(paragraphs) if _RUNNING.match(text) and len(text.split()) > 20]
            if running:
                self._replace(path, paragraphs, self._chance.choice(running))
                return

    def add(self) -> None:
        """A new file."""
        sections = [
            f"# Part {n}\n\n{self._paragraph()}\n\n{self._paragraph()}" for n in range(self._chance.randint(1, 6))
        ]
        path = self.folder / f"made-{self._number()}.md"
        path.write_text("\n\n".join(sections), encoding="utf-8")

    def _replace(self, path: Path, paragraphs: list[str], at: int) -> None:
        paragraphs[at] = self._paragraph()
        path.write_text("\n\n".join(paragraphs), encoding="utf-8")

    def _some(self, most: int) -> list[Path]:
        files = self.files()
        return self._chance.sample(files, min(len(files), self._chance.randint(0, most)))

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _paragraph(self) -> str:
        return " ".join(self._chance.choices(_WORDS, k=self._chance.randint(20, 120))).capitalize() + "."
