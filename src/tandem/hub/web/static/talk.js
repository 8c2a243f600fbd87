// @ts-check
/** A conversation: the answer as it is made, then where its time went. */

import { act, refresh } from "./server.js";

/** @typedef {{text?: string, turn?: string, intent?: string, total_s?: string, error?: string}} Piece */

const session = `web-${crypto.randomUUID().slice(0, 8)}`;

export function start() {
  const form = document.getElementById("ask");
  const input = document.getElementById("question");
  if (!(form instanceof HTMLFormElement && input instanceof HTMLInputElement)) return {};
  input.focus();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = input.value.trim();
    const button = form.querySelector("button");
    if (!question || button?.disabled) return;
    input.value = "";
    if (button) button.disabled = true;
    await ask(question);
    if (button) button.disabled = false;
    input.focus();
  });
  return {};
}

/** @param {string} name @param {string} [words] @param {string} [tag] */
function make(name, words = "", tag = "p") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = words;
  return element;
}

/** @param {string} question */
async function ask(question) {
  const exchange = make("exchange", "", "section");
  const answer = make("a waiting");
  exchange.append(make("q", question), answer);
  document.getElementById("exchanges")?.append(exchange);
  exchange.scrollIntoView({ block: "nearest" });
  try {
    const response = await act("/talk", { question, session });
    for await (const piece of pieces(response)) take(piece, exchange, answer);
  } catch (error) {
    take({ error: error instanceof Error ? error.message : String(error) }, exchange, answer);
  }
  answer.classList.remove("waiting");
}

/** @param {Piece} piece @param {HTMLElement} exchange @param {HTMLElement} answer */
function take(piece, exchange, answer) {
  if (piece.text) answer.textContent = piece.text;
  if (piece.error) {
    answer.classList.remove("waiting");
    exchange.append(make("after fail", `▲ ${piece.error}`));
  }
  if (piece.turn === undefined) return;
  answer.classList.remove("waiting");
  const after = make("after");
  after.append(make("", [piece.intent, piece.total_s].filter(Boolean).join(", "), "span"));
  exchange.append(after);
  if (piece.turn) showFall(piece.turn, exchange, after);
}

/** @param {string} turn @param {HTMLElement} exchange @param {HTMLElement} after */
function showFall(turn, exchange, after) {
  const address = `/turns/${encodeURIComponent(turn)}`;
  const link = document.createElement("a");
  link.href = address;
  link.textContent = "the turn by itself";
  after.append(link);
  const fall = make("below", "", "div");
  fall.dataset.live = `turn:${turn}`;
  fall.dataset.src = `${address}?part=waterfall`;
  exchange.append(fall);
  // The last hops are told a moment after the answer; then the page hears of the turn and refreshes this.
  void refresh(fall);
}

/** JSON lines. @param {Response} response @returns {AsyncGenerator<Piece>} */
async function* pieces(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    held += decoder.decode(value, { stream: !done });
    const lines = held.split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) if (line) yield JSON.parse(line);
    if (done) return;
  }
}
