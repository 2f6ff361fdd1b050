/** Notice: a problem, told in place, with what can be done about it. */

import { h } from "../dom.js";

/** An alert with `choices`, a list of `[label, callback]`. */
export function notice(problem, choices) {
  const detail = problem.detail === problem.title ? [] : [h("br"), ...withCode(problem.detail)];
  const buttons = choices.map(([label, click]) => h("button", { type: "button", click }, label));
  return h(
    "div",
    { class: "notice problem", role: "alert" },
    h("p", {}, h("strong", {}, withCode(problem.title)), ...detail),
    h("p", { class: "choices" }, buttons),
  );
}

/** A sentence of the server's, its `backticked` words as code. */
export function withCode(sentence) {
  return sentence.split("`").map((part, position) => (position % 2 ? h("code", {}, part) : part));
}
