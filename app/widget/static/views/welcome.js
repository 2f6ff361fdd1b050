/** Welcome: what is shown before the first question. */

import { h } from "../dom.js";

/** The title page with example questions; `ask(question)` sends one. */
export function welcome({ questions, collections, ask }) {
  const note = h("sup", { "aria-hidden": "true" }, "1");
  const documents = collections.reduce((sum, { documents: count }) => sum + count, 0);
  return h(
    "div",
    { class: "welcome" },
    h("p", { class: "asterism", "aria-hidden": "true" }, "⁂"),
    h("h2", {}, "What would you like to know?"),
    h("p", { class: "lead" }, "Answers come from the documents, and each sentence shows the words it rests on.", note),
    questions.length ? examples(questions, ask) : null,
    h("p", { class: "rubric" }, h("sup", { "aria-hidden": "true" }, "1"), " ", promise(documents)),
  );
}

function examples(questions, ask) {
  const button = (question) => h("button", { type: "button", click: () => ask(question) }, question);
  const entries = questions.map((question) => h("li", {}, button(question)));
  return h("ol", { class: "examples", "aria-label": "Example questions" }, entries);
}

function promise(documents) {
  const count = documents === 1 ? "one document" : `${documents.toLocaleString("en")} documents`;
  const where = documents > 0 ? `Searched here: ${count}. ` : "";
  return `${where}A sentence that nothing supports is marked, not hidden.`;
}

/** Shown instead when there is nothing to ask about. */
export function nothingToAsk() {
  return h(
    "div",
    { class: "welcome" },
    h("p", { class: "asterism", "aria-hidden": "true" }, "⁂"),
    h("h2", {}, "No documents yet"),
    h("p", { class: "lead" }, "Add some from the command line, then reload this page:"),
    h("pre", { tabindex: "0" }, h("code", {}, "footnote ingest PATH")),
  );
}
