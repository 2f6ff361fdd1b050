/** Code points: a text addressed as the server counts it, while JavaScript counts UTF-16 units. */

export class CodePoints {
  #units = null; // UTF-16 offset of each code point; null while both counts agree

  constructor(text) {
    this.text = text;
    // Only surrogate pairs make the two counts differ, and most texts have none.
    if (/[\u{10000}-\u{10FFFF}]/u.test(text)) this.#units = unitOffsets(text);
  }

  /** How many code points the text has. */
  get length() {
    return this.#units ? this.#units.length - 1 : this.text.length;
  }

  /** The UTF-16 offset of a code point offset; offsets outside the text are moved to its nearest end. */
  unitOffset(codePoint) {
    const inside = Math.min(Math.max(codePoint, 0), this.length);
    return this.#units ? this.#units[inside] : inside;
  }

  /** The text between two code point offsets. */
  slice(start, end = this.length) {
    return this.text.slice(this.unitOffset(start), this.unitOffset(end));
  }
}

function unitOffsets(text) {
  const offsets = [];
  let unit = 0;
  for (const character of text) {
    offsets.push(unit);
    unit += character.length;
  }
  offsets.push(unit);
  return offsets;
}
