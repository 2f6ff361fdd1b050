/** Markdown inlines: emphasis, code, links and images inside a block's text. */

const LONGEST = 2_000; // characters of a link or an image; longer ones are text
const LINK = /^\[([^[\]]+)\]\(\s*<?(https?:\/\/[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+"[^"]*")?\s*\)/i;
const IMAGE = /^!\[([^[\]]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)/;
const AUTOLINK = /^<(https?:\/\/[^\s<>]+)>/i;
const ADDRESS = /^https?:\/\/[^\s<>"`*]+/;

/**
 * Parse a leaf `{text, at}` into nodes: `text` and `code` (with `leaf`), `strong` and `em` (with `nodes`), `break`,
 * `link` (with `leaf` and `url`, always http or https) and `image` (with `leaf`, its alternative text; its address is
 * dropped, so that nothing can load it). Every text is valid; markup that is not closed or not known stays text.
 */
export function parseInline(leaf) {
  const nodes = [];
  const unclosed = new Set(); // delimiters whose search already failed: a second search would fail as well
  let plain = 0;
  const flush = (end) => {
    if (end > plain) nodes.push({ kind: "text", leaf: spaced(part(leaf, plain, end)) });
  };
  for (let position = 0; position < leaf.text.length; ) {
    const found = READERS[leaf.text[position]]?.(leaf, position, unclosed);
    if (!found) {
      position += 1;
      continue;
    }
    flush(found.start ?? position);
    if (found.node) nodes.push(found.node);
    plain = found.plain ?? found.end;
    position = found.end;
  }
  flush(leaf.text.length);
  return nodes;
}

const READERS = {
  "\\": readEscape,
  "`": readCode,
  "*": readEmphasis,
  _: readEmphasis,
  "!": readImage,
  "[": readLink,
  "<": readAutolink,
  h: readAddress,
  "\n": readBreak,
};

function readEscape({ text }, position) {
  return /[!-/:-@[-`{-~]/.test(text[position + 1] ?? "") ? { end: position + 2, plain: position + 1 } : null;
}

function readCode(leaf, position, unclosed) {
  const ticks = /^`+/.exec(leaf.text.slice(position))[0];
  const from = position + ticks.length;
  if (unclosed.has(ticks)) return { end: from, plain: position };
  for (const closing of leaf.text.slice(from).matchAll(/`+/g)) {
    if (closing[0] !== ticks) continue;
    const end = from + closing.index;
    return { node: { kind: "code", leaf: trimmed(spaced(part(leaf, from, end))) }, end: end + ticks.length };
  }
  unclosed.add(ticks);
  return { end: from, plain: position };
}

function readEmphasis(leaf, position, unclosed) {
  const { text } = leaf;
  const mark = text[position + 1] === text[position] ? text[position].repeat(2) : text[position];
  const from = position + mark.length;
  // Inside a word an underscore is a letter: snake_case.
  const opens = /\S/.test(text[from] ?? " ") && !(mark[0] === "_" && isWord(text[position - 1]));
  if (!opens || unclosed.has(mark)) return { end: from, plain: position };
  for (let end = text.indexOf(mark, from + 1); end >= 0; end = text.indexOf(mark, end + mark.length)) {
    if (mark.length === 2 && text[end + 2] === mark[0]) end += 1; // ***both***: the inner mark closes first
    if (!closes(text, end, mark)) continue;
    const kind = mark.length === 2 ? "strong" : "em";
    return { node: { kind, nodes: parseInline(part(leaf, from, end)) }, end: end + mark.length };
  }
  unclosed.add(mark);
  return { end: from, plain: position };
}

function closes(text, end, mark) {
  const doubled = mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark);
  const inWord = mark[0] === "_" && isWord(text[end + mark.length]);
  return /\S/.test(text[end - 1]) && !doubled && !inWord;
}

function readLink(leaf, position) {
  const found = LINK.exec(leaf.text.slice(position, position + LONGEST));
  if (!found || !isWebAddress(found[2])) return null;
  const label = spaced(part(leaf, position + 1, position + 1 + found[1].length));
  return { node: { kind: "link", leaf: label, url: found[2] }, end: position + found[0].length };
}

function readImage(leaf, position) {
  const found = IMAGE.exec(leaf.text.slice(position, position + LONGEST));
  if (!found) return null;
  const alternative = spaced(part(leaf, position + 2, position + 2 + found[1].length));
  return { node: { kind: "image", leaf: alternative }, end: position + found[0].length };
}

function readAutolink(leaf, position) {
  const found = AUTOLINK.exec(leaf.text.slice(position, position + LONGEST));
  if (!found || !isWebAddress(found[1])) return null;
  const label = part(leaf, position + 1, position + 1 + found[1].length);
  return { node: { kind: "link", leaf: label, url: found[1] }, end: position + found[0].length };
}

function readAddress(leaf, position) {
  if (isWord(leaf.text[position - 1])) return null;
  const found = ADDRESS.exec(leaf.text.slice(position, position + LONGEST));
  const url = found?.[0].replace(/[.,;:!?'”’]+$/, "").replace(/^([^(]*)\)+$/, "$1");
  if (!url || !isWebAddress(url)) return null;
  return { node: { kind: "link", leaf: part(leaf, position, position + url.length), url }, end: position + url.length };
}

/** Two spaces (or a backslash) before a line's end break the line; any other line end is a space. */
function readBreak({ text }, position) {
  const spaces = /(?: {2,}|\\)$/.exec(text.slice(Math.max(0, position - 40), position));
  return spaces ? { node: { kind: "break" }, start: position - spaces[0].length, end: position + 1 } : null;
}

function isWebAddress(address) {
  return URL.canParse(address) && ["http:", "https:"].includes(new URL(address).protocol);
}

function isWord(character) {
  return character !== undefined && /[\p{L}\p{N}]/u.test(character);
}

function part({ text, at }, start, end) {
  return { text: text.slice(start, end), at: at.slice(start, end) };
}

function spaced({ text, at }) {
  return { text: text.replaceAll("\n", " "), at };
}

/** Code may be padded with one space on both sides, so that it can begin or end with a backtick. */
function trimmed(leaf) {
  const padded = /^ .*\S.* $/.test(leaf.text);
  return padded ? part(leaf, 1, leaf.text.length - 1) : leaf;
}
