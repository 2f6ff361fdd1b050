"""PPT: the slides of a presentation of PowerPoint 97 to 2003 as pages ([MS-PPT])."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EncryptedFile
from ingestion.loaders.compound import number_at, opened, properties, stream
from ingestion.loaders.pieces import Item, Pieces, listed
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.ms-powerpoint"
_ENCRYPTED = 0xF3D1C4DF
_EDIT, _DIRECTORY, _SLIDE_ATOM, _TEXT_BOX = 0x0FF5, 0x1772, 0x03EF, 0xF00D
_LIST, _ENTRY = 0x0FF0, 0x03F3
_HEADER, _CHARS, _BYTES, _OUTLINE = 0x0F9F, 0x0FA0, 0x0FA8, 0x0F9E
_SLIDES, _NOTES = 0, 2  # the lists of a document
_TITLES, _NOTES_TEXT, _OTHER = {0, 6}, 2, 4  # kinds of text
_DEEPEST = 32
_MOST_EDITS = 10_000
_LINES = str.maketrans({"\r": "\n", "\x0b": " "})


@dataclass(frozen=True, slots=True)
class _Record:
    """A record: its type, the number of its instance, and where its content is."""

    type: int
    instance: int
    is_container: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Text:
    """A text of a slide; `kind` is that of its placeholder."""

    kind: int
    text: str


@dataclass(slots=True)
class _Entry:
    """A slide in the document's list: where it is, its number, and its texts in the outline."""

    reference: int
    number: int
    outline: list[_Text]


class PptReader(StructureReader):
    """Reads each slide's texts in the order of its shapes; pictures and charts are left out."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A page for each slide: its title as a heading, its text as lists, its notes."""
        with opened(data) as file:
            deck = _Deck(stream(file, "PowerPoint Document"), stream(file, "Current User"))
            about = properties(file)
        pieces = Pieces()
        for number, (texts, notes) in enumerate(deck.slides(), start=1):
            pieces.page()
            title = next((text for text in texts if text.kind in _TITLES), None)
            pieces.heading(2, (title.text if title else "") or f"Slide {number}")
            for text in texts:
                if text is not title:
                    pieces.block(listed(Item(0, line) for line in text.text.split("\n")))
            pieces.block(f"Notes: {notes}" if notes else "")
        return pieces.document(name, MEDIA_TYPE, about.pop("title", ""), **about)


class _Deck:
    """A presentation's stream, and which of its parts are the current ones."""

    def __init__(self, data: bytes, current_user: bytes) -> None:
        self._data = data
        if len(current_user) >= 20 and number_at(current_user, 12) == _ENCRYPTED:
            raise EncryptedFile
        self._places, document = self._directory(number_at(current_user, 16))
        container = self._part(document)
        lists = {one.instance: one for one in self._children(container) if one.type == _LIST}
        self._listed = {which: self._entries(lists[which]) if which in lists else [] for which in (_SLIDES, _NOTES)}

    def slides(self) -> Iterator[tuple[list[_Text], str]]:
        """The texts of each slide, and its notes."""
        notes = {entry.number: entry for entry in self._listed[_NOTES]}
        for entry in self._listed[_SLIDES]:
            slide = self._part(entry.reference)
            about = next((one for one in self._children(slide) if one.type == _SLIDE_ATOM), None)
            number = number_at(self._data, about.start + 16) if about and about.end - about.start >= 20 else 0
            said = self._texts(notes[number]) if number in notes else []
            spoken = "\n".join(text.text for text in said if text.kind == _NOTES_TEXT)
            yield self._texts(entry), spoken

    def _texts(self, entry: _Entry) -> list[_Text]:
        """The texts of a slide's shapes in order; those that only the outline has come first."""
        found, told = list[_Text](), set[int]()
        for box in self._boxes(self._part(entry.reference), 0):
            found += self._read_texts(self._children(box), entry.outline, told)
        hidden = [text for at, text in enumerate(entry.outline) if at not in told]
        return [text for text in (*hidden, *found) if text.text]

    def _read_texts(
        self, records: Iterable[_Record], outline: Sequence[_Text] = (), told: set[int] | None = None
    ) -> list[_Text]:
        found, kind = list[_Text](), _OTHER
        for record in records:
            raw = self._data[record.start : record.end]
            if record.type == _HEADER and len(raw) >= 4:
                kind = number_at(raw, 0)
            elif record.type == _CHARS:
                found.append(_Text(kind, _clean(raw.decode("utf-16-le", errors="replace"))))
            elif record.type == _BYTES:
                found.append(_Text(kind, _clean(raw.decode("latin-1"))))
            elif record.type == _OUTLINE and told is not None and len(raw) >= 4:
                at = number_at(raw, 0)
                if at < len(outline) and at not in told:
                    found.append(outline[at])
                    told.add(at)
        return found

    def _entries(self, listed: _Record) -> list[_Entry]:
        entries, texts = list[tuple[int, int]](), list[list[_Record]]()
        for record in self._children(listed):
            if record.type == _ENTRY and record.end - record.start >= 16:
                entries.append((number_at(self._data, record.start), number_at(self._data, record.start + 12)))
                texts.append([])
            elif texts:
                texts[-1].append(record)
        return [
            _Entry(reference, number, self._read_texts(own))
            for (reference, number), own in zip(entries, texts, strict=True)
        ]

    def _boxes(self, record: _Record, depth: int) -> Iterator[_Record]:
        """The text boxes in a slide, in the order of its shapes."""
        for child in self._children(record):
            if child.type == _TEXT_BOX:
                yield child
            elif child.is_container and depth < _DEEPEST:
                yield from self._boxes(child, depth + 1)

    def _directory(self, edit: int) -> tuple[dict[int, int], int]:
        """Where each part is, the newest edit counting, and which part is the document."""
        places, document = dict[int, int](), 0
        for _ in range(_MOST_EDITS):
            record = self._record(edit)
            if record.type != _EDIT or record.end - record.start < 20:
                raise DamagedFile("The PPT file lacks the list of its parts; get a whole copy and ingest it again.")
            before, directory, reference = (number_at(self._data, record.start + at) for at in (8, 12, 16))
            document = document or reference
            for number, place in self._listed_places(self._record(directory)):
                places.setdefault(number, place)
            if not before or before >= edit:
                return places, document
            edit = before
        raise DamagedFile("The PPT file has too many edits; save it anew and ingest it again.")

    def _listed_places(self, record: _Record) -> Iterator[tuple[int, int]]:
        at = record.start if record.type == _DIRECTORY else record.end
        while at + 4 <= record.end:
            head = number_at(self._data, at)
            for i in range(min(head >> 20, (record.end - at - 4) // 4)):
                yield (head & 0xFFFFF) + i, number_at(self._data, at + 4 + 4 * i)
            at += 4 + 4 * (head >> 20)

    def _part(self, number: int) -> _Record:
        if number not in self._places:
            raise DamagedFile("A part of the PPT file is missing; get a whole copy and ingest it again.")
        return self._record(self._places[number])

    def _children(self, record: _Record) -> Iterator[_Record]:
        at = record.start
        while at + 8 <= record.end:
            child = self._record(at)
            yield child
            at = child.end

    def _record(self, at: int) -> _Record:
        version, type_, length = struct.unpack_from("<HHI", self._data, at)
        end = min(at + 8 + length, len(self._data))
        return _Record(type_, version >> 4, version & 15 == 15, at + 8, end)


def _clean(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.translate(_LINES).split("\n")).strip()
