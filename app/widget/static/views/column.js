/** Column: the turns of a conversation, or what stands there before the first. */

import { h } from "../dom.js";
import { notice } from "./notice.js";
import { TurnView } from "./turn.js";
import { nothingToAsk, welcome } from "./welcome.js";

export class Column {
  #questions;
  #actions;
  #turns = new Map(); // views by turn id
  #placeholder = { from: [], element: null };

  /** `questions` are examples; `actions` those of a turn (see TurnView), and `ask(question)` and `reopen()`. */
  constructor(questions, actions) {
    this.#questions = questions;
    this.#actions = actions;
    this.element = h("div", { class: "column", tabindex: "-1" });
  }

  /** Show the turns; without any, `opening`, `problem` and `collections` tell what else. */
  update({ turns, opening, problem, collections }) {
    this.#forget(turns);
    for (const turn of turns) this.#viewOf(turn).update(turn);
    const placeholder = () => this.#placeholderOf(opening, problem, collections);
    const wanted = turns.length ? turns.map((turn) => this.#viewOf(turn).element) : [placeholder()];
    const shown = [...this.element.children];
    const same = shown.length === wanted.length && shown.every((element, position) => element === wanted[position]);
    if (!same) this.element.replaceChildren(...wanted);
  }

  /** Stop every clock. */
  close() {
    this.#forget([]);
  }

  #viewOf(turn) {
    if (!this.#turns.has(turn.id)) this.#turns.set(turn.id, new TurnView(this.#actions));
    return this.#turns.get(turn.id);
  }

  #forget(staying) {
    for (const [id, view] of this.#turns) {
      if (staying.some((turn) => turn.id === id)) continue;
      view.close();
      this.#turns.delete(id);
    }
  }

  /** Made anew only when it changes, so that the focus in it stays. */
  #placeholderOf(...from) {
    if (from.some((value, position) => value !== this.#placeholder.from[position])) {
      this.#placeholder = { from, element: this.#drawPlaceholder(...from) };
    }
    return this.#placeholder.element;
  }

  #drawPlaceholder(opening, problem, collections) {
    if (opening) return h("p", { class: "progress opening" }, "Opening the conversation");
    if (problem) return notice(problem, [["Try again", () => this.#actions.reopen()]]);
    if (collections?.length === 0) return nothingToAsk();
    return welcome({ questions: this.#questions, collections: collections ?? [], ask: this.#actions.ask });
  }
}
