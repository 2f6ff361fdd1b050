// OpenAI's npm package. Usage: node openai.mjs URL; prints JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "any", maxRetries: 0 });
const model = "footnote";
const QUESTION = "When does the ferry to Holm Island leave?";
const ask = (question) => ({ model, messages: [{ role: "user", content: question }] });
const failure = (error) => ({ kind: error.constructor.name, status: error.status ?? null, code: error.code, message: error.message });

const result = { models: [] };
for await (const found of client.models.list()) result.models.push(found.id);

const stream = client.chat.completions.stream({ ...ask(QUESTION), stream_options: { include_usage: true } });
result.pieces = 0;
stream.on("content", () => { result.pieces += 1; });
result.streamed = await stream.finalChatCompletion();
result.whole = await client.chat.completions.create(ask(QUESTION));
result.again = await client.chat.completions.retrieve(result.streamed.id);

result.failed = [];
for (const directive of ["[[fail-first]]", "[[fail-after=30]]"]) {
  await client.chat.completions.create(ask(`${QUESTION} ${directive}`)).catch((error) => result.failed.push(failure(error)));
  try {
    for await (const _ of await client.chat.completions.create({ ...ask(`${QUESTION} ${directive}`), stream: true }));
  } catch (error) {
    result.failed.push(failure(error));
  }
}

const responses = client.responses.stream({ model, input: QUESTION });
const numbers = [];
for await (const event of responses) numbers.push(event.sequence_number);
result.response = await responses.finalResponse();
const rest = await client.responses.retrieve(result.response.id, { stream: true, starting_after: numbers[4] });
result.resumed = [];
for await (const event of rest) result.resumed.push(event.sequence_number);
result.expected = numbers.slice(5);
const begun = await client.responses.create({ model, input: `${QUESTION} [[tokens=5000]]`, background: true });
result.cancelled = (await client.responses.cancel(begun.id)).status;

const embedding = await client.embeddings.create({ model: "footnote-embedder", input: ["The ferry leaves."] });
result.dimensions = embedding.data[0].embedding.length;
console.log(JSON.stringify(result));
