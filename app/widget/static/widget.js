/** Widget: joins the chat with its views. */

import { h, isComposing } from "./dom.js";
import { Problem } from "./problem.js";
import { Theme } from "./theme.js";
import { aboutLine } from "./views/about.js";
import { Announcer } from "./views/announcer.js";
import { askKey, confirm } from "./views/ask-dialog.js";
import { Column } from "./views/column.js";
import { Composer } from "./views/composer.js";
import { Frame } from "./views/frame.js";
import { PassageDialog } from "./views/passage-dialog.js";
import { footnotePlaces, passagePlaces } from "./views/places.js";
import { Scroller } from "./views/scroller.js";
import { Sidebar } from "./views/sidebar.js";

export class Widget {
  #chat;
  #root;
  #fixedCollection;
  #remembered;
  #frameRequest = 0;
  #aboutShown = null;
  #askingKey = false;
  #told = null; // the turn that is read out

  /**
   * Draw `chat` into `root` (a shadow root) and follow it until `signal` fires. `options` are `label`, `questions`
   * (examples), `collection` (fixed by the page, or null), `loadDocument` and `remembered`.
   */
  constructor(root, chat, { label, questions, collection, loadDocument, remembered }, signal) {
    this.#chat = chat;
    this.#root = root;
    this.#fixedCollection = collection;
    this.#remembered = remembered;
    this.theme = new Theme(root.host);
    this.passages = new PassageDialog(loadDocument);
    this.column = new Column(questions, this.#columnActions());
    this.composer = new Composer({
      ask: (question) => this.#ask(question),
      stop: () => chat.stop(),
      choose: (name) => (chat.collection = name),
      typed: (text) => remembered.set("draft", text || null),
    });
    this.sidebar = new Sidebar({
      fresh: () => this.#fresh(),
      open: (id) => this.#open(id),
      remove: (conversation) => this.#remove(conversation),
      showOlder: () => this.#showOlder(),
    });
    const [sidebar, column, composer] = [this.sidebar, this.column, this.composer].map((view) => view.element);
    this.frame = new Frame({ label, sidebar, column, composer }, {
      fresh: () => this.#fresh(),
      toggleTheme: () => this.#toggleTheme(),
      toEnd: () => this.scroller.toEnd(),
    });
    this.announcer = new Announcer((text) => this.frame.announce(text));
    this.scroller = new Scroller(this.frame.reading, (following) => (this.frame.jump.hidden = following), signal);
    root.append(this.frame.element, this.passages.element);
    this.#listen(signal);
  }

  /** Hide the widget, while its styles are on their way, or show it. */
  set hidden(hidden) {
    this.frame.element.hidden = hidden;
    if (!hidden) this.#settle();
  }

  /** Put the focus where the reader goes on: the field, or on a touch screen, where that opens a keyboard, the text. */
  focus() {
    if (matchMedia("(hover: none)").matches) this.column.element.focus({ preventScroll: true });
    else this.composer.focus();
  }

  #listen(signal) {
    const { frame, theme } = this;
    frame.watch(this.#root.host, signal);
    frame.showTheme(theme.dark);
    theme.onSystemChange(() => frame.showTheme(theme.dark), signal);
    this.#root.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#chat.addEventListener("change", () => this.#redraw(), { signal });
    this.#chat.addEventListener("key", () => this.#askKey(), { signal });
    document.addEventListener("visibilitychange", () => this.#returned(), { signal });
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.#frameRequest);
      this.column.close();
    });
    this.composer.write(this.#chat.takeLostQuestion() ?? this.#remembered.get("draft") ?? "");
    this.#draw();
  }

  /** The reader is back at this tab, perhaps from another one of the same conversation. */
  async #returned() {
    if (document.hidden) return;
    try {
      await this.#chat.catchUp();
    } catch (error) {
      if (!(error instanceof Problem) && error.name !== "AbortError") throw error; // else what is shown stays as it is
    }
  }

