/** Comment: asks what is wrong with an answer that was rated bad. */

import { h } from "../dom.js";

const MAX_CHARS = 2_000;

/** A field and a button; `send(comment)` is called with what was written. */
export function commentForm(send) {
  const field = h("textarea", {
    rows: "2",
    maxlength: String(MAX_CHARS),
    placeholder: "What is wrong with it?",
    "aria-label": "What is wrong with this answer",
    dir: "auto",
  });
  const submit = (event) => {
    event.preventDefault();
    const comment = field.value.trim();
    if (comment) send(comment);
    else field.focus();
  };
  return h("form", { class: "comment", submit }, field, h("button", { type: "submit" }, "Send"));
}
