"""Changes: what is new in a source, compared with what its collection holds."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

import msgspec
import structlog

from app.domain.document import MEMBER
from app.domain.errors import EmptyFile, UnreadableFile
from app.storage.inventory import StoredDocument
from ingestion.parsing import Contents
from ingestion.sources.inner import InnerFile, inner_files
from ingestion.sources.source import Content, Item, Vanished

log = structlog.get_logger()

PARSER = "9"  # part of hashes and stamps: raised when loaders or chunks change, so that documents are taken anew

LONGEST_URI = 2_600  # bytes; of 2,704 that a row of PostgreSQL's index has, some are the collection's
GONE = "gone"  # the stamp of what is in a file no more and was not deleted: the file may not be read again
_PLAIN = "text/plain"

Kind = Literal["added", "changed", "moved"]


@dataclass(frozen=True, slots=True)
class Change:
    """A document that is not in the collection as it is; `stamp` is what to store of it."""

    kind: Kind
    uri: str
    content: Content
    content_hash: bytes
    stamp: str | None
    moved_from: str | None = None


class Changes:
    """Tells what changed; items are looked at once each, one after the other.

    `unchanged` collects the stamps of unchanged documents that are not noted yet, by URI; `superseded` are those whose
    file is now read as several.
    """

    def __init__(
        self,
        known: Mapping[str, StoredDocument],
        listed: Iterable[Item] = (),
        *,
        source: str | None = None,
        again: bool = False,
    ) -> None:
        """`known`: the collection; `listed`: all that is in the source now, which tells what vanished from it.

        With `again` every stored document that is still there counts as changed.
        """
        self._known = known
        self._source = source
        self._again = again
        there = {item.uri for item in listed}
        vanished = [
            document
            for uri, document in known.items()
            if self._owns(document) and uri not in there and there.isdisjoint(_holders(uri))
        ]
        self._movable = {document.content_hash: document.uri for document in vanished}
        self._gone = dict.fromkeys(document.uri for document in vanished)
        for uri, document in known.items():
            if document.stamp == GONE and self._owns(document) and uri not in there:
                self._gone[uri] = None
        self._inside = defaultdict[str, list[StoredDocument]](list)  # by each file that it may be in
        for uri, document in known.items():
            for holder in _holders(uri) if uri not in there else ():
                self._inside[holder].append(document)
        self.unchanged: dict[str, str | None] = {}
        self.superseded: list[str] = []

    def look(self, item: Item, *, max_bytes: int) -> Change | None:
        """What changed, None when nothing did. Blocks.

        Raises UnreadableFile; Vanished also for a file of the source that has become empty.
        """
        before = self._known.get(item.uri)
        if before is None and (size := len(item.uri.encode("utf-8", "replace"))) > LONGEST_URI:
            raise UnreadableFile(
                f"Its name has {size:,} bytes, more than the {LONGEST_URI:,} that can be stored; give it a shorter "
                "name or key."
            )
        stored = None if before is None or self._again else _unstamped(before.stamp)
        content = item.read(max_bytes=max_bytes, known=stored)
        if content is None:
            if before is not None:
                self._note(before, before.stamp)
            return None
        if not content.data.strip() and self.lost(item.uri):
            raise Vanished("There is no text in it any more.")
        self._gone.pop(item.uri, None)
        found, stamp = content_hash(content), _stamped(content.stamp)
        if before is None:
            old = self._movable.pop(found, None)
            self._gone.pop(old, None) if old else None
            return Change("moved" if old else "added", item.uri, content, found, stamp, old)
        if self._again or before.content_hash != found:
            return Change("changed", item.uri, content, found, stamp)
        self._note(before, stamp)
        return None

    def _keep_members(self, uri: str, present: Collection[str], *, itself: bool = True) -> None:
        """Count documents of what is no longer in the file at `uri` among the vanished; `present` are still there.

        Unless the file has a document `itself`, one that it had before has vanished too.
        """
        before = None if itself else self._known.get(uri)
        if before is not None and self._owns(before):
            self._gone[uri] = None
            self.superseded.append(uri)
        for known in self._inside.get(uri, ()):
            kept = known.uri in present or any(holder in present for holder in _holders(known.uri))
            if self._owns(known) and not kept:
                self._gone[known.uri] = None

    def inside(self, change: Change, contents: Contents) -> list[InnerFile]:
        """The files in what was read, of which those that are in it no more have vanished; notes of it are logged.

        Raises FileTooLarge.
        """
        inner = inner_files(change.uri, contents.members, change.content.json_fields)
        for note in contents.notes:
            log.warning("ingest.note", uri=change.uri, note=note)
        self._keep_members(change.uri, {item.uri for item in inner}, itself=contents.parsed is not None)
        return inner

    def without_text(self, change: Change, error: Exception) -> bool:
        """Whether a record turned out to have no text when it was read, markup alone: then it is no document.

        What was stored of it is counted among the vanished.
        """
        if change.content.media_type is None or not isinstance(error, EmptyFile):
            return False
        self.lost(change.uri)
        return True

    def lost(self, uri: str) -> bool:
        """Count a document that turned out to be gone when it was read, and what was in it, among the vanished.

        False: nothing of it was stored.
        """
        before = [self._known[uri]] if uri in self._known else []
        gone = [document.uri for document in (*before, *self._inside.get(uri, ())) if self._owns(document)]
        self._gone |= dict.fromkeys(gone)
        return bool(gone)

    @property
    def vanished(self) -> Sequence[str]:
        """Stored documents of the source that are no longer there and were not moved, by URI."""
        return list(self._gone)

    @property
    def kept(self) -> Mapping[str, str]:
        """What to note of those that vanished, when they are not deleted: a stamp by URI."""
        return {uri: GONE for uri in self._gone if self._known[uri].stamp != GONE}

    @property
    def stored(self) -> int:
        """How many documents of the source the collection holds."""
        return sum(document.source == self._source for document in self._known.values())

    def _owns(self, document: StoredDocument) -> bool:
        return self._source is not None and document.source == self._source

    def _note(self, before: StoredDocument, stamp: str | None) -> None:
        if (before.stamp, before.source) != (stamp, before.source or self._source):
            self.unchanged[before.uri] = stamp
            inside = self._inside.get(before.uri, ())
            self.unchanged |= {inner.uri: None for inner in inside if inner.stamp != GONE}


def taken_over(
    known: Mapping[str, StoredDocument], listed: Iterable[Item], source: str, declared: Collection[str]
) -> dict[str, StoredDocument]:
    """What the source lists, and what was in it, of sources that are not `declared` any more: as its own, by URI."""
    there = {item.uri for item in listed}
    return {
        uri: replace(document, source=source)
        for uri, document in known.items()
        if document.source is not None and document.source not in declared
        if uri in there or not there.isdisjoint(_holders(uri))
    }


def _holders(uri: str) -> Iterator[str]:
    """The URIs of the files that one may be in; `!/` may also stand in the URL of a page."""
    end = uri.find(MEMBER)
    while end >= 0:
        yield uri[:end]
        end = uri.find(MEMBER, end + 1)


def content_hash(content: Content) -> bytes:
    """Of everything that a document is made of but its name."""
    about = [content.title, content.metadata, content.json_fields]
    if content.media_type not in {None, _PLAIN}:
        about.append(content.media_type)
    given = msgspec.json.encode(about, order="deterministic") if any(about) else b""
    return sha256(f"{PARSER}\n".encode() + given + content.data).digest()


def _stamped(stamp: str | None) -> str | None:
    return None if stamp is None else f"{PARSER} {stamp}"


def _unstamped(stored: str | None) -> str | None:
    parser, _, stamp = (stored or "").partition(" ")
    return stamp if parser == PARSER and stamp else None
