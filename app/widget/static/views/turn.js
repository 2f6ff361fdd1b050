/** Turn: one question with its answer, its footnotes and what can be done with it. */

import { h, morph } from "../dom.js";
import { NOT_FOUND, renderProse } from "../prose.js";
import { answerAsText, footnotes, isFinal, noteSource, sentenceMarks } from "../transcript.js";
import { commentForm } from "./comment.js";
import { noteList, passageList } from "./footnotes.js";
import { icon } from "./icon.js";
import { notice } from "./notice.js";

const LONG_QUESTION = 160;
const COPIED_MS = 2_000;

export class TurnView {
  #actions;
  #turn = null;
  #drawn = {}; // what each part was last drawn from
  #countdown = null;

  /**
   * `actions` are the callbacks `openNote(turn, index)`, `openPassage(turn, id)`, `openAddress(url)`,
   * `retry(turn)`, `edit(turn)`, `resume(turn)`, `rate(turn, rating)`, `comment(turn, text)`, `enterKey()`, `copied()`
   * and `notCopied()`.
   */
  constructor(actions) {
    this.#actions = actions;
    this.question = h("h2", { class: "question", dir: "auto", tabindex: "-1" });
    this.progress = h("p", { class: "progress" });
    this.prose = h("div", { class: "prose", click: (event) => this.#clicked(event) });
    this.remark = h("p", { class: "remark" });
    this.pause = h("p", { class: "notice" });
    this.trouble = h("div", { class: "trouble" });
    this.notes = h("div", { class: "notes", click: (event) => this.#clicked(event) });
    this.buttons = h("div", { class: "actions" });
    this.comment = h("div");
    this.notRated = h("p", { class: "remark" });
    this.answer = h(
      "div",
      { class: "answer" },
      ...[this.progress, this.prose, this.remark, this.pause, this.trouble, this.notes],
      ...[this.buttons, this.comment, this.notRated],
    );
    this.element = h("article", { class: "turn" }, this.question, this.answer);
  }

  /** Draw the turn as it is now; only parts whose content changed are touched. */
  update(turn) {
    this.#turn = turn;
    const { answer } = turn;
    const writing = !isFinal(answer) && !turn.problem;
    this.#once("question", turn.question, () => this.#drawQuestion(turn.question));
    this.answer.setAttribute("aria-busy", String(writing));
    this.answer.className = `answer ${answer.finishReason === "refused" ? "refused" : answer.state}`;
    setLine(this.progress, writing && answer.text === "" ? progressOf(turn) : "");
    this.#once("prose", [answer.text, answer.citations, writing], () => this.#drawProse(answer, writing));
    setLine(this.remark, remarkOf(turn));
    this.#drawPause(turn.pause);
    this.#once("trouble", [turn.problem ?? answer.problem], () => this.#drawProblem(turn));
    this.#once("notes", [answer.citations, answer.passages, writing], () => this.#drawNotes(answer, writing));
    const told = [writing, answer.text, answer.citations, turn.problem, turn.rating];
    this.#once("buttons", told, () => this.#drawButtons(turn, writing));
    this.#once("comment", [turn.rating, turn.comment], () => this.#drawComment(turn));
    setLine(this.notRated, turn.notRated ? `The rating was not kept: ${turn.notRated.detail}` : "");
  }

  /** Stop the clock of a turn that is no longer shown. */
  close() {
    clearInterval(this.#countdown);
  }

  #once(part, inputs, draw) {
    const before = this.#drawn[part];
    const list = [inputs].flat();
    if (before && list.every((value, position) => value === before[position])) return;
    this.#drawn[part] = list;
    draw();
  }

  #drawQuestion(question) {
    this.question.textContent = question;
    this.question.classList.toggle("long", question.length > LONG_QUESTION);
  }

  #drawProse(answer, writing) {
    const notes = new Map(footnotes(answer).map((note) => [note.index, note]));
    const nameOf = (index, verdict) => {
      const source = noteSource(notes.get(index));
      return `Footnote ${index}${verdict === "partial" ? ", supports this in part" : ""}: ${source}`;
    };
    const caret = writing && answer.text !== "";
    morph(this.prose, renderProse(answer.text, sentenceMarks(answer), { nameOf, writing: caret }));
    this.prose.hidden = answer.text === "";
  }

  #drawPause(pause) {
    clearInterval(this.#countdown);
    if (!pause) return setLine(this.pause, "");
    const tick = () => {
      const seconds = Math.ceil((pause.until - Date.now()) / 1000);
      setLine(this.pause, seconds > 0 ? `Connection lost. Trying again in ${seconds} s…` : "Reconnecting…");
    };
    tick();
    this.#countdown = setInterval(tick, 250);
  }

  #drawProblem(turn) {
    const problem = turn.problem ?? turn.answer.problem;
    this.trouble.hidden = !problem;
    this.trouble.replaceChildren();
    if (!problem) return;
    const act = this.#actions;
    const choices = [];
    if (problem.status === 401) choices.push(["Enter a key", () => act.enterKey()]);
    if (turn.answer.runId && turn.problem) choices.push(["Reconnect", () => act.resume(turn)]);
    else choices.push(["Try again", () => act.retry(turn)]);
    if (!turn.answer.runId) choices.push(["Edit the question", () => act.edit(turn)]);
    this.trouble.append(notice(problem, choices));
  }

  #drawNotes(answer, writing) {
    const notes = footnotes(answer);
    const parts = [];
    if (notes.length) parts.push(noteList(notes));
    else if (!writing && answer.finishReason === "refused" && answer.passages?.length) {
      parts.push(passageList(answer.passages));
    }
    const legend = legendOf(answer);
    if (legend) parts.push(legend);
    morph(this.notes, h("div", {}, parts));
    this.notes.hidden = parts.length === 0;
  }

