/** About: which model answers, and how to use a bigger one. */

import { h } from "../dom.js";

/** A line below the composer, or null when there is nothing to say. */
export function aboutLine(about) {
  if (!about?.chat_model.small) return null;
  const summary = h("summary", {}, "Answers come from a tiny packaged model. Use a bigger one");
  return h("details", {}, summary, h("p", {}, h("span", { class: "model" }, about.chat_model.name), about.hint ? ` ${about.hint}` : null));
}
