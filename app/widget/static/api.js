/** API: the server's endpoints, with the key and with errors as problems. */

import { Problem } from "./problem.js";

export class Api {
  #endpoint;

  /** `endpoint` is the server's address without a trailing slash; `key` a string or null, may change later. */
  constructor(endpoint, key = null) {
    this.#endpoint = endpoint;
    this.key = key;
  }

  /** Send a request and return its successful Response; throws Problem, or AbortError when `signal` fires. */
  async open(method, path, { body, headers = {}, signal } = {}) {
    const sent = { ...headers };
    if (this.key) sent.Authorization = `Bearer ${this.key}`;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    const options = { method, headers: sent, signal, cache: "no-store", credentials: "omit" };
    if (body !== undefined) options.body = JSON.stringify(body);
    let response;
    try {
      response = await fetch(this.#endpoint + path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw Problem.network();
    }
    if (!response.ok) throw await Problem.from(response);
    return response;
  }

  /** Send a request and return its JSON answer, or null when it has no body. */
  async json(method, path, options) {
    const response = await this.open(method, path, options);
    if (response.status === 204) return null;
    try {
      return await response.json();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw Problem.network(); // cut off, or not the server we think it is
    }
  }

  about(signal) {
    return this.json("GET", "/v1/about", { signal });
  }

  async collections(signal) {
    return (await this.json("GET", "/v1/collections", { signal })).collections;
  }

  /** Up to `limit` (at most 200) conversations, the newest first; with `before`, those after that id. */
  async conversations({ limit, before = null }, signal) {
    const query = new URLSearchParams({ limit, ...(before && { before }) });
    return (await this.json("GET", `/v1/conversations?${query}`, { signal })).conversations;
  }

  conversation(id, signal) {
    return this.json("GET", `/v1/conversations/${encodeURIComponent(id)}`, { signal });
  }

  deleteConversation(id) {
    return this.json("DELETE", `/v1/conversations/${encodeURIComponent(id)}`);
  }

  /** The whole text of one version of a document. */
  document(id, versionId, signal) {
    const query = versionId ? `?version=${encodeURIComponent(versionId)}` : "";
    return this.json("GET", `/v1/documents/${encodeURIComponent(id)}${query}`, { signal });
  }

  /** Ask; the response is the new run's event stream. */
  chat(body, signal) {
    return this.open("POST", "/v1/chat", { body, signal, headers: { Accept: "text/event-stream" } });
  }

  /** The events of a run after `lastEventId` (0: all of them), as a stream; status 204 when there are none. */
  runEvents(runId, lastEventId, signal) {
    const headers = { Accept: "text/event-stream" };
    if (lastEventId > 0) headers["Last-Event-ID"] = String(lastEventId);
    return this.open("GET", `/v1/runs/${encodeURIComponent(runId)}/events`, { headers, signal });
  }

  /** Rate an answer `up` or `down`, where wanted with a comment, or with null take the rating back. */
  rate(messageId, rating, comment) {
    const path = `/v1/messages/${encodeURIComponent(messageId)}/feedback`;
    if (!rating) return this.json("DELETE", path);
    return this.json("PUT", path, { body: { rating, ...(comment && { comment }) } });
  }

  cancel(runId) {
    return this.json("POST", `/v1/runs/${encodeURIComponent(runId)}/cancel`);
  }
}
