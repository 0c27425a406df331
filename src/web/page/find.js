/**
 * An element that the page must have.
 *
 * @template {Element} T @param {ParentNode} parent @param {string} selector @param {new () => T} type @returns {T}
 */
export function find(parent, selector, type) {
  const element = parent.querySelector(selector);
  if (element instanceof type) return element;
  throw new Error(`the page has no ${selector}`);
}
