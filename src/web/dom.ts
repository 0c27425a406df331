/** Finds an element that index.html declares. @throws TypeError if it does not */
export function find<T extends Element>(root: ParentNode, selector: string, type: abstract new () => T): T {
  const element = root.querySelector(selector);
  if (!(element instanceof type)) throw new TypeError(`The page has no ${selector}.`);
  return element;
}

/** Creates an element with properties and children. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]> = {},
  children: readonly (Node | string)[] = [],
): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * Milliseconds for which messages are collected: of two quick changes of a live region, only one is
 * read out.
 */
const ANNOUNCEMENT_DELAY_MS = 150;

/** Messages that are read out together. The message that ends many uploads states their number. */
const MAX_ANNOUNCEMENTS = 3;

let announcements: string[] = [];

/** Announces a message to users of screen readers. */
export function announce(message: string): void {
  announcements.push(message);
  if (announcements.length > 1) return;
  setTimeout(() => {
    find(document, "#status", HTMLElement).textContent = announcements.slice(-MAX_ANNOUNCEMENTS).join(". ");
    announcements = [];
  }, ANNOUNCEMENT_DELAY_MS);
}
