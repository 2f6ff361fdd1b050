/** Composer: where a question is written, sent and its answer stopped. */

import { h, isComposing } from "../dom.js";
import { CodePoints } from "../code-points.js";
import { icon } from "./icon.js";

const MAX_CHARS = 8_000;
const TELL_FROM = 7_000;

export class Composer {
  #actions;
  #busy = false;

  /** `actions` are `ask(question)` (whether it is taken), `stop()`, `choose(collection or null)` and `typed(text)`. */
  constructor(actions) {
    this.#actions = actions;
    this.text = h("textarea", {
      rows: "1",
      placeholder: "Ask the documents…",
      "aria-label": "Your question",
      "aria-describedby": "composer-help",
      dir: "auto",
      enterkeyhint: "send",
      input: () => this.#typed(),
      keydown: (event) => this.#key(event),
    });
    this.send = h("button", { type: "submit", class: "send", "aria-label": "Ask" }, icon("send"));
    const stop = { type: "button", class: "send stop", "aria-label": "Stop the answer", click: () => actions.stop() };
    this.stop = h("button", stop, icon("stop"));
    this.counter = h("span", { class: "counter", role: "status" });
    const choose = () => actions.choose(this.scope.value || null);
    this.scope = h("select", { "aria-label": "Documents to ask", change: choose });
    const keys = h("span", { class: "keys", id: "composer-help" }, "Enter asks, Shift+Enter starts a new line");
    const submit = (event) => {
      event.preventDefault();
      this.#ask();
    };
    this.field = h("div", { class: "field" }, this.text);
    const sheet = h("div", { class: "sheet" }, this.field, this.send, this.stop);
    const line = h("div", { class: "line" }, this.scope, keys, this.counter);
    this.element = h("form", { class: "composer", "aria-label": "Ask a question", submit }, sheet, line);
    this.update({ busy: false, stopping: false, collections: [], collection: null });
  }

  /** Put a question into the field, to be sent or edited. */
  write(question) {
    this.text.value = question;
    this.#typed();
  }

  focus() {
    this.text.focus();
  }

  /** Show whether an answer is running, and the collections to choose from (none: no choice is offered). */
  update({ busy, stopping, collections, collection }) {
    const stopHadFocus = this.stop.matches(":focus");
    this.#busy = busy;
    this.send.hidden = busy;
    this.stop.hidden = !busy;
    this.stop.disabled = stopping;
    if (stopHadFocus && (!busy || stopping)) this.focus(); // a button that goes away must not take the focus with it
    this.#drawScope(collections, collection);
    this.#check();
  }

  #drawScope(collections, collection) {
    const names = collections.map(({ name }) => name).join("\n");
    this.scope.hidden = collections.length < 2;
    if (this.scope.dataset.names !== names) {
      this.scope.dataset.names = names;
      const options = collections.map(({ name }) => h("option", { value: name }, name));
      this.scope.replaceChildren(h("option", { value: "" }, "All documents"), ...options);
    }
    this.scope.value = collection ?? "";
  }

  #typed() {
    this.field.dataset.text = this.text.value; // a hidden copy of the text gives the field its height
    this.#check();
    this.#actions.typed(this.text.value);
  }

  #check() {
    const left = MAX_CHARS - new CodePoints(this.text.value.trim()).length;
    this.send.disabled = left < 0 || this.text.value.trim() === "";
    this.counter.classList.toggle("over", left < 0);
    if (left > MAX_CHARS - TELL_FROM) this.counter.textContent = "";
    else this.counter.textContent = left < 0 ? `${-left} characters too many` : `${left} characters left`;
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    this.#ask();
  }

  #ask() {
    if (this.#busy || this.send.disabled) return;
    const draft = this.text.value;
    this.write("");
    if (!this.#actions.ask(draft.trim())) this.write(draft);
  }
}
