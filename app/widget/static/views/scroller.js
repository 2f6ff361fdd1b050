/** Scroller: keeps the newest words in sight, but only for a reader who is there already. */

const NEAR_PX = 48;

export class Scroller {
  #element;
  #following = true;
  #onFollow;

  /** `onFollow(following)` is called when the reader leaves the end or returns to it. */
  constructor(element, onFollow, signal) {
    this.#element = element;
    this.#onFollow = onFollow;
    element.addEventListener("scroll", () => this.#scrolled(), { passive: true, signal });
  }

  /** After the content changed: stay at the end, if the reader was there. */
  settle() {
    if (this.#following) this.#element.scrollTop = this.#element.scrollHeight;
    this.#scrolled();
  }

  /** There is nothing to follow: what is there begins at its beginning. */
  rest() {
    this.#following = true;
    this.#onFollow(true);
  }

  /** Go to the end and follow it again. */
  toEnd() {
    this.#element.scrollTop = this.#element.scrollHeight;
    this.#scrolled();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#element;
    const following = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (following === this.#following) return;
    this.#following = following;
    this.#onFollow(following);
  }
}
