/** Frame: the widget's fixed parts and where they stand; a narrow one keeps its sidebar in a drawer. */

import { h } from "../dom.js";
import { icon } from "./icon.js";

const NARROW_PX = 760;

export class Frame {
  #drawerOpen = false;
  #narrow = false;

  /** `parts` are `{label, sidebar, column, composer}`; `actions` are `fresh()`, `toggleTheme()` and `toEnd()`. */
  constructor({ label, sidebar, column, composer }, actions) {
    this.menu = button("menu", "Conversations", () => this.toggleDrawer(), { "aria-controls": "sidebar" });
    this.plus = button("plus", "New conversation", actions.fresh);
    this.theme = button("moon", "", actions.toggleTheme);
    this.sidebar = sidebar;
    this.scrim = h("div", { class: "scrim", click: () => this.closeDrawer() });
    // Focusable, so that the keyboard can scroll it and that opening a conversation can put the reader into it.
    this.reading = h("section", { class: "reading", "aria-label": "Conversation", tabindex: "0" }, column);
    const jump = { type: "button", class: "jump", hidden: true, click: actions.toEnd };
    this.jump = h("button", jump, icon("down"), "Latest");
    this.about = h("div", { class: "about" });
    this.live = h("div", { class: "visually-hidden", "aria-live": "polite", "aria-atomic": "true" });
    const wordmark = h("p", { class: "wordmark" }, label, h("sup", { "aria-hidden": "true" }, "1"));
    this.bar = h("header", { class: "bar" }, this.menu, wordmark, this.plus, this.theme);
    this.desk = h("div", { class: "desk" }, this.reading, h("div", { class: "foot" }, this.jump, composer, this.about));
    // Focusable, so that Escape is heard after a click beside everything else.
    const attributes = { class: "app", role: "group", "aria-label": label, tabindex: "-1" };
    this.element = h("div", attributes, this.bar, this.sidebar, this.scrim, this.desk, this.live);
    this.#apply();
  }

  /** Follow the width of `host` until `signal` fires. */
  watch(host, signal) {
    const observer = new ResizeObserver(([{ contentRect }]) => {
      this.#narrow = contentRect.width < NARROW_PX;
      this.#drawerOpen &&= this.#narrow;
      this.#apply();
    });
    observer.observe(host);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** Do without the sidebar, or have it again. */
  showSidebar(shown) {
    this.element.classList.toggle("without-sidebar", !shown);
  }

  get drawerOpen() {
    return this.#drawerOpen;
  }

  toggleDrawer() {
    this.#drawerOpen = !this.#drawerOpen;
    this.#apply();
    if (this.#drawerOpen) this.sidebar.querySelector("button").focus();
    else this.menu.focus();
  }

  /** Close the drawer and give the focus back, if it is open. */
  closeDrawer() {
    if (this.#drawerOpen) this.toggleDrawer();
  }

  /** Show which theme the button would change to. */
  showTheme(dark) {
    this.theme.replaceChildren(icon(dark ? "sun" : "moon"));
    this.theme.setAttribute("aria-label", dark ? "Use the light theme" : "Use the dark theme");
  }

  /** Have a screen reader say `text` when it is free to. */
  announce(text) {
    this.live.textContent = text;
  }

  #apply() {
    this.element.classList.toggle("narrow", this.#narrow);
    this.element.classList.toggle("drawer-open", this.#drawerOpen);
    this.menu.setAttribute("aria-expanded", String(this.#drawerOpen));
    this.sidebar.inert = this.#narrow && !this.#drawerOpen;
    this.desk.inert = this.#drawerOpen;
  }
}

function button(drawing, name, click, attributes = {}) {
  const all = { type: "button", class: `quiet ${drawing}-button`, "aria-label": name, click, ...attributes };
  return h("button", all, icon(drawing));
}
