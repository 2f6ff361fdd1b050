/** Places: where the footnotes and passages of an answer stand in their documents, for the passage dialog. */

import { footnotes } from "../transcript.js";

/** The answer's footnotes as places, and the position of footnote `index` among them (-1: it points nowhere). */
export function footnotePlaces(answer, index) {
  const notes = footnotes(answer).filter((note) => note.passage);
  const places = notes.map((note) => ({
    label: `Footnote ${note.index}${note.verdict === "partial" ? " · supports in part" : ""}`,
    passage: note.passage,
    start: note.char_start,
    end: note.char_end,
    quote: note.quote,
  }));
  return { places, position: notes.findIndex((note) => note.index === index) };
}

/** The answer's passages as places, and the position of the passage with `id` among them. */
export function passagePlaces(answer, id) {
  const places = answer.passages.map((passage) => ({
    label: "Nearest passage",
    passage,
    start: passage.char_start,
    end: passage.char_end,
    quote: passage.text,
  }));
  return { places, position: answer.passages.findIndex((passage) => passage.id === id) };
}
