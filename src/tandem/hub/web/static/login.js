// @ts-check
/** Signing in: by a link whose part behind # never leaves the browser by itself, or by pasting it. */

export function start() {
  const form = /** @type {HTMLFormElement} */ (document.getElementById("login"));
  const input = /** @type {HTMLInputElement} */ (document.getElementById("token"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void signIn(input.value);
  });
  const linked = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  if (linked) void signIn(linked);
  else input.focus();
  return {};
}

/** @param {string} given a token, or the link that ends with one */
async function signIn(given) {
  const says = /** @type {HTMLElement} */ (document.getElementById("login-says"));
  const token = given.trim().split("#").pop();
  says.textContent = "Signing in …";
  const answer = await fetch("/api/v1/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  }).catch(() => undefined);
  if (answer?.ok) {
    location.replace(target());
    return;
  }
  const said = await answer?.json().catch(() => undefined);
  says.className = "fail";
  says.textContent = `▲ ${said?.message ?? "The hub does not answer."} Links are good for a few minutes: make a new one.`;
}

/** Where one wanted to go; only within this hub. */
function target() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  const address = new URL(next, location.origin);
  return address.origin === location.origin ? address.pathname + address.search : "/";
}
