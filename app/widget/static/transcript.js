/** Transcript: answers as the run's events make them, and turns as a stored conversation tells them. All pure. */

import { CodePoints } from "./code-points.js";

const FINAL = new Set(["completed", "cancelled", "failed"]);

/** An answer of which nothing is known yet. */
export function newAnswer() {
  return {
    runId: null,
    messageId: null,
    lastEventId: 0,
    text: "",
    passages: null, // null until the documents were searched
    position: null, // in the queue, for one that waits for its turn
    citations: [],
    state: "running",
    finishReason: null,
    problem: null,
  };
}

/** Whether nothing more will come. */
export function isFinal(answer) {
  return FINAL.has(answer.state);
}

/** The answer after one more event; types it does not know change nothing but the last event's id. */
export function applyEvent(answer, { id, type, data }) {
  const change = CHANGES[type]?.(answer, data) ?? {};
  return { ...answer, ...change, lastEventId: id };
}

const CHANGES = {
  "run.started": (_, data) => ({ runId: data.run_id, messageId: data.message_id }),
  "run.queued": (_, data) => ({ position: data.position }),
  "retrieval.completed": (_, data) => ({ passages: data.passages, position: null }),
  "text.delta": (answer, data) => ({ text: answer.text + data.text }),
  "text.rewind": (answer, data) => ({
    text: new CodePoints(answer.text).slice(0, data.to),
    citations: answer.citations.filter((citation) => citation.sentence_end <= data.to),
  }),
  citation: (answer, data) => ({ citations: [...answer.citations, data] }),
  "run.completed": (_, data) => ({ state: "completed", finishReason: data.finish_reason }),
  "run.cancelled": () => ({ state: "cancelled" }),
  "run.failed": (_, data) => ({ state: "failed", problem: data.problem }),
};

/** The answer of a stored assistant message. */
export function storedAnswer(message) {
  return {
    ...newAnswer(),
    runId: message.run_id,
    messageId: message.id,
    text: message.text,
    passages: message.passages ?? [],
    citations: message.citations ?? [],
    state: message.state ?? "completed",
    finishReason: message.finish_reason,
    problem: message.problem,
  };
}

/** Question and answer pairs of a stored conversation, as `{question, answer, rating, comment}`, oldest first. */
export function storedTurns(messages) {
  const turns = [];
  for (const message of messages) {
    if (message.role === "user") turns.push({ question: message.text, answer: null });
    else if (turns.length) {
      const { rating = null, comment = null } = message;
      Object.assign(turns.at(-1), { answer: storedAnswer(message), rating, comment });
    }
  }
  return turns;
}

/**
 * The answer's cited sentences as `{start, end, index, verdict}` in UTF-16 offsets, by their ends. White space around
 * a sentence is left out, so that its marker stands right after its last word.
 */
export function sentenceMarks(answer) {
  const points = new CodePoints(answer.text);
  const marks = answer.citations.map((citation) => {
    const start = points.unitOffset(citation.sentence_start);
    const sentence = answer.text.slice(start, points.unitOffset(citation.sentence_end));
    return {
      start: start + sentence.length - sentence.trimStart().length,
      end: start + sentence.trimEnd().length,
      index: citation.index,
      verdict: citation.verdict,
    };
  });
  return marks.filter((mark) => mark.end > mark.start).sort((a, b) => a.end - b.end);
}

/** The answer's footnotes by number, each with the passage it points into. */
export function footnotes(answer) {
  const passages = new Map((answer.passages ?? []).map((passage) => [passage.id, passage]));
  const byIndex = new Map();
  for (const citation of answer.citations) {
    if (citation.index < 1) continue;
    const known = byIndex.get(citation.index);
    if (known) known.verdict = citation.verdict === "supported" ? "supported" : known.verdict;
    else byIndex.set(citation.index, { ...citation, passage: passages.get(citation.passage_id) ?? null });
  }
  return [...byIndex.values()].sort((a, b) => a.index - b.index);
}

/** The answer as plain text with `[n]` after each footnoted sentence and the notes below. */
export function answerAsText(answer) {
  let text = "";
  let from = 0;
  for (const mark of sentenceMarks(answer)) {
    text += answer.text.slice(from, Math.max(mark.end, from)) + (mark.index > 0 ? ` [${mark.index}]` : "");
    from = Math.max(mark.end, from);
  }
  text += answer.text.slice(from);
  const notes = footnotes(answer).map((note) => `[${note.index}] ${noteSource(note)}: “${oneLine(note.quote)}”`);
  return notes.length ? `${text.trimEnd()}\n\n${notes.join("\n")}\n` : text;
}

/** Where a footnote points, in words: title, headings, page. */
export function noteSource({ passage }) {
  if (!passage) return "A document";
  const place = notePlace(passage);
  return place ? `${passage.title}, ${place}` : passage.title;
}

/** The headings and page of a passage, or "". A first heading that only repeats the title is left out. */
export function notePlace(passage) {
  const headings = passage.heading_path.filter((heading, level) => level > 0 || heading !== passage.title);
  const page = passage.page ? [`page ${passage.page}`] : [];
  return [...headings, ...page].join(" › ");
}

function oneLine(text) {
  return text.replace(/\s+/g, " ").trim();
}
