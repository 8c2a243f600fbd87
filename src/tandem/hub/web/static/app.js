// @ts-check
/** Every page: live parts, actions, signing out. What only one page does is in its own module. */

import { keepPlace } from "./morph.js";
import { act, forgetProof, listen, refresh, toEnd } from "./server.js";

/** @typedef {import("./server.js").Change} Change */

const page = document.body.dataset.page;
const flash = /** @type {HTMLElement} */ (document.getElementById("flash"));

let fading = 0;

/** @param {string} words @param {"well"|"trouble"} tone */
export function say(words, tone = "well") {
  flash.className = "flash";
  flash.dataset.tone = tone;
  flash.textContent = words;
  flash.hidden = words === "";
  window.clearTimeout(fading);
  if (tone === "well") fading = window.setTimeout(() => (flash.hidden = true), 8000);
}

/** Refresh an element soon, at most once a second however often it is asked. @type {Map<HTMLElement, number>} */
const due = new Map();
/** @param {HTMLElement} element */
export function refreshSoon(element) {
  if (due.has(element)) return;
  due.set(element, window.setTimeout(async () => {
    await refresh(element);
    due.delete(element);
  }, Number(element.dataset.pause ?? 700)));
}

/** @returns {HTMLElement[]} */
const liveParts = () => [...document.querySelectorAll("[data-live]")].filter((part) => part instanceof HTMLElement);

/** @param {Change[]} changes */
function refreshWhatChanged(changes) {
  for (const part of liveParts()) {
    const [kind, id] = (part.dataset.live ?? "").split(/:(.*)/s);
    if (changes.some((change) => change.kind === kind && (!id || change.id === id))) refreshSoon(part);
  }
}

let counting = 0;

/** Soon, and at most once a second however often it is asked. */
function countIncidents() {
  counting ||= window.setTimeout(async () => {
    const answer = await fetch("/api/v1/incident-counts").catch(() => undefined);
    counting = 0;
    const badge = document.getElementById("open-incidents");
    if (!answer?.ok || !badge) return;
    /** @type {{open?: number}} */
    const { open = 0 } = await answer.json();
    badge.hidden = open === 0;
    badge.children[0].textContent = open.toLocaleString("en");
  }, 1000);
}

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  if (!button) return;
  if (button.hasAttribute("data-sign-out")) {
    await fetch(`/api/v1/session${button.dataset.signOut === "everywhere" ? "?everywhere=1" : ""}`, { method: "DELETE" }).catch(() => undefined);
    forgetProof();
    location.assign("/login");
  }
  if (button.dataset.act && button.ariaDisabled !== "true") await perform(button);
});

/**
 * Do what a button is for. It stays focusable meanwhile, and when it is gone afterwards, focus is where it was: whoever uses
 * keys would lose their place.
 * @param {HTMLButtonElement} button
 */
async function perform(button) {
  const note = button.closest("form")?.elements.namedItem("note");
  const body = {
    ...(note instanceof HTMLInputElement && note.value ? { note: note.value } : {}),
    ...(button.dataset.seconds ? { seconds: Number(button.dataset.seconds) } : {}),
  };
  const part = button.closest("[data-src]:not([data-every])");
  const goBack = keepPlace(document.body);
  button.ariaDisabled = "true";
  say(`${button.dataset.doing ?? "Telling the hub"} …`);
  try {
    await act(button.dataset.act ?? "", body);
    say(button.dataset.done ?? "Done.");
    if (note instanceof HTMLInputElement) note.value = "";
    button.closest("details")?.removeAttribute("open");
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), "trouble");
  }
  button.ariaDisabled = null;
  if (part instanceof HTMLElement) await refresh(part);
  goBack();
}

document.addEventListener("submit", (event) => {
  if (event.target instanceof HTMLFormElement && event.target.hasAttribute("data-judge")) event.preventDefault();
});

window.setInterval(() => {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-every]")) if (part instanceof HTMLElement) refresh(part);
}, 3000);

/** @type {Record<string, () => Promise<{onPicture?: (picture: any) => void, onChanges?: (changes: Change[]) => void}>>} */
const pages = {
  house: () => import("./house.js").then((module) => module.start()),
  talk: () => import("./talk.js").then((module) => module.start()),
  login: () => import("./login.js").then((module) => module.start()),
};

const own = (await pages[page ?? ""]?.()) ?? {};
toEnd(document);
if (page !== "login") {
  const link = /** @type {HTMLElement} */ (document.getElementById("link"));
  let wasAway = false;
  listen({
    onLink(state) {
      link.dataset.link = state;
      link.textContent = state === "live" ? "live" : "reconnecting";
      if (state === "live" && wasAway) liveParts().forEach(refreshSoon);
      wasAway = state === "away";
    },
    onPicture(picture) {
      own.onPicture?.(picture);
      countIncidents();
    },
    onChanges(changes) {
      own.onChanges?.(changes);
      refreshWhatChanged(changes);
      if (changes.some((change) => change.kind === "incident")) countIncidents();
    },
  });
}
