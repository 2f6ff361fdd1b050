/** Reflow: the hard-wrapped lines of a source text joined for reading, every character in its place. */

const WRAPPED_TYPES = new Set(["text/markdown", "text/x-rst", "text/plain"]);
const WRAPPED_CHARS = 50; // a shorter line was ended on purpose
const FENCE = /^ {0,3}(?:`{3,}|~{3,})/;
const PROSE = /^[\p{L}\p{N}\p{Ps}\p{Pi}"'`*_]/u;
const ITEM = /^(?:[-*+]|\d{1,9}[.)])\s/;
const NOT_PROSE = /^(?:#|\||>|\.\.|\s)/;

/**
 * Replace the line ends inside paragraphs by spaces. The result has the length of `text`, so that offsets stay true;
 * headings, lists, tables, code and texts of other media types stay as they are.
 */
export function reflowed(text, mediaType) {
  if (!WRAPPED_TYPES.has(mediaType)) return text;
  const lines = text.split("\n");
  let fenced = false;
  let result = lines[0];
  for (let row = 1; row < lines.length; row += 1) {
    if (FENCE.test(lines[row - 1])) fenced = !fenced;
    result += (!fenced && goesOn(lines[row - 1], lines[row]) ? " " : "\n") + lines[row];
  }
  return result;
}

function goesOn(line, next) {
  const wrapped = line.length >= WRAPPED_CHARS && !NOT_PROSE.test(line);
  return wrapped && PROSE.test(next) && !ITEM.test(next) && !FENCE.test(next);
}
