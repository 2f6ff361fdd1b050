/** Announcer: tells screen readers where the last answer stands, and its whole text once it ended. */

import { footnotes, isFinal } from "../transcript.js";

export class Announcer {
  #say;
  #told = { turn: null, standing: null };

  /** `say(text)` has a screen reader say something when it is free to. */
  constructor(say) {
    this.#say = say;
  }

  /** Tell what changed since the last call; an answer that was there from the beginning is not read out. */
  update(turn) {
    const standing = turn.pause ? "paused" : turn.answer.state;
    const first = this.#told.turn !== turn.id;
    if (!first && this.#told.standing === standing) return;
    this.#told = { turn: turn.id, standing };
    if (standing === "paused") this.#say("Connection lost, reconnecting");
    else if (standing === "running") this.#say(first ? "Searching the documents" : "Reconnected");
    else if (!first) this.#say(spoken(turn.answer));
  }
}

function spoken(answer) {
  if (answer.state === "cancelled") return "Answer stopped";
  if (answer.state === "failed") return ""; // the notice is an alert and speaks for itself
  const count = footnotes(answer).length;
  const notes = count === 1 ? "One footnote." : `${count || "No"} footnotes.`;
  return `Answer: ${answer.text} ${notes}`;
}
