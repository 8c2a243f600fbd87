// @ts-check
/** The house: agents change as the fleet does, wires show who leans on whom, a turn lights its path. */

import { refresh, toEnd } from "./server.js";

/** @typedef {import("./server.js").Change} Change */
/** @typedef {{name: string, machine: string, state: string, verdict: string, required?: boolean}} Agent */

const MOST_WIRES = 400;
const LIT_MS = 6000;
const STEP_MS = 90;
const SVG = "http://www.w3.org/2000/svg";

const part = /** @type {HTMLElement} */ (document.getElementById("house-part"));
const panel = /** @type {HTMLElement} */ (document.getElementById("panel"));
const floor = /** @type {HTMLElement} */ (document.getElementById("floor"));
const house = () => /** @type {HTMLElement} */ (document.getElementById("house"));

/** @type {Map<string, HTMLElement>} */
let links = new Map();
/** @type {Record<string, string[]>} */
let needs = {};
/** @type {string|undefined} */
let chosen;
/** Wires by `from to`, drawn or lit. @type {Map<string, SVGPathElement>} */
let wires = new Map();

export function start() {
  gather();
  addEventListener("resize", draw);
  document.fonts?.ready.then(draw);
  part.addEventListener("refreshed", gather);
  part.addEventListener("pointerover", (event) => point(agentOf(event.target)));
  part.addEventListener("pointerleave", () => point(undefined));
  part.addEventListener("focusin", (event) => point(agentOf(event.target)));
  part.addEventListener("focusout", () => point(undefined));
  part.addEventListener("click", choose);
  part.addEventListener("input", find);
  panel.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest(".close")) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen) close();
  });
  return { onPicture, onChanges };
}

function gather() {
  links = new Map([...part.querySelectorAll("a.agent")].map((link) => {
    const element = /** @type {HTMLElement} */ (link);
    return [element.dataset.agent ?? "", element];
  }));
  needs = JSON.parse(house().dataset.needs ?? "{}");
  mark();
  find();
}

/** @param {EventTarget|null} target */
function agentOf(target) {
  const link = target instanceof Element ? target.closest("a.agent") : null;
  return link instanceof HTMLElement ? link.dataset.agent : undefined;
}

/** Show only the agents whose name has what is typed. */
function find() {
  const field = document.getElementById("find");
  const wanted = field instanceof HTMLInputElement ? field.value.trim().toLowerCase() : "";
  for (const [id, link] of links) link.classList.toggle("away", !id.toLowerCase().includes(wanted));
  draw();
}

// ---- what changes ----

/** @param {any} picture */
function onPicture(picture) {
  const known = new Set(links.keys());
  /** @type {Agent[]} */
  const agents = picture.machines.flatMap((/** @type {any} */ machine) => machine.agents ?? []);
  if (agents.some((agent) => !known.has(`${agent.name}@${agent.machine}`))) void refresh(part);
  else if (agents.map(show).some(Boolean)) void refresh(part);
}

/** @param {Change[]} changes */
function onChanges(changes) {
  let told = false;
  for (const change of changes) {
    if (change.kind === "agent") told = show(change.data) || told;
    if (change.kind === "turn") void light(change.data);
    if (change.kind === "machine") {
      const section = part.querySelector(`[data-machine="${CSS.escape(change.id)}"]`);
      told ||= section?.getAttribute("data-reach") !== (change.data.reach ?? "here");
    }
  }
  // The headline and what needs attention are the server's words.
  if (told) void refresh(part);
}

/** The same as `tandem.hub.web.words.tone`. @param {Agent} agent */
function toneOf({ state, verdict }) {
  if (verdict === "off" || state === "stopped") return "off";
  if (verdict === "trouble" || ["unhealthy", "failed", "backoff", "invalid"].includes(state)) return "trouble";
  return state === "degraded" ? "degraded" : state === "healthy" ? "well" : "moving";
}

/** @param {Agent} agent @returns {boolean} whether a person can see a difference */
function show(agent) {
  const link = links.get(`${agent.name}@${agent.machine}`);
  if (!link) return true;
  const tone = toneOf(agent);
  const word = link.querySelector(".state");
  if (!word || (link.dataset.tone === tone && word.textContent === agent.state)) return false;
  link.dataset.tone = tone;
  word.textContent = agent.state;
  return true;
}

// ---- wires ----

/**
 * Where wires end: left of an agent's shape and right of its name, so that none crosses a word of its own agents.
 * @param {string} id @param {DOMRect} origin
 */
function ends(id, origin) {
  const link = links.get(id);
  const shape = link?.querySelector(".mark")?.getBoundingClientRect();
  const name = link?.querySelector(".name")?.getBoundingClientRect();
  if (!shape?.width || !name) return undefined;
  const y = shape.y + shape.height / 2 - origin.y;
  return { left: shape.x - 4 - origin.x, right: name.right + 6 - origin.x, y };
}

/** @param {string} from @param {string} to @param {DOMRect} origin */
function wire(from, to, origin) {
  const [a, b] = [ends(from, origin), ends(to, origin)];
  if (!a || !b) return undefined;
  const path = document.createElementNS(SVG, "path");
  const [begin, end] = a.right < b.left ? [a.right, b.left] : b.right < a.left ? [a.left, b.right] : [a.left, b.left];
  const sideways = begin === a.left && end === b.left ? Math.max(-14 - Math.min(34, Math.abs(a.y - b.y) * 0.22), 4 - origin.x - begin) : 0;
  const [first, second] = sideways ? [begin + sideways, end + sideways] : [(begin + end) / 2, (begin + end) / 2];
  path.setAttribute("d", `M${begin},${a.y}C${first},${a.y} ${second},${b.y} ${end},${b.y}`);
  path.dataset.from = from;
  path.dataset.to = to;
  return path;
}

