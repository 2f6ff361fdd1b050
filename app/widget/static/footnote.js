/** Footnote: the custom element `<footnote-chat>`; loading this module is all that a page needs. */

import { Api } from "./api.js";
import { Chat } from "./chat.js";
import { h } from "./dom.js";
import { Remembered } from "./remembered.js";
import { Widget } from "./widget.js";

const STYLES = ["tokens", "frame", "answer", "dialogs"];
const taken = new Map(); // by server and collection, the places of the widgets that are in the page

/**
 * Attributes, read when the element enters the page:
 * `endpoint` (address of the Footnote server; default: where this module came from), `collection` (ask only this one),
 * `api-key` (default: the reader is asked for one when the server wants it), `label` (the name shown above),
 * `questions` (examples, separated by `|`), `autofocus`.
 */
class FootnoteChat extends HTMLElement {
  #life = null; // AbortController, from entering the page to leaving it

  connectedCallback() {
    this.#life = new AbortController();
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    const endpoint = (this.getAttribute("endpoint") ?? new URL("..", import.meta.url).href).replace(/\/+$/, "");
    const collection = this.getAttribute("collection");
    const scope = `${endpoint} ${collection ?? ""} `;
    const place = takePlace(scope, this.#life.signal);
    const remembered = new Remembered("sessionStorage", place > 1 ? `${scope}${place} ` : scope);
    // A key is entered where the page's own was refused, and is kept for all of them until the tab is closed.
    const keys = new Remembered("sessionStorage", scope);
    const api = new Api(endpoint, keys.get("key") ?? this.getAttribute("api-key"));
    const chat = new Chat(api, { remembered, keys }, collection);
    const options = {
      label: this.getAttribute("label") ?? "Footnote",
      questions: split(this.getAttribute("questions")),
      collection,
      loadDocument: (id, version) => api.document(id, version, this.#life.signal),
      remembered,
    };
    const widget = new Widget(root, chat, options, this.#life.signal);
    this.#life.signal.addEventListener("abort", () => chat.close());
    chat.start();
    widget.hidden = true;
    styled(root).then(() => {
      widget.hidden = false;
      if (this.hasAttribute("autofocus")) widget.focus();
    });
  }

  disconnectedCallback() {
    this.#life.abort();
    this.shadowRoot.replaceChildren();
  }
}

/** The first free place, from 1, among the page's widgets of one scope, taken until `signal` fires. */
function takePlace(scope, signal) {
  const places = taken.get(scope) ?? new Set();
  taken.set(scope, places);
  let place = 1;
  while (places.has(place)) place += 1;
  places.add(place);
  signal.addEventListener("abort", () => places.delete(place));
  return place;
}

/** Resolves when the styles are there: links, not inline styles, which a strict content security policy keeps out. */
async function styled(root) {
  const sheets = STYLES.map(sheet);
  root.prepend(...sheets.map(({ link }) => link));
  await Promise.all(sheets.map(({ settled }) => settled));
}

function sheet(name) {
  const { href } = new URL(`styles/${name}.css`, import.meta.url);
  const link = h("link", { rel: "stylesheet", href });
  const settled = new Promise((resolve) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", resolve); // unstyled is better than not there
  });
  return { link, settled };
}

function split(list) {
  return (list ?? "").split("|").map((entry) => entry.trim()).filter(Boolean);
}

// A page may load this module under two addresses; a name is given once.
if (!customElements.get("footnote-chat")) customElements.define("footnote-chat", FootnoteChat);