  #columnActions() {
    const chat = this.#chat;
    return {
      ask: (question) => this.#ask(question),
      reopen: () => chat.open(chat.conversationId),
      openNote: (turn, index) => this.#openPlace(footnotePlaces(turn.answer, index)),
      openPassage: (turn, id) => this.#openPlace(passagePlaces(turn.answer, id)),
      openAddress: (url) => this.#openAddress(url),
      retry: (turn) => this.#begin(() => chat.retry(turn)),
      resume: (turn) => this.#begin(() => chat.resume(turn)),
      edit: (turn) => {
        chat.withdraw(turn);
        this.composer.write([turn.question, this.composer.text.value].filter(Boolean).join("\n"));
        this.composer.focus();
      },
      enterKey: () => this.#askKey(),
      copied: () => this.frame.announce("Copied"),
      notCopied: () => this.frame.announce("The browser does not let this page copy"),
      rate: (turn, rating) => this.#rate(turn, () => this.#chat.rate(turn, rating)),
      comment: (turn, text) => this.#rate(turn, () => this.#chat.comment(turn, text)),
    };
  }

  async #rate(turn, keep) {
    try {
      await keep();
      const thanks = turn.comment ? "Thank you for the comment" : "Thank you for the rating";
      this.frame.announce(turn.rating ? thanks : "Rating taken back");
    } catch (problem) {
      this.frame.announce(`The rating was not kept: ${problem.detail}`);
    }
  }

  /** Many events may come between two frames; the page is drawn once for all of them. */
  #redraw() {
    this.#frameRequest ||= requestAnimationFrame(() => {
      this.#frameRequest = 0;
      this.#draw();
    });
  }

  #draw() {
    const { turns, opening, problem, busy, collection, conversationId, surroundings } = this.#chat;
    const { conversations, older, about } = surroundings;
    const collections = this.#askable(surroundings.collections);
    const { writing } = this.#chat;
    this.sidebar.update(conversations, conversationId, older);
    this.frame.showSidebar(!surroundings.onlyAsks);
    const stopping = Boolean(writing?.stopping);
    this.composer.update({ busy, stopping, collections: this.#fixedCollection ? [] : (collections ?? []), collection });
    this.column.update({ turns, opening, problem, collections });
    if (this.#aboutShown !== about) this.frame.about.replaceChildren(aboutLine(about) ?? "");
    this.#aboutShown = about;
    if (writing || !turns.includes(this.#told)) this.#told = writing ?? turns.at(-1);
    if (this.#told) this.announcer.update(this.#told);
    this.#settle();
  }

  #settle() {
    if (this.#chat.turns.length) this.scroller.settle();
    else this.scroller.rest();
  }

  /** The collections that can be asked here; the same list as long as nothing changes. */
  #askable(collections) {
    if (!this.#fixedCollection || !collections) return collections;
    if (this.askable?.of !== collections) {
      this.askable = { of: collections, list: collections.filter(({ name }) => name === this.#fixedCollection) };
    }
    return this.askable.list;
  }

  /** Ask a question; whether it is taken. */
  #ask(question) {
    this.focus();
    if (this.#chat.opening) {
      this.frame.announce("The conversation is still being opened; ask when it is there");
      return false;
    }
    this.#begin(() => this.#chat.ask(question));
    return true;
  }

  /** Begin something that appears at the end of the column, and go there. */
  #begin(action) {
    action();
    this.#draw();
    this.scroller.toEnd();
  }

  #fresh() {
    this.#chat.fresh();
    this.frame.closeDrawer();
    this.focus();
  }

  #open(id) {
    this.frame.closeDrawer();
    this.frame.reading.focus({ preventScroll: true });
    this.#begin(() => this.#chat.open(id));
  }

  async #showOlder() {
    try {
      const count = await this.#chat.surroundings.showOlder();
      if (count) this.frame.announce(`${count} older conversation${count === 1 ? "" : "s"} listed`);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 401) return this.#askKey();
      await confirm(this.#root, { title: error.title, detail: error.detail, action: "Close" });
    }
  }

  async #remove(conversation) {
    const title = "Delete this conversation?";
    const detail = `“${conversation.title}” and its answers will be gone for good.`;
    if (!(await confirm(this.#root, { title, detail, action: "Delete", danger: true }))) return;
    try {
      await this.#chat.remove(conversation.id);
      this.frame.announce("Conversation deleted");
      this.sidebar.fresh.focus(); // the button that was pressed is gone
    } catch (problem) {
      await confirm(this.#root, { title: problem.title, detail: problem.detail, action: "Close" });
    }
  }

  async #askKey() {
    if (this.#askingKey) return; // several requests may be refused at once
    this.#askingKey = true;
    const key = await askKey(this.#root, { refused: this.#chat.hasKey });
    this.#askingKey = false;
    if (key) await this.#chat.useKey(key);
  }

  async #openAddress(url) {
    const detail = h("span", {}, "The model wrote this address; it may be wrong:", h("br"), h("code", {}, url));
    const open = await confirm(this.#root, { title: "Open this page?", detail, action: "Open in a new tab" });
    if (open) window.open(url, "_blank", "noopener,noreferrer");
  }

  #openPlace({ places, position }) {
    if (position >= 0) this.passages.open(places, position);
  }

  #toggleTheme() {
    this.theme.toggle();
    this.frame.showTheme(this.theme.dark);
  }

  #key(event) {
    // An open dialog closes by itself.
    if (event.key !== "Escape" || isComposing(event) || this.#root.querySelector("dialog[open]")) return;
    if (this.frame.drawerOpen) this.frame.closeDrawer();
    else if (this.#chat.busy) this.#chat.stop();
    else return;
    event.preventDefault(); // the page around has its own
  }
}
