/** Problem: what went wrong, in the server's terms (RFC 9457) or the network's, with what to do about it. */

const ADVICE = {
  401: ["A key is needed", "This server answers only with an API key. Enter one, then ask again."],
  403: ["Not allowed", "This key may not do that. Use another key."],
  404: ["Not there", "The server does not know this. It may have been deleted."],
  409: ["Still busy", "An answer in this conversation is still being written. Wait for it, or stop it."],
  413: ["Too long", "The question is larger than this server accepts. Shorten it, then ask again."],
  422: ["Not accepted", "The server could not accept the question. Change it, then ask again."],
  429: ["Too many questions", "The server asks for a pause. Wait a moment, then try again."],
  503: ["The server is not ready", "It is starting, or a service it needs is down. Try again in a moment."],
};
const FALLBACK = ["Something went wrong", "The server could not answer. Try again; if it stays, look at its log."];

export class Problem extends Error {
  constructor({ code, title, detail, status = 0 }) {
    super(detail);
    this.name = "Problem";
    this.code = code;
    this.title = title;
    this.detail = detail;
    this.status = status;
  }

  /** Whether the same request may well succeed a little later. */
  get passing() {
    return this.code === "network" || this.status === 429 || this.status >= 500;
  }

  /** The problem that a failed response tells of; a body that is not problem+json is replaced by advice. */
  static async from(response) {
    const [title, detail] = ADVICE[response.status] ?? FALLBACK;
    const told = await response.json().catch(() => ({})); // a proxy's HTML page: the advice stands in
    return new Problem({
      code: told.code ?? `http_${response.status}`,
      title: told.title ?? title,
      detail: typeof told.detail === "string" ? told.detail : detail,
      status: response.status,
    });
  }

  /** The server could not be reached at all. */
  static network() {
    return new Problem({
      code: "network",
      title: "No connection",
      detail: "The server cannot be reached. Check the network and that Footnote is running, then try again.",
    });
  }

  /** The stream broke and could not be taken up again. */
  static connectionLost() {
    return new Problem({
      code: "connection_lost",
      title: "The connection was lost",
      detail: "The answer goes on at the server. Reconnect to see the rest of it.",
    });
  }

  /** A question for a conversation that was deleted. */
  static conversationGone() {
    return new Problem({
      code: "conversation_not_found",
      title: "This conversation was deleted",
      detail: "The server does not have it any more. Try again to begin a new one with this question.",
      status: 404,
    });
  }

  /** Any error as a problem. */
  static of(error) {
    if (error instanceof Problem) return error;
    console.error(error);
    const detail = "Reload the page; nothing was lost.";
    return new Problem({ code: "page_error", title: "The page stumbled", detail });
  }
}
