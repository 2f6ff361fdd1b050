/** Run stream: the events of one run, in order and once each, through every lost connection. */

import { Problem } from "./problem.js";
import { SseParser } from "./sse.js";

const TERMINAL = new Set(["run.completed", "run.cancelled", "run.failed"]);
const MAX_FAILURES = 8; // in a row; with the pauses below about 40 s
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;
// The server sends a heartbeat every 15 s; three missed ones mean a connection that died without saying so.
const SILENCE_MS = 45_000;

export class RunStream {
  #api;
  #request;
  #onPause;

  /**
   * `request` starts a run (the body of `POST /v1/chat`); or `runId` and `lastEventId` continue one.
   * `onPause({attempt, until})` tells of each pause before reconnecting (`until` in ms since the epoch), and
   * `onPause(null)` that events flow again.
   */
  constructor(api, { request = null, runId = null, lastEventId = 0, onPause = () => {} }) {
    this.#api = api;
    this.#request = request;
    this.#onPause = onPause;
    this.runId = runId;
    this.lastEventId = lastEventId;
    this.retryMs = null; // what the server asked for, in ms
  }

  /**
   * Yield `{id, type, data}` until the run's last event. Ends early, without one, when the server has nothing more.
   * Throws Problem (refused, or given up) or AbortError.
   */
  async *events(signal) {
    let response = this.#request ? await this.#api.chat(this.#request, signal) : null;
    for (let failures = 0; ; ) {
      const before = this.lastEventId;
      try {
        // Known before the first event: a stream that breaks at once can be taken up too.
        this.runId ??= response?.headers.get("X-Run-Id") ?? null;
        response ??= await this.#api.runEvents(this.runId, this.lastEventId, signal);
        if (response.status === 204) return;
        this.#onPause(null);
        for await (const event of this.#read(response, signal)) {
          yield event;
          if (TERMINAL.has(event.type)) return;
        }
      } catch (error) {
        if (!(error instanceof Problem && error.passing)) throw error;
      }
      response = null;
      failures = this.lastEventId > before ? 1 : failures + 1;
      if (!this.runId) throw Problem.network(); // nothing to take up again: the run's id never came
      if (failures > MAX_FAILURES) throw Problem.connectionLost();
      await this.#pause(failures, signal);
    }
  }

  async *#read(response, signal) {
    const parser = new SseParser();
    const reader = response.body.getReader();
    try {
      for (;;) {
        const chunk = await readWithin(reader, SILENCE_MS, signal);
        if (chunk.done) return;
        for (const event of parser.feed(chunk.value)) {
          const id = Number(event.id);
          if (id <= this.lastEventId) continue; // seen before the connection was lost
          const data = JSON.parse(event.data);
          if (event.type === "run.started") this.runId = data.run_id;
          this.lastEventId = id;
          yield { id, type: event.type, data };
        }
        this.retryMs = parser.retryMs ?? this.retryMs;
      }
    } finally {
      reader.cancel().catch(() => {}); // already broken: there is nothing left to release
    }
  }

  async #pause(failures, signal) {
    const backoff = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
    const asked = failures === 1 ? (this.retryMs ?? backoff) : backoff;
    const pause = asked * (0.75 + Math.random() / 4); // spread, so that a restarted server is not met by all at once
    this.#onPause({ attempt: failures, until: Date.now() + pause });
    await sleep(pause, signal);
  }
}

/** Read the next bytes; throws a network Problem when the connection broke or was silent for `limitMs`. */
async function readWithin(reader, limitMs, signal) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(Problem.network()), limitMs);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof Problem ? error : Problem.network();
  } finally {
    clearTimeout(timer);
  }
}

/** Wait, or less when the network comes back; throws AbortError when `signal` fires. */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    const finish = (settle) => () => {
      clearTimeout(timer);
      done.abort();
      settle();
    };
    const timer = setTimeout(finish(resolve), ms);
    addEventListener("online", finish(resolve), { signal: done.signal });
    signal.addEventListener("abort", finish(() => reject(signal.reason)), { signal: done.signal });
  });
}
