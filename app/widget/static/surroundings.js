/** Surroundings: what the page shows around the answers: past conversations, collections, the model. */

import { Problem } from "./problem.js";

/** Fires `change` when something came, `key` when the server asks for an API key. */
export class Surroundings extends EventTarget {
  conversations = [];
  collections = null; // null until they are known
  about = null;

  #api;
  #signal;

  constructor(api, signal) {
    super();
    this.#api = api;
    this.#signal = signal;
  }

  /** Fetch all of it. */
  async load() {
    await Promise.all([
      this.#load("about", () => this.#api.about(this.#signal)),
      this.#load("collections", () => this.#api.collections(this.#signal)),
      this.loadConversations(),
    ]);
  }

  loadConversations() {
    return this.#load("conversations", () => this.#api.conversations(this.#signal));
  }

  /** Without one of these the chat still works, so only a missing key is told. */
  async #load(field, fetching) {
    try {
      this[field] = await fetching();
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (error.name !== "AbortError" && Problem.of(error).status === 401) this.dispatchEvent(new Event("key"));
    }
  }
}
