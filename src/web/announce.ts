import { find } from "./find.ts";

/** Milliseconds for which messages are gathered: a live region that changes twice in a moment is read once. */
const PAUSE = 150;

let waiting: string[] = [];

/** Tells something to who listens to the page instead of looking at it. */
export function announce(message: string): void {
  waiting.push(message);
  if (waiting.length > 1) return;
  setTimeout(() => {
    // many files at once are told by their number, in the message that ends them
    find(document, "#status", HTMLElement).textContent = waiting.slice(-3).join(". ");
    waiting = [];
  }, PAUSE);
}
