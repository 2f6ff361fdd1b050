/** Server-sent events: an incremental parser of `text/event-stream` (WHATWG HTML, section 9.2.6). */

export class SseParser {
  /** Milliseconds the server asks to wait before reconnecting (`retry:`), or null. */
  retryMs = null;

  #decoder = new TextDecoder(); // drops a byte order mark, keeps half a character for the next feed
  #line = "";
  #afterCr = false;
  #type = "";
  #data = [];
  #id = "";

  /** Take more bytes (Uint8Array, cut anywhere); return the events they complete, as `{type, data, id}` strings. */
  feed(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    // A CR ends its line at once; an LF right after it belongs to it, even when it comes with the next bytes.
    if (this.#afterCr && text.startsWith("\n")) text = text.slice(1);
    this.#afterCr = text.endsWith("\r");
    const lines = (this.#line + text).split(/\r\n|\r|\n/);
    this.#line = lines.pop();
    return lines.map((line) => this.#take(line)).filter((event) => event !== null);
  }

  /** The stream ended: drop an unfinished event, as the standard says; return whether there was one. */
  flush() {
    const unfinished = this.#decoder.decode() !== "" || this.#line !== "" || this.#data.length > 0;
    this.#line = "";
    this.#afterCr = false;
    this.#type = "";
    this.#data = [];
    return unfinished;
  }

  #take(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null; // a comment: the heartbeat
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    return null;
  }

  #dispatch() {
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = this.#data.length === 0;
    this.#type = "";
    this.#data = [];
    return empty ? null : event;
  }
}
