"""Markdown: the source text as it is, its headings, and its front matter as metadata."""

import re
from itertools import accumulate, pairwise

from markdown_it import MarkdownIt

from app.domain.document import Heading, ParsedDocument
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

MEDIA_TYPE = "text/markdown"
LONGEST_UNDERLINED = 120  # characters

_FRONT_MATTER = re.compile(r"\A(?P<mark>---|\+\+\+)[ \t]*\n(?P<fields>.*?\n)??(?P=mark)[ \t]*(?:\n|\Z)", re.DOTALL)
_FIELD_LINE = re.compile(r"\s.*|[#\-\]}].*|[\w\"'.][\w\"'. -]*[:=].*|\[.*\]|")
_FIELD = re.compile(r"^([\"']?)([^\W\d](?:[\w. -]*\w)?)\1[ \t]*[:=][ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'"
_ITEM = re.compile(rf"\s*({_QUOTED}|[^,\"']+[^,]*)")
_COMMENT = re.compile(rf"({_QUOTED}|\[(?:{_QUOTED}|[^\"'\]])*\]|(?![\"'\[]).*?)(?<=[^ \t])[ \t]+#.*")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")


class MarkdownReader(StructureReader):
    """Reads CommonMark with tables and front matter."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Text without its front matter; headings (ATX and setext) as CommonMark sees them."""
        metadata, text = split_front_matter(clean(decode(data)))
        headings = find_headings(text)
        return ParsedDocument(
            text=text,
            title=str(metadata.get("title") or choose_title(text, headings, "", name)),
            media_type=MEDIA_TYPE,
            headings=headings,
            metadata=metadata,
        )


def split_front_matter(text: str) -> tuple[dict[str, object], str]:
    """The one-line fields of a YAML or TOML block at the start, and the text after it.

    Numbers, `true`, `false` and lists in brackets are read as such, everything else and what is quoted as strings.
    Nested fields and lists of several lines are left out.
    """
    block = _FRONT_MATTER.match(text)
    lines = (block["fields"] or "").split("\n") if block else []
    if block is None or not any(lines) or not all(map(_FIELD_LINE.fullmatch, lines)):
        return {}, text  # prose between two thematic breaks, for one
    fields = {key: _typed(_without_comment(value)) for _, key, value in _FIELD.findall(block["fields"])}
    return fields, text[block.end() :]


def _without_comment(value: str) -> str:
    commented = _COMMENT.fullmatch(value)
    return commented[1] if commented else value


def _typed(value: str) -> object:
    if value.startswith("[") and value.endswith("]"):
        return [_typed(part.strip()) for part in _ITEM.findall(value[1:-1]) if part.strip()]
    if value in {"true", "false"}:
        return value == "true"
    if _NUMBER.fullmatch(value):
        number = float(value) if "." in value else int(value)
        return number if str(number) == value else value  # 1.10 and 007 are names of something
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\([\"\\])", r"\1", value[1:-1])
    return value[1:-1].replace("''", "'") if len(value) > 1 and value[0] == value[-1] == "'" else value


def find_headings(text: str) -> tuple[Heading, ...]:
    """Top-level headings of a Markdown text, in reading order; none inside code, quotes or lists.

    A long paragraph above a line of hyphens is none either, whatever CommonMark says.
    """
    blocks = MarkdownIt("commonmark").enable("table")
    inline = MarkdownIt("commonmark")
    blocks.core.ruler.disable("inline")  # only block structure is needed of the whole text
    line_starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    tokens = blocks.parse(text)
    headings = []
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            title = _plain(inline, content.content)
            underlined = opening.markup in {"=", "-"}
            if title and not (underlined and len(title) > LONGEST_UNDERLINED):
                headings.append(Heading(int(opening.tag[1:]), title, line_starts[opening.map[0]]))
    return tuple(headings)


def _plain(inline: MarkdownIt, source: str) -> str:
    """The words of a heading, without emphasis, link targets, raw HTML and the `{#id}` that many dialects allow."""
    (root,) = inline.parseInline(source)
    words = "".join(
        " " if token.type in {"softbreak", "hardbreak"} else token.content
        for token in root.children or []
        if token.type in {"text", "code_inline", "softbreak", "hardbreak", "image"}
    )
    return re.sub(r"\s*\{#[\w-]+\}\s*$", "", words).strip()
