/** Widget: joins the chat with its views. */

import { h } from "./dom.js";
import { Theme } from "./theme.js";
import { footnotes, isFinal } from "./transcript.js";
import { aboutLine } from "./views/about.js";
import { askKey, confirm } from "./views/ask-dialog.js";
import { Composer } from "./views/composer.js";
import { Frame } from "./views/frame.js";
import { notice } from "./views/notice.js";
import { PassageDialog } from "./views/passage-dialog.js";
import { Scroller } from "./views/scroller.js";
import { Sidebar } from "./views/sidebar.js";
import { TurnView } from "./views/turn.js";
import { nothingToAsk, welcome } from "./views/welcome.js";

export class Widget {
  #chat;
  #root;
  #fixedCollection;
  #questions;
  #remembered;
  #turnViews = new Map();
  #frameRequest = 0;
  #announced = null; // "turn id:state" last told to screen readers
  #askingKey = false;

  /**
   * Draw `chat` into `root` (a shadow root) and follow it until `signal` fires. `options` are `label`, `questions`
   * (examples), `collection` (fixed by the page, or null), `loadDocument` and `remembered`.
   */
  constructor(root, chat, { label, questions, collection, loadDocument, remembered }, signal) {
    this.#chat = chat;
    this.#root = root;
    this.#questions = questions;
    this.#fixedCollection = collection;
    this.#remembered = remembered;
    this.theme = new Theme(root.host);
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
    });
    const parts = { label, sidebar: this.sidebar.element, composer: this.composer.element };
    this.frame = new Frame(parts, {
      fresh: () => this.#fresh(),
      toggleTheme: () => this.#toggleTheme(),
      toEnd: () => this.scroller.toEnd(),
    });
    this.passages = new PassageDialog(loadDocument);
    this.scroller = new Scroller(this.frame.reading, (following) => (this.frame.jump.hidden = following), signal);
    root.append(this.frame.element, this.passages.element);
    this.#listen(signal);
  }

  #listen(signal) {
    const { frame, theme } = this;
    frame.watch(this.#root.host, signal);
    frame.showTheme(theme.dark);
    theme.onSystemChange(() => frame.showTheme(theme.dark), signal);
    this.#root.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#chat.addEventListener("change", () => this.#redraw(), { signal });
    this.#chat.addEventListener("key", () => this.#askKey(), { signal });
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.#frameRequest);
      this.#turnViews.forEach((view) => view.close());
    });
    this.composer.write(this.#chat.takeLostQuestion() ?? this.#remembered.get("draft") ?? "");
    this.#draw();
  }

  /** Hide the widget, while its styles are on their way, or show it. */
  set hidden(hidden) {
    this.frame.element.hidden = hidden;
    if (!hidden) this.scroller.settle();
  }

  /** Put the focus where the reader goes on: the field, or on a touch screen, where that opens a keyboard, the text. */
  focus() {
    if (matchMedia("(hover: none)").matches) this.frame.reading.focus({ preventScroll: true });
    else this.composer.focus();
  }

  /** Many events may come between two frames; the page is drawn once for all of them. */
  #redraw() {
    this.#frameRequest ||= requestAnimationFrame(() => {
      this.#frameRequest = 0;
      this.#draw();
    });
  }

  #draw() {
    const chat = this.#chat;
    const last = chat.turns.at(-1);
    this.sidebar.update(chat.conversations, chat.conversationId);
    this.composer.update({
      busy: chat.busy,
      stopping: Boolean(last?.stopping),
      collections: this.#fixedCollection ? [] : (chat.collections ?? []),
      collection: chat.collection,
    });
    this.#drawColumn();
    this.#drawAbout();
    this.#announce(last);
    this.scroller.settle();
  }

  #drawColumn() {
    const { turns } = this.#chat;
    for (const [id, view] of this.#turnViews) {
      if (turns.some((turn) => turn.id === id)) continue;
      view.close();
      this.#turnViews.delete(id);
    }
    for (const turn of turns) this.#viewOf(turn).update(turn);
    const wanted = turns.length ? turns.map((turn) => this.#viewOf(turn).element) : [this.#placeholder()];
    const shown = [...this.frame.column.children];
    const same = shown.length === wanted.length && shown.every((element, position) => element === wanted[position]);
    if (!same) this.frame.column.replaceChildren(...wanted);
  }

  #viewOf(turn) {
    if (!this.#turnViews.has(turn.id)) this.#turnViews.set(turn.id, new TurnView(this.#turnActions()));
    return this.#turnViews.get(turn.id);
  }

  #turnActions() {
    const chat = this.#chat;
    return {
      openNote: (turn, index) => this.#openNote(turn, index),
      openPassage: (turn, id) => this.#openPassage(turn, id),
      openAddress: (url) => this.#openAddress(url),
      retry: (turn) => this.#following(() => chat.retry(turn)),
      edit: (turn) => {
        chat.withdraw(turn);
        this.composer.write(turn.question);
        this.composer.focus();
      },
      resume: (turn) => this.#following(() => chat.resume(turn)),
      enterKey: () => this.#askKey(),
      copied: () => this.frame.announce("Copied"),
    };
  }

  /** What stands where no turns are; made anew only when it changes, so that the focus in it stays. */
  #placeholder() {
    const { opening, problem, collections } = this.#chat;
    if (this.placeholder?.from.every((value, position) => value === [opening, problem, collections][position])) {
      return this.placeholder.element;
    }
    this.placeholder = { from: [opening, problem, collections], element: this.#beforeTurns() };
    return this.placeholder.element;
  }

  #beforeTurns() {
    const chat = this.#chat;
    if (chat.opening) return h("p", { class: "progress opening" }, "Opening the conversation");
    if (chat.problem) return notice(chat.problem, [["Try again", () => chat.open(chat.conversationId)]]);
    if (chat.collections?.length === 0) return nothingToAsk();
    const asked = (chat.collections ?? []).filter(({ name }) => !this.#fixedCollection || name === this.#fixedCollection);
    return welcome({ questions: this.#questions, collections: asked, ask: (question) => this.#ask(question) });
  }

  #drawAbout() {
    const { about } = this.#chat;
    if (this.aboutShown === about) return;
    this.aboutShown = about;
    this.frame.about.replaceChildren(aboutLine(about) ?? "");
  }

  /** Tell screen readers where the last answer stands: when it begins, and its whole text once it ended. */
  #announce(turn) {
    if (!turn) return;
    const now = `${turn.id}:${turn.answer.state}:${Boolean(turn.pause)}`;
    if (this.#announced === now) return;
    const first = this.#announced === null || !this.#announced.startsWith(`${turn.id}:`);
    this.#announced = now;
    if (turn.pause) this.frame.announce("Connection lost, reconnecting");
    else if (!isFinal(turn.answer)) this.frame.announce(first ? "Searching the documents" : "Reconnected");
    else if (!first) this.frame.announce(spoken(turn.answer));
  }

  #ask(question) {
    this.focus();
    this.#following(() => this.#chat.ask(question));
  }

  #following(start) {
    start();
    this.#draw();
    this.scroller.toEnd();
  }

  #fresh() {
    this.#chat.fresh();
    this.frame.closeDrawer();
    this.focus();
  }

  async #open(id) {
    this.frame.closeDrawer();
    this.frame.reading.focus({ preventScroll: true });
    const opened = this.#chat.open(id);
    this.scroller.toEnd();
    await opened;
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
    const key = await askKey(this.#root);
    this.#askingKey = false;
    if (key) await this.#chat.useKey(key);
  }

  async #openAddress(url) {
    const detail = h("span", {}, "The model wrote this address; it may be wrong:", h("br"), h("code", {}, url));
    const open = await confirm(this.#root, { title: "Open this page?", detail, action: "Open in a new tab" });
    if (open) window.open(url, "_blank", "noopener,noreferrer");
  }

  #openNote(turn, index) {
    const notes = footnotes(turn.answer).filter((note) => note.passage);
    const places = notes.map((note) => ({
      label: `Footnote ${note.index}${note.verdict === "partial" ? " · supports in part" : ""}`,
      passage: note.passage,
      start: note.char_start,
      end: note.char_end,
      quote: note.quote,
    }));
    const position = notes.findIndex((note) => note.index === index);
    if (position >= 0) this.passages.open(places, position);
  }

  #openPassage(turn, id) {
    const places = turn.answer.passages.map((passage) => ({
      label: "Nearest passage",
      passage,
      start: passage.char_start,
      end: passage.char_end,
      quote: passage.text,
    }));
    this.passages.open(places, turn.answer.passages.findIndex((passage) => passage.id === id));
  }

  #toggleTheme() {
    this.theme.toggle();
    this.frame.showTheme(this.theme.dark);
  }

  #key(event) {
    if (event.key !== "Escape" || event.isComposing || this.#root.querySelector("dialog[open]")) return; // a dialog closes by itself
    if (this.frame.drawerOpen) this.frame.closeDrawer();
    else if (this.#chat.busy) this.#chat.stop();
  }
}

function spoken(answer) {
  if (answer.state === "cancelled") return "Answer stopped";
  if (answer.state === "failed") return ""; // the notice is an alert and speaks for itself
  const count = footnotes(answer).length;
  const notes = count === 1 ? "One footnote." : `${count || "No"} footnotes.`;
  return `Answer: ${answer.text} ${notes}`;
}
