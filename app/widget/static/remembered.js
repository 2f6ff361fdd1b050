/** Remembered: small values that outlive the page, for this tab or for this browser. */

const PREFIX = "footnote:";

export class Remembered {
  #storage;
  #scope;
  #fallback = new Map();

  /** `storage` names `sessionStorage` or `localStorage`; `scope` keeps widgets apart. */
  constructor(storage, scope) {
    this.#storage = storage;
    this.#scope = scope;
  }

  /** The value, or null. */
  get(name) {
    return this.#try((storage) => storage.getItem(this.#key(name))) ?? this.#fallback.get(name) ?? null;
  }

  /** Remember a string; null forgets. */
  set(name, value) {
    if (value === null) this.#fallback.delete(name);
    else this.#fallback.set(name, value);
    if (value === null) this.#try((storage) => storage.removeItem(this.#key(name)));
    else this.#try((storage) => storage.setItem(this.#key(name), value));
  }

  #key(name) {
    return `${PREFIX}${this.#scope}${name}`;
  }

  #try(use) {
    try {
      return use(window[this.#storage]);
    } catch (error) {
      // Storage may be blocked (a sandboxed frame) or full; then values last as long as the page.
      if (error instanceof DOMException) return null;
      throw error;
    }
  }
}
