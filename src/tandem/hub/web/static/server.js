// @ts-check
/** What pages ask of the hub: fragments, actions, and word of what changed. */

import { keepPlace, morphChildren } from "./morph.js";

/** @typedef {{kind: "agent"|"machine"|"incident"|"turn", id: string, data: any}} Change */

/** Where the page keeps the proof that it is the one that signed in; unlike a cookie, no other port of this host gets it. */
const PROOF = "tandem-proof";

/** @param {string} proof */
export function keepProof(proof) {
  localStorage.setItem(PROOF, proof);
}

export function forgetProof() {
  localStorage.removeItem(PROOF);
}

/**
 * Do something as the operator.
 * @param {string} address @param {object} [body] @param {string} [method]
 * @returns {Promise<Response>} whose `ok` was checked; rejects with words for a person
 */
export async function act(address, body = {}, method = "POST") {
  const proof = localStorage.getItem(PROOF);
  if (!proof) {
    const session = await fetch("/api/v1/session").then((now) => now.json()).catch(() => undefined);
    if (session?.operator) throw new Error("This is not the page that signed in. Sign in again – tandem hub open");
    location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    throw new Error("Sign in first.");
  }
  const answer = await fetch(address, {
    method,
    headers: { "content-type": "application/json", "x-csrf-token": proof },
    body: JSON.stringify(body),
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({ message: `the hub answered ${answer.status}` }));
  throw new Error([said.message, said.hint].filter(Boolean).join(" – "));
}

/**
 * Where an element's content comes from now. A list that is held is asked for by its rows: while a person reads, each of
 * them stays where it is, and what is new waits to be called for.
 * @param {HTMLElement} element
 */
function sourceOf(element) {
  const source = element.dataset.src ?? "";
  const list = element.querySelector("[data-held]");
  if (!(list instanceof HTMLElement)) return source;
  const held = new URLSearchParams({ since: list.dataset.held ?? "" });
  for (const row of list.children) held.append("shown", row.getAttribute("data-key") ?? "");
  return `${source}&${held}`;
}

/** Fetch what the server makes of an element's `data-src` now, and show it. @param {HTMLElement} element */
export async function refresh(element) {
  const answer = await fetch(sourceOf(element)).catch(() => undefined);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  const log = element.querySelector("[data-tail]");
  const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  const goBack = keepPlace(element);
  morphChildren(element, fresh);
  goBack();
  if (atEnd) toEnd(element);
  element.dispatchEvent(new CustomEvent("refreshed", { bubbles: true }));
}

/** Logs are read from their end. @param {ParentNode} element */
export function toEnd(element) {
  const log = element.querySelector("[data-tail]");
  if (log) log.scrollTop = log.scrollHeight;
}

/**
 * Listen to the hub; a lost connection is made again, and `onLink` tells how it is.
 * @param {{onLink: (state: "live"|"away") => void, onPicture: (picture: any) => void, onChanges: (changes: Change[]) => void}} ears
 */
export function listen(ears) {
  let wait = 500;
  const open = () => {
    const source = new EventSource("/live");
    source.addEventListener("picture", (event) => {
      wait = 500;
      ears.onLink("live");
      ears.onPicture(JSON.parse(event.data));
    });
    source.addEventListener("change", (event) => ears.onChanges(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      ears.onLink("away");
      // The browser tries again by itself, but gives up for good when it hears an HTTP error.
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 8000);
    });
    addEventListener("pagehide", () => source.close(), { once: true });
  };
  open();
}
