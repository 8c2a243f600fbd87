// @ts-check
/** Signing in: by a link whose part behind # never leaves the browser by itself, or by pasting it. */

import { forgetProof, keepProof } from "./server.js";

export function start() {
  // Whoever is signed in finds no form, and may still come with a new link.
  const form = document.getElementById("login");
  const input = /** @type {HTMLInputElement|null} */ (document.getElementById("token"));
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    void signIn(input?.value ?? "");
  });
  const linked = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  if (linked) void signIn(linked);
  else input?.focus();
  return {};
}

/** @param {string} given a code, or the link that ends with one */
async function signIn(given) {
  const says = /** @type {HTMLElement} */ (document.getElementById("login-says"));
  const code = given.trim().split("#").pop();
  says.textContent = "Signing in …";
  const answer = await fetch("/api/v1/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
  }).catch(() => undefined);
  const said = await answer?.json().catch(() => undefined);
  const fail = (/** @type {string} */ words) => {
    says.className = "fail";
    says.textContent = `▲ ${words}`;
  };
  if (!answer?.ok) {
    fail(`${said?.message ?? "The hub does not answer."} A link is good once and for two minutes: make a new one.`);
    return;
  }
  keepProof(said.csrf);
  const kept = await fetch("/api/v1/session").then((now) => now.json()).catch(() => undefined);
  if (kept?.operator) {
    location.replace(target());
    return;
  }
  forgetProof();
  fail("This browser keeps no secure cookies of localhost, as Safari does. Chrome, Edge and Firefox do.");
}

/** Where one wanted to go; only within this hub. */
function target() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  const address = new URL(next, location.origin);
  return address.origin === location.origin ? address.pathname + address.search : "/";
}
