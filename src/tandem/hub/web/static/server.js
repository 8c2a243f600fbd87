// @ts-check
/** What pages ask of the hub: fragments, actions, and word of what changed. */

import { morphChildren } from "./morph.js";

/** @typedef {{kind: "agent"|"machine"|"incident"|"turn", id: string, data: any}} Change */

/** @type {Promise<{operator: string|null, csrf: string|null}>|undefined} */
let session;

export function currentSession() {
  session ??= fetch("/api/v1/session").then((answer) => answer.json());
  return session;
}

/**
 * Do something as the operator.
 * @param {string} address @param {object} [body] @param {string} [method]
 * @returns {Promise<Response>} whose `ok` was checked; rejects with words for a person
 */
export async function act(address, body = {}, method = "POST") {
  const { operator, csrf } = await currentSession();
  if (!operator) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    throw new Error("Sign in first.");
  }
  const answer = await fetch(address, {
    method,
    headers: { "content-type": "application/json", "x-csrf-token": csrf ?? "" },
    body: JSON.stringify(body),
  });
  if (answer.ok) return answer;
  session = undefined;
  const said = await answer.json().catch(() => ({ message: `the hub answered ${answer.status}` }));
  throw new Error([said.message, said.hint].filter(Boolean).join(" – "));
}

/** Fetch what the server makes of an element's `data-src` now, and show it. @param {HTMLElement} element */
export async function refresh(element) {
  const answer = await fetch(element.dataset.src ?? "").catch(() => undefined);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  const log = element.querySelector("[data-tail]");
  const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  morphChildren(element, fresh);
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
