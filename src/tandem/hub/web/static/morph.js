// @ts-check
/** Makes one element like another without touching what is the same, so that focus, scroll and open details stay. */

/** What the person and what runs for them, not the server, decide about. */
const OWN = new Set(["open", "value", "checked", "aria-disabled"]);

/** What tells an element from its neighbours of the same kind, and finds it again after it was made anew. */
const NAMES = ["id", "data-act", "data-key", "href", "name"];

/** @param {Element} live @param {Element} fresh */
export function morph(live, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (!OWN.has(name) && live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
  for (const { name } of [...live.attributes]) {
    // Without the place among what can have focus that keepPlace has given it, it would lose it.
    const held = name === "tabindex" && live === document.activeElement;
    if (!OWN.has(name) && !held && !fresh.hasAttribute(name)) live.removeAttribute(name);
  }
  morphChildren(live, fresh);
}

/** @param {Element} live @param {ParentNode} fresh */
export function morphChildren(live, fresh) {
  if (fresh.firstElementChild && [...fresh.children].every((child) => child.hasAttribute("data-key"))) {
    morphList(live, fresh);
    return;
  }
  const wanted = [...fresh.childNodes];
  wanted.forEach((node, index) => {
    const old = live.childNodes[index];
    if (!old) live.append(node.cloneNode(true));
    else if (old instanceof Element && node instanceof Element && alike(old, node)) morph(old, node);
    else if (old.nodeType !== node.nodeType || old instanceof Element) old.replaceWith(node.cloneNode(true));
    else if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
  });
  while (live.childNodes.length > wanted.length) live.lastChild?.remove();
}

/**
 * Rows keep to what they are about: a new one comes between them, and nobody's finger is on another one than before.
 * @param {Element} live @param {ParentNode} fresh
 */
function morphList(live, fresh) {
  const known = new Map([...live.children].map((row) => [keyOf(row), row]));
  const staying = new Set([...fresh.children].map(keyOf));
  for (const row of [...live.children]) if (!staying.has(keyOf(row))) row.remove();
  let at = live.firstElementChild;
  for (const row of fresh.children) {
    const old = known.get(keyOf(row));
    if (old && old === at) at = at.nextElementSibling;
    else live.insertBefore(old ?? row.cloneNode(true), at);
    if (old) morph(old, row);
  }
}

/** @param {Element} element */
function keyOf(element) {
  return element.id || element.getAttribute("data-act") || element.getAttribute("data-key") || "";
}

/** @param {Element} one @param {Element} other */
function alike(one, other) {
  return one.tagName === other.tagName && keyOf(one) === keyOf(other);
}

/**
 * Note where within an element the person is. The answer gives focus back if it was lost meanwhile with what had it: to
 * the same thing made anew, or to the nearest that is left around it.
 * @param {Element} root @returns {() => void}
 */
export function keepPlace(root) {
  /** @type {Element[]} */
  const steps = [];
  for (let at = document.activeElement; at && root.contains(at) && at !== document.body; at = at.parentElement) steps.push(at);
  return () => {
    const now = document.activeElement;
    // Whoever has gone elsewhere is not called back.
    if (!steps.length || (now && now !== document.body && now !== steps[0])) return;
    for (const step of steps) {
      const heir = step.checkVisibility() ? step : twin(root, step);
      if (heir instanceof HTMLElement && focus(heir)) return;
    }
  };
}

/** @param {Element} root @param {Element} gone */
function twin(root, gone) {
  const name = NAMES.find((one) => gone.getAttribute(one));
  return name ? root.querySelector(`${gone.tagName}[${name}="${CSS.escape(gone.getAttribute(name) ?? "")}"]`) : null;
}

/** @param {HTMLElement} element @returns {boolean} whether it has focus now */
function focus(element) {
  element.focus({ preventScroll: true });
  if (document.activeElement !== element) {
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
  }
  return document.activeElement === element;
}
