/** Markdown blocks: paragraphs, headings, lists, quotes, tables and code, each leaf knowing where it stands. */

import { parseInline } from "./markdown-inline.js";

const MAX_DEPTH = 8; // of quotes and lists in one another; deeper marks are plain text
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^ {0,3}(?:[-*+]|(\d{1,9})[.)])(?: +|$)/;
const TABLE_ROW = /^ {0,3}\|/;
const TABLE_RULE = /^ {0,3}\|(?: *:?-+:? *(?:\||$))+\s*$/; // below a table's heads
const MAX_COLUMNS = 40;

/**
 * Parse a text into blocks: `{kind, end}` with `inlines` (paragraph, heading with `level`), `leaf` (code), `blocks`
 * (quote) or `items` (list with `ordered` and `first`: lists of blocks; table: rows, the heads first, each a list of
 * `{inlines, end}`). A leaf is `{text, at}`: `at[i]` is the UTF-16 offset of `text[i]` in the source. Every text is
 * valid; markup that is not known stays text.
 */
export function parseMarkdown(source) {
  const lines = [];
  let from = 0;
  for (const text of source.split("\n")) {
    lines.push({ text: text.replace(/\r$/, ""), from });
    from += text.length + 1;
  }
  return parseBlocks(lines, 0);
}

function parseBlocks(lines, depth) {
  const blocks = [];
  let position = 0;
  while (position < lines.length) {
    if (isBlank(lines[position])) {
      position += 1;
      continue;
    }
    const { text } = lines[position];
    const reader = READERS.find(({ opens, nests }) => opens.test(text) && !(nests && depth >= MAX_DEPTH));
    const taken = (reader?.read ?? readParagraph)(lines, position, depth);
    blocks.push({ ...taken.block, end: endOf(lines[taken.next - 1]) });
    position = taken.next;
  }
  return blocks;
}

const READERS = [
  { opens: FENCE, read: readFence },
  { opens: HEADING, read: readHeading },
  { opens: RULE, read: (_, position) => ({ block: { kind: "rule" }, next: position + 1 }) },
  { opens: QUOTE, read: readQuote, nests: true },
  { opens: ITEM, read: readList, nests: true },
  { opens: TABLE_ROW, read: readTable },
];

/** Code up to its closing fence, or to the end while the answer is still being written. */
function readFence(lines, position) {
  const [, fence] = FENCE.exec(lines[position].text);
  const closing = new RegExp(`^ {0,3}\\${fence[0]}{${fence.length},}\\s*$`);
  let next = position + 1;
  while (next < lines.length && !closing.test(lines[next].text)) next += 1;
  const leaf = joined(lines.slice(position + 1, next));
  return { block: { kind: "code", leaf }, next: Math.min(next + 1, lines.length) };
}

function readHeading(lines, position) {
  const [, marks, title] = HEADING.exec(lines[position].text);
  const start = title === "" ? lines[position].text.length : lines[position].text.indexOf(title, marks.length);
  const line = { text: title, from: lines[position].from + start };
  return { block: { kind: "heading", level: marks.length, inlines: parseInline(joined([line])) }, next: position + 1 };
}

function readQuote(lines, position, depth) {
  let next = position;
  while (next < lines.length && QUOTE.test(lines[next].text)) next += 1;
  const inner = lines.slice(position, next).map((line) => cut(line, QUOTE.exec(line.text)[0].length));
  return { block: { kind: "quote", blocks: parseBlocks(inner, depth + 1) }, next };
}

function readList(lines, position, depth) {
  const kind = itemKind(lines[position]);
  const items = [];
  let next = position;
  while (next < lines.length && itemKind(lines[next]) === kind && !RULE.test(lines[next].text)) {
    const end = endOfItem(lines, next);
    const width = ITEM.exec(lines[next].text)[0].length;
    const [first, ...rest] = lines.slice(next, end);
    const inner = [cut(first, width), ...rest.map((line) => cut(line, Math.min(indent(line), width)))];
    items.push(parseBlocks(inner, depth + 1));
    next = end;
  }
  while (isBlank(lines[next - 1])) next -= 1;
  const first = Number(ITEM.exec(lines[position].text)[1] ?? 1);
  return { block: { kind: "list", ordered: kind === "ordered", first, items }, next };
}

