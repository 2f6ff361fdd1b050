/** Ask dialog: a small modal question, for a confirmation or a key. */

import { h } from "../dom.js";

const INVISIBLE = /[\s\u00ad\u200b-\u200f\u2060\ufeff]/g;
const SENDABLE = /^[\x21-\x7e]*$/; // in a header
let count = 0;

/** Ask to confirm; resolves to whether the reader did. `detail` may be an element or text. */
export async function confirm(root, { title, detail, action, danger = false }) {
  const answer = await ask(root, { title, body: [h("p", {}, detail)], action, danger, value: () => "yes" });
  return answer === "yes";
}

/** Ask for an API key; resolves to it, or null. `refused`: another one was, which is said. */
export function askKey(root, { refused }) {
  const input = h("input", { type: "password", id: "api-key", autocomplete: "off", required: true });
  const check = () => {
    const usable = SENDABLE.test(bare(input.value));
    input.setCustomValidity(usable ? "" : "A key has letters, digits and signs of ASCII only");
  };
  input.addEventListener("input", check);
  const body = [
    refused && h("p", { role: "alert" }, "The server refused the key that it got."),
    h("p", {}, "This server answers only with an API key. It is kept until this tab is closed."),
    h("label", { for: "api-key" }, "API key"),
    input,
  ];
  return ask(root, { title: "A key is needed", body, action: "Use this key", value: () => bare(input.value) || null });
}

/** A key without the spaces and invisible characters that come with pasting. */
function bare(text) {
  return text.replace(INVISIBLE, "");
}

function ask(root, { title, body, action, danger, value }) {
  count += 1;
  const id = `ask-${count}`;
  return new Promise((resolve) => {
    let answer = null;
    const dialog = h("dialog", { class: "ask", "aria-labelledby": id });
    const submit = (event) => {
      event.preventDefault();
      answer = value();
      dialog.close();
    };
    const form = h(
      "form",
      { submit },
      h("h2", { id }, title),
      body,
      h(
        "div",
        { class: "choices" },
        h("button", { type: "button", click: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: danger ? "danger" : "primary" }, action),
      ),
    );
    dialog.append(form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    root.append(dialog);
    dialog.showModal();
  });
}
