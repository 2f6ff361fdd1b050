/** Footnotes: the list under an answer, each entry a button that opens the words it rests on. */

import { h } from "../dom.js";
import { notePlace } from "../transcript.js";

const QUOTE_CHARS = 150;

/** The footnotes as an ordered list; a button carries its number as `data-note`. */
export function noteList(notes) {
  const entries = notes.map((note) => h("li", {}, noteButton(note)));
  return h("section", { "aria-label": "Footnotes" }, h("ol", { class: "footnotes" }, entries));
}

/** The passages nearest to a question that was not answered; a button carries the passage's id as `data-passage`. */
export function passageList(passages) {
  const entries = passages.map((passage) => {
    const attributes = { type: "button", class: "note", "data-passage": passage.id, "aria-haspopup": "dialog" };
    return h("li", {}, h("button", attributes, body(passage, passage.text)));
  });
  const heading = h("h3", { class: "nearest" }, "Nearest passages");
  return h("section", { "aria-label": "Nearest passages" }, heading, h("ul", { class: "footnotes" }, entries));
}

function noteButton(note) {
  const attributes = {
    type: "button",
    class: `note ${note.verdict}`,
    "data-note": String(note.index),
    "aria-haspopup": "dialog",
    title: note.verdict === "partial" ? "Supports the sentence in part" : null,
  };
  return h("button", attributes, h("span", { class: "number" }, String(note.index)), body(note.passage, note.quote));
}

function body(passage, quote) {
  const place = passage ? notePlace(passage) : "";
  return h(
    "span",
    { class: "source" },
    h("span", { class: "title", dir: "auto" }, passage?.title ?? "A document"),
    place ? h("span", { class: "place", dir: "auto" }, place) : null,
    h("q", { class: "quote", dir: "auto" }, shortened(quote)),
  );
}

function shortened(text) {
  const words = text.replace(/\s+/g, " ").trim();
  if (words.length <= QUOTE_CHARS) return words;
  return `${words.slice(0, QUOTE_CHARS).replace(/\S*$/, "").trimEnd() || words.slice(0, QUOTE_CHARS)}…`;
}
