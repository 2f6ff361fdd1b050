// AG-UI's HTTP agent. Usage: node ag-ui.mjs SCENARIO URL; prints JSON.
import { HttpAgent, runHttpRequest, transformHttpEventStream } from "@ag-ui/client";

const [scenario, url] = process.argv.slice(2);
const api = `${url}/v1/ag-ui`;
const QUESTION = "When does the ferry to Holm Island leave?";

// The protocol leaves to each server how a client reads a running thread; this is ours.
class Agent extends HttpAgent {
  connect() {
    return transformHttpEventStream(
      runHttpRequest(() => this.fetch(`${api}/${encodeURIComponent(this.threadId)}/stream`, { headers: this.headers })),
    );
  }
}

function agent(threadId, question) {
  const made = new Agent({ url: api, threadId });
  made.addMessage({ id: crypto.randomUUID(), role: "user", content: question });
  return made;
}

/** Read a thread to its end; `begun` is called when it says something. */
async function run(made, { connect = false, begun = () => {} } = {}) {
  const events = [];
  const subscriber = { onEvent: ({ event }) => { events.push(event); }, onTextMessageContentEvent: begun };
  let failure = null;
  try {
    await (connect ? made.connectAgent({}, subscriber) : made.runAgent({}, subscriber));
  } catch (error) {
    failure = error.message;
  }
  return { events, messages: made.messages, failure };
}

const scenarios = {
  async once() {
    return run(agent("once", QUESTION));
  },

  async answer() {
    const made = agent("a-thread-of-the-client", QUESTION);
    const first = await run(made);
    made.addMessage({ id: crypto.randomUUID(), role: "user", content: "And how long does it take?" });
    const second = await run(made);
    return { first, second };
  },

  async ask() {
    return run(agent("asked", process.argv[4]));
  },

  async read() {
    return run(new Agent({ url: api, threadId: process.argv[4] }), { connect: true });
  },

  async resume() {
    const made = agent("left-and-resumed", `${QUESTION} [[tokens=60]]`);
    let left;
    await new Promise((begun) => { left = run(made, { begun }); });
    made.abortRun();
    await left;
    return run(new Agent({ url: api, threadId: "left-and-resumed" }), { connect: true });
  },

  async stop() {
    let running;
    await new Promise((begun) => { running = run(agent("stopped", `${QUESTION} [[tokens=5000]]`), { begun }); });
    const status = (await fetch(`${api}/stopped/stop`, { method: "POST" })).status;
    return { status, ...(await running) };
  },

  async failures() {
    const before = await run(agent("fails-first", `${QUESTION} [[fail-first]]`));
    const after = await run(agent("fails-later", `${QUESTION} [[fail-after=30]]`));
    const refused = await run(agent("refused", "   "));
    return { before, after, refused };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
