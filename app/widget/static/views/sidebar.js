/** Sidebar: past conversations, set like a table of contents. */

import { h, morph } from "../dom.js";
import { icon } from "./icon.js";

const DAY_MS = 86_400_000;

export class Sidebar {
  #actions;

  /** `actions` are `fresh()`, `open(id)`, `remove(conversation)` and `showOlder()`. */
  constructor(actions) {
    this.#actions = actions;
    const fresh = { type: "button", class: "fresh", click: () => actions.fresh() };
    this.fresh = h("button", fresh, icon("plus"), "New conversation");
    this.list = h("ul", { class: "conversations", click: (event) => this.#clicked(event) });
    this.empty = h("p", { class: "none" }, "Conversations will be listed here.");
    const attributes = { class: "sidebar", id: "sidebar", "aria-label": "Conversations" };
    this.element = h("nav", attributes, this.fresh, this.empty, this.list);
  }

  /** Show the conversations, with the open one marked; `older` offers those before them. */
  update(conversations, current, older) {
    this.conversations = conversations;
    this.empty.hidden = conversations.length > 0;
    const entries = conversations.map((conversation) => entry(conversation, conversation.id === current));
    // The button becomes the first of those that it brings, and so the focus is where the reader goes on.
    morph(this.list, h("ul", {}, entries, older && olderEntry()));
  }

  #clicked(event) {
    const { open, remove, older } = event.target.closest("button")?.dataset ?? {};
    if (open) this.#actions.open(open);
    if (remove) this.#actions.remove(this.conversations.find(({ id }) => id === remove));
    if (older) this.#actions.showOlder();
  }
}

function entry({ id, title, updated_at: updatedAt }, current) {
  const name = title || "Untitled";
  const remove = { type: "button", class: "quiet remove", "data-remove": id, "aria-label": `Delete “${name}”` };
  return h(
    "li",
    { class: current ? "current" : null },
    h(
      "button",
      { type: "button", class: "entry", "data-open": id, "aria-current": current ? "page" : null },
      h("span", { class: "title", dir: "auto" }, name),
      h("time", { datetime: updatedAt }, day(new Date(updatedAt))),
    ),
    h("button", remove, icon("trash")),
  );
}

function olderEntry() {
  const attributes = { type: "button", class: "entry older", "data-older": "true" };
  return h("li", {}, h("button", attributes, "Show older conversations"));
}

/** A day as a reader says it. */
function day(date) {
  const days = Math.floor((startOfDay(new Date()) - startOfDay(date)) / DAY_MS + 0.5);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  const far = date.getFullYear() !== new Date().getFullYear();
  return date.toLocaleDateString("en", { day: "numeric", month: "short", year: far ? "numeric" : undefined });
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