  #drawButtons(turn, writing) {
    const { answer } = turn;
    const buttons = [];
    if (!writing && answer.text && navigator.clipboard) buttons.push(this.#copyButton(answer));
    if (!writing && !turn.problem && answer.state === "cancelled") {
      buttons.push(h("button", { type: "button", click: () => this.#actions.retry(turn) }, icon("again"), "Ask again"));
    }
    if (!writing && !turn.problem && answer.state === "completed" && answer.messageId) {
      buttons.push(this.#ratingButton(turn, "up", "Good answer"), this.#ratingButton(turn, "down", "Bad answer"));
    }
    const focused = [...this.buttons.children].indexOf(this.buttons.getRootNode().activeElement);
    this.buttons.replaceChildren(...buttons);
    this.buttons.hidden = buttons.length === 0;
    if (focused >= 0) buttons[focused]?.focus({ preventScroll: true });
  }

  #drawComment(turn) {
    this.comment.replaceChildren();
    this.comment.hidden = turn.rating !== "down";
    if (turn.rating !== "down") return;
    const said = () => h("p", { class: "remark" }, "Thank you, your comment was kept.");
    this.comment.append(turn.comment ? said() : commentForm((text) => this.#actions.comment(turn, text)));
  }

  #ratingButton(turn, rating, name) {
    const pressed = String(turn.rating === rating);
    const attributes = { type: "button", "aria-label": name, title: name, "aria-pressed": pressed };
    const rate = () => this.#actions.rate(turn, rating);
    return h("button", { ...attributes, click: rate }, icon(rating === "up" ? "liked" : "disliked"));
  }

  #copyButton(answer) {
    const label = h("span", {}, "Copy");
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(answerAsText(answer));
      } catch {
        label.textContent = "Not copied"; // a frame without that permission, for one
        return this.#actions.notCopied();
      }
      this.#actions.copied();
      label.textContent = "Copied";
      setTimeout(() => (label.textContent = "Copy"), COPIED_MS);
    };
    return h("button", { type: "button", click: copy, "aria-label": "Copy the answer" }, icon("copy"), label);
  }

  /** One listener for the buttons in the prose and in the notes: both are redrawn while the answer grows. */
  #clicked(event) {
    const { note, passage, url } = event.target.closest("button")?.dataset ?? {};
    if (note) this.#actions.openNote(this.#turn, Number(note));
    if (passage) this.#actions.openPassage(this.#turn, passage);
    if (url) this.#actions.openAddress(url);
  }
}

function setLine(element, text) {
  element.hidden = text === "";
  if (element.textContent !== text) element.textContent = text;
}

function progressOf({ answer, stopping, pause }) {
  if (stopping) return "Stopping…";
  if (pause) return "";
  if (answer.position) return `Waiting for its turn, number ${answer.position} in line`;
  if (answer.passages === null) return "Searching the documents";
  if (answer.passages.length === 0) return "Writing";
  const documents = new Set(answer.passages.map((passage) => passage.document_id)).size;
  return `Reading ${counted(answer.passages.length, "passage")} in ${counted(documents, "document")}`;
}

function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function remarkOf({ answer, stopping, notStopped }) {
  if (notStopped && !isFinal(answer)) return `This could not be stopped: ${notStopped.detail}`;
  if (stopping && !isFinal(answer) && answer.text) return "Stopping…";
  if (answer.state === "cancelled") return answer.text ? "Stopped here." : "Stopped before the first word.";
  if (answer.finishReason === "length") return "The answer ends here because it reached its length limit.";
  return "";
}

/** What the marks of this answer mean, as far as it has them. */
function legendOf(answer) {
  const verdicts = new Set(answer.citations.map((citation) => citation.verdict));
  const entries = [];
  if (verdicts.has("partial")) {
    entries.push(h("span", {}, sample("partial", "1"), "supported in part"));
  }
  if (verdicts.has("unsupported")) {
    entries.push(h("span", {}, sample("unsupported", "dotted"), NOT_FOUND));
  }
  return entries.length ? h("p", { class: "legend" }, entries) : null;
}

function sample(verdict, text) {
  return h("span", { class: `sample ${verdict}`, "aria-hidden": "true" }, text);
}
