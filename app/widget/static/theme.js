/** Theme: light or dark, as the system says until the reader chooses. */

import { Remembered } from "./remembered.js";

const DARK = "(prefers-color-scheme: dark)";

export class Theme {
  #element;
  #remembered = new Remembered("localStorage", "");
  #system = matchMedia(DARK);

  /** Applies the theme to `element` as `data-theme` (absent: the system's). */
  constructor(element) {
    this.#element = element;
    this.#apply(this.#remembered.get("theme"));
  }

  get dark() {
    return (this.#element.dataset.theme ?? (this.#system.matches ? "dark" : "light")) === "dark";
  }

  /** Change to the other theme and remember it, in this browser. */
  toggle() {
    const chosen = this.dark ? "light" : "dark";
    this.#remembered.set("theme", chosen);
    this.#apply(chosen);
  }

  /** Call back when the system's theme changes, until `signal` fires. */
  onSystemChange(callback, signal) {
    this.#system.addEventListener("change", callback, { signal });
  }

  #apply(chosen) {
    if (chosen === "light" || chosen === "dark") this.#element.dataset.theme = chosen;
  }
}