/** The position after an item: its own lines, indented ones below, and a paragraph's lines that go on unindented. */
function endOfItem(lines, position) {
  const inner = indent(lines[position]) + 2;
  let next = position + 1;
  for (let afterBlank = false; next < lines.length; next += 1) {
    const line = lines[next];
    const inside = isBlank(line) || indent(line) >= inner || (!afterBlank && !opensBlock(line));
    if (!inside) break;
    afterBlank = isBlank(line);
  }
  return next;
}

function itemKind(line) {
  const found = ITEM.exec(line.text);
  if (!found) return null;
  return found[1] === undefined ? "bulleted" : "ordered";
}

/** Rows without heads, or with very many columns, are shown as they were written, in fixed width. */
function readTable(lines, position) {
  let next = position;
  while (next < lines.length && TABLE_ROW.test(lines[next].text)) next += 1;
  const [heads, rule, ...rows] = lines.slice(position, next);
  const columns = cells(heads, MAX_COLUMNS + 1).length;
  if (!rule || !TABLE_RULE.test(rule.text) || columns > MAX_COLUMNS) {
    return { block: { kind: "code", leaf: joined(lines.slice(position, next)) }, next };
  }
  const head = cells(heads, columns);
  head.at(-1).end = endOf(rule); // a sentence that ends with the rule ends with the heads
  return { block: { kind: "table", items: [head, ...rows.map((row) => cells(row, columns))] }, next };
}

/** A row's cells, at most so many: the last one has what is left. */
function cells({ text, from }, most) {
  const start = text.indexOf("|");
  const closed = /[^\\]\|\s*$/.test(text);
  const end = closed ? text.lastIndexOf("|") : text.length;
  const pipes = [...text.slice(start + 1, end).matchAll(/\\.|\|/g)].filter(([found]) => found === "|");
  const bounds = [start, ...pipes.slice(0, most - 1).map(({ index }) => start + 1 + index), end];
  const found = bounds.slice(1).map((bound, column) => {
    const cell = text.slice(bounds[column] + 1, bound);
    const line = cut({ text: text.slice(0, bound), from }, bounds[column] + 1 + cell.length - cell.trimStart().length);
    return { inlines: parseInline(joined([{ ...line, text: line.text.trimEnd() }])), end: from + bound };
  });
  found.at(-1).end = from + text.length; // a sentence that ends with the row's last pipe ends with its last cell
  return found;
}

function readParagraph(lines, position) {
  let next = position + 1;
  while (next < lines.length && !isBlank(lines[next]) && !opensBlock(lines[next])) next += 1;
  const inner = lines.slice(position, next).map((line) => cut(line, indent(line)));
  return { block: { kind: "paragraph", inlines: parseInline(joined(inner)) }, next };
}

function opensBlock(line) {
  return READERS.some(({ opens }) => opens.test(line.text));
}

function isBlank(line) {
  return line.text.trim() === "";
}

function indent(line) {
  return line.text.length - line.text.trimStart().length;
}

function cut(line, width) {
  return { text: line.text.slice(width), from: line.from + width };
}

function endOf(line) {
  return line.from + line.text.length;
}

/** Lines as one leaf, joined by line feeds. */
function joined(lines) {
  const at = [];
  lines.forEach(({ text, from }, row) => {
    if (row > 0) at.push(endOf(lines[row - 1]));
    for (let position = 0; position < text.length; position += 1) at.push(from + position);
  });
  return { text: lines.map((line) => line.text).join("\n"), at };
}
