/** About: which model answers, and how to use a bigger one. */

import { h } from "../dom.js";
import { withCode } from "./notice.js";

/** A line below the composer, or null when there is nothing to say. */
export function aboutLine(about) {
  if (!about?.chat_model.small) return null;
  const name = h("span", { class: "model" }, about.chat_model.name);
  const detail = h("p", {}, name, ". ", withCode(about.hint ?? ""));
  return h("details", {}, h("summary", {}, "A tiny packaged model answers. Use a bigger one"), detail);
}
