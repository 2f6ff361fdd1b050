/** Surroundings: what the page shows around the answers: past conversations, collections, the model. */

import { Problem } from "./problem.js";

const PAGE = 50; // conversations that are listed at once
const MOST = 200; // that the server gives at once

/** Fires `change` when something came, `key` when the server asks for an API key. */
export class Surroundings extends EventTarget {
  conversations = [];
  older = false; // whether there are conversations before these
  collections = null; // null until they are known
  about = null;
  onlyAsks = false; // whether the key is one of visitors, who are shown no lists

  #api;
  #signal;
  #wanted = PAGE;
  #listing = 0; // counts the requests for the list: the last one is right

  constructor(api, signal) {
    super();
    this.#api = api;
    this.#signal = signal;
  }

  /** Fetch all of it. */
  async load() {
    this.onlyAsks = false;
    await Promise.all([
      this.#load("about", () => this.#api.about(this.#signal)),
      this.#load("collections", () => this.#api.collections(this.#signal)),
      this.loadConversations(),
    ]);
  }

  /** Fetch the list again, as far as it is shown: what was deleted or begun elsewhere is seen too. */
  async loadConversations() {
    if (!this.onlyAsks) await this.#told(() => this.#list());
  }

  /** List older conversations too; returns how many came. Throws Problem or AbortError. */
  async showOlder() {
    const before = this.conversations.length;
    this.#wanted = before + PAGE;
    await this.#list();
    return Math.max(this.conversations.length - before, 0);
  }

  async #list() {
    const listing = (this.#listing += 1);
    const wanted = this.#wanted;
    const found = [];
    let more = true;
    while (more && found.length <= wanted) {
      const limit = Math.min(wanted + 1 - found.length, MOST); // one more tells whether there are older ones
      const page = await this.#api.conversations({ limit, before: found.at(-1)?.id }, this.#signal);
      found.push(...page);
      more = page.length === limit;
    }
    if (listing !== this.#listing) return;
    this.conversations = found.slice(0, wanted);
    this.older = found.length > wanted;
    this.dispatchEvent(new Event("change"));
  }

  #load(field, fetching) {
    return this.#told(async () => {
      this[field] = await fetching();
      this.dispatchEvent(new Event("change"));
    });
  }

  /** Without one of these the chat still works, so only a missing key is told. */
  async #told(fetching) {
    try {
      await fetching();
    } catch (error) {
      if (error.name === "AbortError") return;
      const { status } = Problem.of(error);
      if (status === 401) this.dispatchEvent(new Event("key"));
      if (status !== 403) return;
      this.onlyAsks = true;
      this.dispatchEvent(new Event("change"));
    }
  }
}
