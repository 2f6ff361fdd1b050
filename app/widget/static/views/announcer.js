/** Announcer: tells screen readers where the last answer stands, and its whole text once it ended. */

import { renderProse } from "../prose.js";
import { footnotes, sentenceMarks } from "../transcript.js";

const BLOCKS = "p, h3, h4, h5, h6, pre, tr";

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
  return `Answer: ${shown(answer)} ${notes}`;
}

/** The answer's words as they are shown, without the numbers of its footnotes, a line for each block. */
function shown(answer) {
  const prose = renderProse(answer.text, sentenceMarks(answer), { nameOf: () => "" });
  for (const marker of prose.querySelectorAll(".marker")) marker.remove();
  for (const cell of prose.querySelectorAll("th + th, td + td")) cell.prepend(", ");
  for (const end of prose.querySelectorAll("br")) end.replaceWith("\n");
  return [...prose.querySelectorAll(BLOCKS)].map((block) => block.textContent.trim()).join("\n");
}
