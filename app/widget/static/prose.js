/** Prose: an answer's text as elements, its sentences marked and its footnote numbers in their places. */

import { h } from "./dom.js";
import { parseMarkdown } from "./markdown-blocks.js";

export const NOT_FOUND = "not found in the documents";

/**
 * Render Markdown with `marks` (see `sentenceMarks`) as a fragment. `nameOf(index, verdict)` is the accessible name of
 * a footnote's button; `writing` puts a caret behind the last word. A button carries its number as `data-note`, a
 * link's button its address as `data-url`: one listener on the container serves them all.
 */
export function renderProse(text, marks, { nameOf, writing = false }) {
  const fragment = document.createDocumentFragment();
  new Writer(marks, nameOf).write(fragment, parseMarkdown(text), writing);
  return fragment;
}

class Writer {
  #marks;
  #nameOf;
  #placed = 0; // how many marks already have their marker
  #lastLine = null; // the innermost element that text was last written to

  constructor(marks, nameOf) {
    this.#marks = marks;
    this.#nameOf = nameOf;
  }

  write(parent, blocks, writing) {
    this.#blocks(parent, blocks);
    if (this.#placed < this.#marks.length) this.#placeUpTo(this.#lastLine ?? line(parent), Infinity);
    if (writing) (this.#lastLine ?? line(parent)).append(h("span", { class: "caret", "aria-hidden": "true" }));
  }

  #blocks(parent, blocks) {
    for (const block of blocks) BLOCKS[block.kind](parent, block, this);
  }

  /** A block's inlines, then the markers of sentences that ended in its closing markup. */
  line(element, block) {
    this.#inlines(element, block.inlines);
    this.#lastLine = element;
    this.#placeUpTo(element, block.end);
  }

  nested(element, blocks) {
    this.#blocks(element, blocks);
  }

  /** Code is shown as it is; the markers of its sentences stand below it. */
  code(parent, block) {
    parent.append(h("pre", { tabindex: "0" }, h("code", {}, block.leaf.text)));
    if (this.#marks[this.#placed]?.end <= block.end) this.#placeUpTo(line(parent), block.end);
  }

  #inlines(parent, nodes) {
    for (const node of nodes) {
      if (node.kind === "text") this.#text(parent, node.leaf);
      else if (node.kind === "break") parent.append(h("br"));
      else if (node.nodes) this.#inlines(parent.appendChild(h(node.kind)), node.nodes);
      else this.#whole(parent, node);
    }
  }

  /** Text, cut where sentences begin and end. */
  #text(parent, { text, at }) {
    for (let from = 0; from < text.length; ) {
      this.#placeUpTo(parent, at[from]); // sentences that ended in markup just before
      const mark = this.#markAt(at[from]);
      const stop = mark ? mark.end : this.#nextStart(at[from]);
      let to = from + 1;
      while (to < text.length && at[to] < stop) to += 1;
      parent.append(sentence(mark, text.slice(from, to)));
      this.#placeUpTo(parent, at[to - 1] + 1);
      from = to;
    }
  }

  /** Code, links and images are not cut; a marker that falls inside one stands behind it. */
  #whole(parent, node) {
    const { leaf } = node;
    if (leaf.at.length) this.#placeUpTo(parent, leaf.at[0]);
    parent.append(sentence(this.#markAt(leaf.at[0]), ATOMS[node.kind](node)));
    if (leaf.at.length) this.#placeUpTo(parent, leaf.at.at(-1) + 1);
  }

  #markAt(offset) {
    return this.#marks.find((mark) => mark.start <= offset && offset < mark.end) ?? null;
  }

  #nextStart(offset) {
    return Math.min(...this.#marks.map((mark) => mark.start).filter((start) => start > offset));
  }

  #placeUpTo(parent, end) {
    for (; this.#marks[this.#placed]?.end <= end; this.#placed += 1) {
      parent.append(marker(this.#marks[this.#placed], this.#nameOf));
    }
  }
}

const RTL = /^[^\p{L}]*[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** Set the direction of what holds paragraphs, for its marks: `auto` would look past them, as each has its own. */
function direct(element) {
  element.setAttribute("dir", RTL.test(element.textContent) ? "rtl" : "ltr");
}

const BLOCKS = {
  paragraph: (parent, block, writer) => writer.line(line(parent), block),
  heading: (parent, block, writer) => {
    // The question is an h2, so the answer's own headings start below it.
    writer.line(parent.appendChild(h(`h${Math.min(block.level + 2, 6)}`, { dir: "auto" })), block);
  },
  code: (parent, block, writer) => writer.code(parent, block),
  quote: (parent, block, writer) => {
    const quote = parent.appendChild(h("blockquote"));
    writer.nested(quote, block.blocks);
    direct(quote);
  },
  list: (parent, block, writer) => {
    const attributes = block.ordered && block.first !== 1 ? { start: String(block.first) } : {};
    const list = parent.appendChild(h(block.ordered ? "ol" : "ul", attributes));
    for (const item of block.items) writer.nested(list.appendChild(h("li")), item);
    direct(list);
  },
  table: (parent, block, writer) => {
    const table = h("table");
    parent.append(h("div", { class: "table", tabindex: "0" }, table)); // scrolled where it is too wide
    block.items.forEach((cells, row) => {
      const line = table.appendChild(h("tr"));
      const [tag, attributes] = row === 0 ? ["th", { dir: "auto", scope: "col" }] : ["td", { dir: "auto" }];
      for (const cell of cells) writer.line(line.appendChild(h(tag, attributes)), cell);
    });
    direct(table);
  },
  rule: (parent) => parent.append(h("hr")),
};

const ATOMS = {
  code: ({ leaf }) => h("code", {}, leaf.text),
  // A button, not a link: the address is the model's word, and is shown before anything opens.
  link: ({ leaf, url }) => h("button", { type: "button", class: "address", "data-url": url }, leaf.text),
  image: ({ leaf }) => h("span", { class: "image" }, leaf.text ? `[image: ${leaf.text}]` : "[image]"),
};

function line(parent) {
  return parent.appendChild(h("p", { dir: "auto" }));
}

function sentence(mark, content) {
  if (!mark) return content;
  const title = mark.verdict === "unsupported" ? `${NOT_FOUND[0].toUpperCase()}${NOT_FOUND.slice(1)}` : null;
  return h("span", { class: `sentence ${mark.verdict}`, title }, content);
}

function marker(mark, nameOf) {
  if (mark.index < 1) return h("span", { class: "visually-hidden" }, ` (${NOT_FOUND}) `);
  const attributes = {
    type: "button",
    class: mark.verdict,
    "data-note": String(mark.index),
    "aria-haspopup": "dialog",
    "aria-label": nameOf(mark.index, mark.verdict),
  };
  return h("sup", { class: "marker" }, h("button", attributes, String(mark.index)));
}
