/** Chat: the state of one widget, and everything that changes it. */

import { Problem } from "./problem.js";
import { RunStream } from "./run-stream.js";
import { Surroundings } from "./surroundings.js";
import { applyEvent, isFinal, newAnswer, storedTurns } from "./transcript.js";

// A stopped run's last event comes at once; if it does not, the stream is dead and the stored answer is shown.
const STOP_GRACE_MS = 3_000;
let turnCount = 0;

/** Fires `change` after every change of its fields, `key` when the server asks for an API key. */
export class Chat extends EventTarget {
  conversationId = null;
  turns = []; // {id, question, answer, pause, problem, stopping, notStopped, rating, comment, notRated}
  opening = false; // a stored conversation is on its way
  problem = null; // why it did not come

  #api;
  #remembered;
  #keys;
  #collection;
  #reading = null; // AbortController of the stream that is being read
  #life = new AbortController();

  /**
   * `collection` narrows every question (null: all documents). `remembered` and `keys`, where an API key is kept, live
   * as long as the tab.
   */
  constructor(api, { remembered, keys }, collection = null) {
    super();
    this.#api = api;
    this.#remembered = remembered;
    this.#keys = keys;
    this.#collection = collection;
    this.surroundings = new Surroundings(api, this.#life.signal);
    this.surroundings.addEventListener("change", () => this.#changed());
    this.surroundings.addEventListener("key", () => this.#needKey());
  }

  /** The turn whose answer is being written, or null: the last one, or an earlier one that is asked again. */
  get writing() {
    return this.turns.find((turn) => !turn.problem && !isFinal(turn.answer)) ?? null;
  }

  /** Whether an answer is being written. */
  get busy() {
    return this.writing !== null;
  }

  /** Whether a key is sent, be it a good one. */
  get hasKey() {
    return Boolean(this.#api.key);
  }

  /** The collection asked, or null for all. */
  get collection() {
    return this.#collection;
  }

  set collection(name) {
    this.#collection = name;
    this.#changed();
  }

  /** Fetch what the page shows around the answers, and take up the conversation this tab was in. */
  async start() {
    const known = this.#remembered.get("conversation");
    await Promise.all([this.surroundings.load(), known ? this.open(known) : null]);
  }

  /** Stop reading and fetching; runs go on at the server. */
  close() {
    this.#life.abort();
    this.#reading?.abort();
  }

  /** Ask a question; does nothing while an answer is being written. */
  async ask(question) {
    if (this.busy || this.opening) return;
    const turn = newTurn(question, newAnswer());
    this.turns.push(turn);
    await this.#send(turn);
  }

  /** Ask a turn's question again: in its place if the server never took it, else as a new turn. */
  async retry(turn) {
    if (this.busy) return;
    if (turn.answer.runId) return this.ask(turn.question);
    Object.assign(turn, { problem: null, stopping: false, notStopped: null });
    await this.#send(turn);
  }

  /** Take a question that the server never took out of the transcript, to edit it. */
  withdraw(turn) {
    this.turns = this.turns.filter((other) => other !== turn);
    this.#remembered.set("question", null);
    this.#changed();
  }

  /** Go on reading a running answer after its connection was given up. */
  async resume(turn) {
    Object.assign(turn, { problem: null, stopping: false, notStopped: null });
    const { runId, lastEventId } = turn.answer;
    await this.#read(turn, { runId, lastEventId });
  }

  /** Say whether an answer is good, `up` or `down`; saying the same again takes it back. Throws Problem. */
  async rate(turn, rating) {
    await this.#keepRating(turn, turn.rating === rating ? null : rating, null);
  }

  /** Say what is wrong with an answer that was rated bad. Throws Problem. */
  async comment(turn, comment) {
    await this.#keepRating(turn, turn.rating, comment);
  }

  async #keepRating(turn, rating, comment) {
    const before = { rating: turn.rating, comment: turn.comment };
    // what was written stays in its field until it is kept
    Object.assign(turn, { rating, comment: comment === null ? null : turn.comment, notRated: null });
    this.#changed();
    try {
      await this.#api.rate(turn.answer.messageId, rating, comment);
    } catch (error) {
      Object.assign(turn, before, { notRated: Problem.of(error) });
      this.#changed();
      throw turn.notRated;
    }
    turn.comment = comment;
    this.#changed();
  }

  /** Stop the running answer; what was written stays. */
  async stop() {
    const turn = this.writing;
    if (!turn || turn.stopping) return;
    turn.stopping = true;
    turn.notStopped = null;
    this.#changed();
    if (turn.answer.runId) await this.#cancel(turn); // else as soon as the run's id is known
  }

  /** Begin a new conversation. */
  fresh() {
    this.#show(null, []);
  }

  /** Show a stored conversation, and go on reading its answer if it is still being written. */
  async open(id) {
    this.#show(id, []);
    this.opening = true;
    this.#changed();
    try {
      const stored = await this.#api.conversation(id, this.#life.signal);
      if (this.conversationId !== id) return; // another one was opened meanwhile
      const turns = storedTurns(stored.messages);
      this.turns = turns.map(({ question, answer, ...said }) => newTurn(question, answer ?? unanswered(), said));
    } catch (error) {
      if (error.name === "AbortError" || this.conversationId !== id) return;
      this.#openFailed(Problem.of(error));
    } finally {
      if (this.conversationId === id || this.conversationId === null) this.opening = false;
      this.#changed();
    }
    await this.#readOn();
  }

  /** Show what was asked in this conversation elsewhere, in another tab for one. */
  async catchUp() {
    const id = this.conversationId;
    if (!id || this.busy || this.opening) return;
    const stored = await this.#api.conversation(id, this.#life.signal);
    if (this.conversationId !== id || this.busy || this.opening) return;
    const shown = new Set(this.turns.map(({ answer }) => answer.runId));
    const others = storedTurns(stored.messages).filter(({ answer }) => answer && !shown.has(answer.runId));
    if (!others.length) return;
    this.turns.push(...others.map(({ question, answer, ...said }) => newTurn(question, answer, said)));
    this.#changed();
    await this.#readOn();
  }

  /** Read the answer that is being written, if one is; its stored text may lag behind its events: all of them again. */
  async #readOn() {
    const turn = this.writing;
    if (turn) await this.#read(turn, { runId: turn.answer.runId }, { ...newAnswer(), runId: turn.answer.runId });
  }

  /** Delete a conversation for good. */
  async remove(id) {
    try {
      await this.#api.deleteConversation(id);
    } catch (error) {
      if (Problem.of(error).status !== 404) throw error;
    }
    if (this.conversationId === id) this.fresh();
    await this.surroundings.loadConversations();
  }

  /** Use another API key and fetch again what was refused. */
  async useKey(key) {
    this.#api.key = key;
    this.#keys.set("key", key);
    const last = this.turns.at(-1);
    await Promise.all([
      this.surroundings.load(),
      this.problem?.status === 401 ? this.open(this.#remembered.get("conversation")) : null,
      last?.problem?.status === 401 ? (last.answer.runId ? this.resume(last) : this.retry(last)) : null,
    ]);
  }

  /** The question that was on its way when the page was last left, or null. */
  takeLostQuestion() {
    const question = this.#remembered.get("question");
    this.#remembered.set("question", null);
    return question;
  }

  async #send(turn) {
    this.#remembered.set("question", turn.question);
    const request = { message: turn.question };
    if (this.conversationId) request.conversation_id = this.conversationId;
    if (this.#collection) request.collection = this.#collection;
    await this.#read(turn, { request });
  }

  async #read(turn, source, answer = turn.answer) {
    const reading = new AbortController();
    this.#reading = reading;
    turn.answer = answer;
    this.#changed();
    const onPause = (pause) => {
      turn.pause = pause;
      this.#changed();
    };
    try {
      const stream = new RunStream(this.#api, { ...source, onPause });
      for await (const event of stream.events(reading.signal)) this.#apply(turn, event);
      if (!isFinal(turn.answer)) await this.#reread(turn);
    } catch (error) {
      if (error.name === "AbortError") return;
      turn.problem = Problem.of(error);
      if (turn.problem.status === 401) this.#needKey();
      if (turn.problem.code === "conversation_not_found" && source.request) this.#beginAnew(turn);
    } finally {
      turn.pause = null;
      this.#changed();
    }
    await this.surroundings.loadConversations();
  }

  #apply(turn, event) {
    turn.answer = applyEvent(turn.answer, event);
    if (event.type === "run.started") {
      this.conversationId = event.data.conversation_id;
      this.#remembered.set("conversation", this.conversationId);
      this.#remembered.set("question", null); // the server has it now
      this.surroundings.loadConversations();
      if (turn.stopping) this.#cancel(turn);
    }
    this.#changed();
  }

  /** The stream had nothing more, yet no end was seen: what is stored is the truth. */
  async #reread(turn) {
    const stored = await this.#api.conversation(this.conversationId, this.#life.signal);
    const found = storedTurns(stored.messages).find(({ answer }) => answer?.messageId === turn.answer.messageId);
    if (!found || !isFinal(found.answer)) throw Problem.connectionLost();
    turn.answer = found.answer;
  }

  async #cancel(turn) {
    const reading = this.#reading;
    try {
      await this.#api.cancel(turn.answer.runId);
    } catch (error) {
      turn.stopping = false;
      turn.notStopped = Problem.of(error);
      if (turn.notStopped.status === 401) this.#needKey();
      return this.#changed();
    }
    setTimeout(() => this.#settleStopped(turn, reading), STOP_GRACE_MS);
  }

  async #settleStopped(turn, reading) {
    if (isFinal(turn.answer) || this.#life.signal.aborted) return;
    reading.abort();
    try {
      await this.#reread(turn);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      turn.answer = { ...turn.answer, state: "cancelled" };
    }
    this.#changed();
  }

  #show(id, turns) {
    this.#reading?.abort();
    this.#reading = null;
    this.conversationId = id;
    this.turns = turns;
    this.problem = null;
    this.opening = false;
    this.#remembered.set("conversation", id);
    this.#remembered.set("question", null);
    this.#changed();
  }

  /** The conversation was deleted elsewhere: the question begins a new one when it is asked again. */
  #beginAnew(turn) {
    this.conversationId = null;
    this.turns = [turn];
    this.#remembered.set("conversation", null);
    turn.problem = Problem.conversationGone();
  }

  #openFailed(problem) {
    // Deleted elsewhere, or kept from the reader by a server in between.
    if (problem.status === 404 || problem.status === 403) return this.fresh();
    this.problem = problem;
    if (problem.status === 401) this.#needKey();
  }

  #needKey() {
    this.dispatchEvent(new Event("key"));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function newTurn(question, answer, said = {}) {
  turnCount += 1;
  const nothing = { pause: null, problem: null, stopping: false, notStopped: null };
  return { id: turnCount, question, answer, ...nothing, rating: null, comment: null, notRated: null, ...said };
}

/** A question whose answer was never stored. */
function unanswered() {
  const problem = { code: "no_answer", title: "No answer", detail: "This question was not answered. Ask it again." };
  return { ...newAnswer(), passages: [], state: "failed", problem };
}
