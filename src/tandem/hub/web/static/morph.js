// @ts-check
/** Makes one element like another without touching what is the same, so that focus, scroll and open details stay. */

/** What the person and what runs for them, not the server, decide about. */
const OWN = new Set(["open", "value", "checked", "aria-disabled"]);

/** @param {Element} live @param {Element} fresh */
export function morph(live, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (!OWN.has(name) && live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
  for (const { name } of [...live.attributes]) {
    if (!OWN.has(name) && !fresh.hasAttribute(name)) live.removeAttribute(name);
  }
  morphChildren(live, fresh);
}

/** @param {Element} live @param {ParentNode} fresh */
export function morphChildren(live, fresh) {
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

/** @param {Element} one @param {Element} other */
function alike(one, other) {
  const key = (/** @type {Element} */ element) => element.id || element.getAttribute("data-act") || element.getAttribute("data-incident") || "";
  return one.tagName === other.tagName && key(one) === key(other);
}
