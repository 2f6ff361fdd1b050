/** Passage dialog: a document at the words that a footnote rests on. */

import { CodePoints } from "../code-points.js";
import { h } from "../dom.js";
import { reflowed } from "../reflow.js";
import { notePlace } from "../transcript.js";
import { icon } from "./icon.js";

const CONTEXT_CHARS = 2_000; // shown on each side before the whole document is asked for

const MISSING = "The document is no longer there; this is the passage as it was found.";

export class PassageDialog {
  #loadDocument;
  #places = [];
  #position = 0;
  #whole = false;
  #documents = new Map(); // by version: {points, shown} or {missing}

  /** `loadDocument(documentId, versionId)` fetches a document version with its `text`. */
  constructor(loadDocument) {
    this.#loadDocument = loadDocument;
    this.label = h("p", { class: "label" });
    this.title = h("h2", { id: "passage-title", dir: "auto", tabindex: "-1" });
    this.place = h("p", { class: "place", dir: "auto" });
    this.origin = h("p", { class: "origin" });
    this.body = h("div", { class: "document", tabindex: "0", role: "region", "aria-label": "Document text" });
    this.previous = h("button", { type: "button", click: () => this.#step(-1) }, icon("previous"), "Previous");
    this.next = h("button", { type: "button", click: () => this.#step(1) }, "Next", icon("next"));
    this.counter = h("span", { class: "counter", "aria-live": "polite" });
    const closing = { type: "button", class: "quiet", "aria-label": "Close", click: () => this.close() };
    const close = h("button", closing, icon("close"));
    const heading = h("div", { class: "heading" }, this.label, this.title, this.place, this.origin);
    this.footer = h("footer", {}, this.previous, this.counter, this.next);
    this.element = h(
      "dialog",
      { class: "panel", "aria-labelledby": "passage-title", click: (event) => this.#clicked(event) },
      h("div", { class: "panel-body" }, h("header", {}, heading, close), this.body, this.footer),
    );
  }

  /**
   * Show one of `places` (`{label, passage, start, end, quote}`, offsets in code points of the passage's document
   * version) and offer the others. The browser gives the focus back to the footnote when the dialog closes.
   */
  open(places, position) {
    this.#places = places;
    if (!this.element.open) this.element.showModal();
    this.#show(position);
  }

  close() {
    this.element.close();
  }

  #step(by) {
    this.#show(this.#position + by);
  }

  async #show(position) {
    this.#position = position;
    this.#whole = false;
    const place = this.#places[position];
    this.#drawHeading(place);
    this.#drawText(place);
    this.title.focus();
    const { passage } = place;
    if (this.#documents.has(passage.version_id)) return;
    await this.#load(passage);
    if (this.#places[this.#position] === place && this.element.open) this.#drawText(place);
  }

  async #load(passage) {
    try {
      const { text, media_type: mediaType } = await this.#loadDocument(passage.document_id, passage.version_id);
      const shown = new CodePoints(reflowed(text, mediaType));
      this.#documents.set(passage.version_id, { points: new CodePoints(text), shown });
    } catch (error) {
      // Not remembered when it may come back: the next opening tries again.
      if (error.status === 404) this.#documents.set(passage.version_id, { missing: true });
    }
  }

  #drawHeading({ label, passage }) {
    this.label.textContent = label;
    this.title.textContent = passage.title;
    this.place.textContent = notePlace(passage);
    this.place.hidden = this.place.textContent === "";
    this.origin.replaceChildren(origin(passage.uri));
    const count = this.#places.length;
    this.footer.hidden = count < 2;
    this.counter.textContent = `${this.#position + 1} of ${count}`;
    this.previous.disabled = this.#position === 0;
    this.next.disabled = this.#position === count - 1;
  }

  #drawText(place) {
    const { passage, start, end, quote } = place;
    const known = this.#documents.get(passage.version_id);
    if (known?.points?.slice(start, end) === quote) this.#drawDocument(known.shown, place);
    else {
      const inside = new CodePoints(passage.text);
      const from = passage.char_start;
      const text = h("p", { class: "passage", dir: "auto" }, highlighted(inside, start - from, end - from));
      this.body.replaceChildren(known?.missing ? h("p", { class: "remark" }, MISSING) : "", text);
    }
    this.body.querySelector("mark")?.scrollIntoView({ block: "center" });
  }

  /** The document around the passage: far text is muted, the passage plain, the quoted words marked. */
  #drawDocument(points, { passage, start, end }) {
    const from = this.#whole ? 0 : wordStart(points, passage.char_start - CONTEXT_CHARS);
    const to = this.#whole ? points.length : Math.min(points.length, passage.char_end + CONTEXT_CHARS);
    const text = h(
      "p",
      { dir: "auto" },
      h("span", { class: "context" }, (from > 0 ? "… " : "") + points.slice(from, passage.char_start)),
      h("span", { class: "passage" }, points.slice(passage.char_start, start), mark(points.slice(start, end))),
      h("span", { class: "passage" }, points.slice(end, passage.char_end)),
      h("span", { class: "context" }, points.slice(passage.char_end, to) + (to < points.length ? " …" : "")),
    );
    const more = from > 0 || to < points.length;
    const button = h("button", { type: "button", click: () => this.#showWhole() }, "Show the whole document");
    this.body.replaceChildren(text, more ? h("p", { class: "more" }, button) : "");
  }

  #showWhole() {
    this.#whole = true;
    this.#drawText(this.#places[this.#position]);
    this.body.focus();
  }

  #clicked(event) {
    if (event.target === this.element) this.close(); // beside the panel
  }
}

function highlighted(points, start, end) {
  if (end <= start || start < 0) return [points.text];
  return [points.slice(0, start), mark(points.slice(start, end)), points.slice(end)];
}

function mark(words) {
  return words ? h("mark", {}, words) : "";
}

/** The first offset at or after `offset` that follows white space, or 0. */
function wordStart(points, offset) {
  if (offset <= 0) return 0;
  const gap = points.slice(offset, offset + 80).search(/\s/);
  return offset + Math.max(gap, 0);
}

/** A link to the source if it is on the web, else its name; never another kind of address. */
function origin(uri) {
  if (!URL.canParse(uri) || !["http:", "https:"].includes(new URL(uri).protocol)) return h("span", {}, uri);
  return h("a", { href: uri, target: "_blank", rel: "noopener noreferrer" }, uri, icon("outside"));
}
