// The AI SDK's chat transport, driven as useChat drives it. Usage: node ai-sdk.mjs SCENARIO URL; prints JSON.
import { AbstractChat, DefaultChatTransport, readUIMessageStream } from "ai";

const [scenario, url] = process.argv.slice(2);
const api = `${url}/v1/ai-sdk/chat`;
const transport = new DefaultChatTransport({ api });
const QUESTION = "When does the ferry to Holm Island leave?";

const user = (text) => ({ id: crypto.randomUUID(), role: "user", parts: [{ type: "text", text }] });

function send(chatId, messages, abortSignal) {
  return transport.sendMessages({ chatId, messages, trigger: "submit-message", messageId: undefined, abortSignal });
}

/** Read a stream to its end; `begun` is called when it says something. */
async function read(stream, begun = () => {}) {
  const chunks = [], errors = [];
  const recorded = stream.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        chunks.push(chunk);
        controller.enqueue(chunk);
        if (chunk.type === "text-delta") begun();
      },
    }),
  );
  let message;
  for await (message of readUIMessageStream({ stream: recorded, onError: (error) => errors.push(error.message) }));
  return { message, chunks, errors };
}

/** What useChat keeps, without React. */
class Chat extends AbstractChat {
  constructor(id, through = transport) {
    const state = {
      status: "ready",
      error: undefined,
      messages: [],
      pushMessage(message) { this.messages = [...this.messages, message]; },
      popMessage() { this.messages = this.messages.slice(0, -1); },
      replaceMessage(at, message) { this.messages = this.messages.with(at, message); },
      snapshot: structuredClone,
    };
    super({ id, transport: through, state });
  }
}

/** What a chat shows, and what a reload would show. */
async function shown(chat) {
  const stored = await (await fetch(`${api}/${chat.id}`)).json();
  return { error: chat.error?.message ?? null, messages: chat.messages, stored: stored.messages };
}

const scenarios = {
  async once() {
    return read(await send("once", [user(QUESTION)]));
  },

  async ask() {
    return read(await send("asked", [user(process.argv[4])]));
  },

  async rewrite() {
    const chat = new Chat("rewritten"), seen = {};
    await chat.sendMessage({ text: QUESTION });
    await chat.sendMessage({ text: "And how long does it take?" });
    await chat.regenerate();
    seen.last = await shown(chat);
    await chat.regenerate({ messageId: chat.messages[1].id });
    seen.first = await shown(chat);
    await chat.sendMessage({ text: "How long does the ferry take?" });
    await chat.sendMessage({ text: "How much is a ticket?", messageId: chat.messages[2].id });
    seen.edited = await shown(chat);
    await chat.sendMessage({ text: "What about that one?", messageId: chat.messages[0].id });
    seen.begun = await shown(chat);
    return seen;
  },

  async lastAlone() {
    const prepareSendMessagesRequest = ({ id, messages, trigger, messageId }) => ({
      body: { id, message: messages.at(-1), trigger, messageId },
    });
    const chat = new Chat("last-alone", new DefaultChatTransport({ api, prepareSendMessagesRequest })), seen = {};
    await chat.sendMessage({ text: QUESTION });
    await chat.sendMessage({ text: "And how long does it take?" });
    seen.asked = await shown(chat);
    await chat.regenerate();
    seen.last = await shown(chat);
    await chat.regenerate({ messageId: chat.messages[1].id });
    seen.first = await shown(chat);
    await chat.sendMessage({ text: "How much is a ticket?", messageId: chat.messages[0].id });
    seen.edited = await shown(chat);
    return seen;
  },

  async leaveAndRewrite() {
    const chat = new Chat("left-and-rewritten");
    const left = chat.sendMessage({ text: `${QUESTION} [[tokens=5000]]` });
    while (!chat.messages[1]?.parts.some((part) => part.type === "text")) await new Promise((seen) => setTimeout(seen, 10));
    await chat.stop();
    await left;
    await chat.sendMessage({ text: `${QUESTION} [[tokens=30]]`, messageId: chat.messages[0].id });
    return shown(chat);
  },

  async answer() {
    const chatId = "a-chat-of-the-client";
    const asked = [user(QUESTION)];
    const first = await read(await send(chatId, asked));
    const second = await read(await send(chatId, [...asked, first.message, user("And how long does it take?")]));
    const stored = await (await fetch(`${api}/${chatId}`)).json();
    return { first, second, stored, nothingToResume: await transport.reconnectToStream({ chatId }) };
  },

  async resume() {
    const chatId = "left-and-resumed";
    const left = new AbortController();
    const reader = (await send(chatId, [user(`${QUESTION} [[tokens=60]]`)], left.signal)).getReader();
    let begun;
    do begun = (await reader.read()).value; while (begun.type !== "text-delta");
    left.abort();
    const resumed = await read(await transport.reconnectToStream({ chatId }));
    const stored = await (await fetch(`${api}/${chatId}`)).json();
    return { resumed, stored };
  },

  async stop() {
    const chatId = "stopped";
    const stream = await send(chatId, [user(`${QUESTION} [[tokens=5000]]`)]);
    let reading;
    await new Promise((begun) => { reading = read(stream, begun); });
    const status = (await fetch(`${api}/${chatId}/stop`, { method: "POST" })).status;
    const stopped = await reading;
    return { status, stopped, nothingToResume: await transport.reconnectToStream({ chatId }) };
  },

  async failures() {
    const before = await read(await send("fails-first", [user(`${QUESTION} [[fail-first]]`)]));
    const after = await read(await send("fails-later", [user(`${QUESTION} [[fail-after=30]]`)]));
    const refused = await send("refused", [user("   ")]).catch((error) => error.message);
    return { before, after, refused };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