function canvas() {
  return /** @type {SVGSVGElement} */ (part.querySelector("#wires"));
}

function draw() {
  const svg = canvas();
  const pairs = Object.entries(needs).flatMap(([from, all]) => all.map((to) => [from, to]));
  svg.replaceChildren();
  wires = new Map();
  // More lines than an eye can follow are not drawn until one points at an agent.
  if (pairs.length <= MOST_WIRES && svg.checkVisibility()) addWires(pairs);
}

/** @param {string[][]} pairs */
function addWires(pairs) {
  const svg = canvas();
  const origin = house().getBoundingClientRect();
  const made = pairs.flatMap(([from, to]) => {
    const path = wires.has(`${from} ${to}`) ? undefined : wire(from, to, origin);
    return path ? [path] : [];
  });
  for (const path of made) wires.set(`${path.dataset.from} ${path.dataset.to}`, path);
  svg.append(...made);
  return made;
}

/** @type {SVGPathElement[]} */
let drawnForPointing = [];

/** @param {string|undefined} id */
function point(id) {
  const focus = id ?? chosen;
  drawnForPointing.forEach((path) => {
    wires.delete(`${path.dataset.from} ${path.dataset.to}`);
    path.remove();
  });
  drawnForPointing = [];
  const near = new Set();
  if (focus && canvas().checkVisibility()) {
    const leaning = Object.entries(needs).filter(([, all]) => all.includes(focus)).map(([from]) => [from, focus]);
    drawnForPointing = addWires([...(needs[focus] ?? []).map((to) => [focus, to]), ...leaning]);
  }
  canvas().classList.toggle("focused", Boolean(focus));
  for (const path of wires.values()) {
    path.classList.toggle("to", path.dataset.from === focus);
    path.classList.toggle("from", path.dataset.to === focus);
    if (path.dataset.from === focus) near.add(path.dataset.to);
    if (path.dataset.to === focus) near.add(path.dataset.from);
  }
  for (const [name, link] of links) link.classList.toggle("near", near.has(name));
}

// ---- a turn ----

/** @type {Map<string, number>} */
const lit = new Map();

/** @param {{turn: string, name: string}} turn */
async function light(turn) {
  const answer = await fetch(`/turns/${encodeURIComponent(turn.turn)}?part=path`).catch(() => undefined);
  if (!answer?.ok) return;
  /** @type {{words: string, path: [string, string][]}} */
  const { words, path } = await answer.json();
  const line = document.getElementById("turnline");
  if (line) {
    const link = document.createElement("a");
    link.href = `/turns/${encodeURIComponent(turn.turn)}`;
    link.textContent = words;
    line.replaceChildren("Last turn: ", link);
  }
  if (document.hidden) return;
  path.forEach(([from, to], step) => window.setTimeout(() => glow(from, to), step * STEP_MS));
}

/** @param {string} from @param {string} to */
function glow(from, to) {
  for (const id of [from, to]) {
    const link = links.get(id);
    if (!link) continue;
    link.classList.add("lit");
    window.clearTimeout(lit.get(id));
    lit.set(id, window.setTimeout(() => link.classList.remove("lit"), LIT_MS));
  }
  if (!links.has(from) || !links.has(to) || !canvas().checkVisibility()) return;
  const path = wire(from, to, house().getBoundingClientRect());
  if (!path) return;
  path.classList.add("lit");
  canvas().append(path);
  const length = path.getTotalLength();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    path.animate([{ strokeDasharray: `0 ${length}` }, { strokeDasharray: `${length} 0` }], { duration: 450, easing: "ease-out" });
  }
  window.setTimeout(() => path.remove(), LIT_MS);
}

// ---- the panel ----

/** @param {MouseEvent} event */
function choose(event) {
  const id = agentOf(event.target);
  if (!id || event.button || event.metaKey || event.ctrlKey || event.shiftKey || matchMedia("(max-width: 760px)").matches) return;
  event.preventDefault();
  void open(id);
}

/** @param {string} id */
async function open(id) {
  chosen = id;
  mark();
  const inner = document.createElement("div");
  inner.className = "agentview";
  inner.dataset.live = `agent:${id}`;
  inner.dataset.src = `/agents/${encodeURIComponent(id)}?part=agent`;
  const closing = document.createElement("button");
  closing.type = "button";
  closing.className = "plain close";
  closing.textContent = "Close";
  panel.replaceChildren(closing, inner);
  panel.hidden = false;
  floor.classList.add("open");
  await refresh(inner);
  toEnd(panel);
  panel.scrollTop = 0;
  panel.focus({ preventScroll: true });
  draw();
  point(id);
}

function close() {
  const before = chosen;
  chosen = undefined;
  panel.hidden = true;
  panel.replaceChildren();
  floor.classList.remove("open");
  mark();
  draw();
  point(undefined);
  if (before) links.get(before)?.focus();
}

function mark() {
  for (const [id, link] of links) {
    if (id === chosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
