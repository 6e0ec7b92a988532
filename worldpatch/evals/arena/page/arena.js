"use strict";

const $ = (id) => document.getElementById(id);
const videos = [$("left"), $("right")];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const REST = 500; // milliseconds between the end of the clips and their next round

const KEYS = {
  ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", ArrowUp: "tie", t: "tie", ArrowDown: "both bad",
  b: "both bad", s: "skipped", " ": "replay", z: "undo", Escape: "finish",
};

let state = null; // what the server last said
let asking = true; // whether a request is under way
let playable = false; // whether both videos have come
let round = 0; // counts starts of the videos: what belongs to an earlier one stops

// ------------------------------------------------------------------------------------------------------- the server

async function ask(path, body) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, body && post).catch(() => null);
  if (!response) throw new Error("The program does not answer. Start it again and reload this page: nothing is lost.");
  if (response.status === 409) return ask("state"); // another page has gone on: show what it is at
  const answer = await response.json();
  if (!response.ok) throw new Error(typeof answer.detail === "string" ? answer.detail : "That was not understood.");
  return answer;
}

async function attempt(work) {
  asking = true;
  enable();
  try {
    $("message").hidden = true;
    await work();
  } catch (error) {
    say(error.message);
  }
  asking = false;
  enable();
}

function say(text) {
  $("message").textContent = text;
  $("message").hidden = false;
}

// --------------------------------------------------------------------------------------------------------- the pair

async function show(next) {
  state = next;
  if (!state.turn) return report();
  $("results").hidden = true;
  $("judging").hidden = false;
  $("prompt").textContent = state.turn.prompt;
  $("progress").max = state.total;
  $("progress").value = state.number;
  const others = state.others ? `, ${state.others} by others` : "";
  $("count").textContent = `${state.number} of ${state.total} judged by ${state.judge}${others}`;
  load();
}

async function load() {
  const mine = ++round;
  playable = false;
  videos[0].src = state.turn.left;
  videos[1].src = state.turn.right;
  try {
    await Promise.all(videos.map(ready));
  } catch {
    if (mine === round) say("This browser cannot play one of the two. Skip the pair (S), or try another browser.");
    return;
  }
  if (mine !== round) return;
  playable = true;
  enable();
  if (!calm.matches) play();
  ahead();
}

function ready(video) {
  return new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = reject;
  });
}

/** Both from the start and in step; the shorter one waits on its last frame for the longer one. */
async function play() {
  const mine = ++round;
  const ends = videos.map((video) => new Promise((resolve) => (video.onended = resolve)));
  for (const video of videos) {
    video.pause();
    video.currentTime = 0;
  }
  try {
    await Promise.all(videos.map((video) => video.play()));
  } catch {
    return; // another start came in between, or the browser waits for a key: Space plays
  }
  await Promise.all(ends);
  await new Promise((resolve) => setTimeout(resolve, REST));
  if (mine === round && !calm.matches) play();
}

/** Brings the pair that comes next into the browser's cache. */
function ahead() {
  for (const address of state.ahead) {
    const video = document.createElement("video");
    video.preload = "auto";
    video.src = address;
  }
}

// --------------------------------------------------------------------------------------------------------- the keys

function enable() {
  for (const button of document.querySelectorAll("button[data-verdict], button[data-action]"))
    button.disabled = !allowed(button.dataset.verdict ?? button.dataset.action);
}

function allowed(name) {
  if (asking || !state) return false;
  if (name === "undo") return state.number > 0;
  if (name === "finish" || name === "skipped") return !!state.turn;
  return name === "resume" ? !!state.turn : playable;
}

function act(name) {
  if (!allowed(name)) return;
  if (name === "replay") play();
  else if (name === "finish") sure();
  else if (name === "resume") attempt(async () => show(await ask("state")));
  else if (name === "undo") attempt(async () => show(await ask("undo", { number: state.number })));
  else judge(name);
}

function judge(verdict) {
  const button = document.querySelector(`[data-verdict="${verdict}"]`);
  button.classList.add("chosen");
  setTimeout(() => button.classList.remove("chosen"), 200);
  attempt(async () => show(await ask("judgements", { number: state.number, verdict })));
}

function sure() {
  const left = state.total - state.number;
  $("question").textContent = `Not yet judged: ${left}. The ratings show the names of what is compared.`;
  $("sure").returnValue = "no";
  $("sure").showModal();
}

$("sure").addEventListener("close", () => $("sure").returnValue === "yes" && attempt(report));

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || $("sure").open) return;
  let name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!$("results").hidden) name = { finish: "resume", undo: "undo" }[name];
  const pressed = event.key === " " && event.target instanceof HTMLButtonElement; // the browser presses the button
  if (!name || pressed) return;
  event.preventDefault();
  act(name);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-verdict], button[data-action]");
  if (!button) return;
  if (event.detail) button.blur(); // by mouse or finger: Space shall replay then, not press this button again
  act(button.dataset.verdict ?? button.dataset.action);
});

// ------------------------------------------------------------------------------------------------------ the ratings

async function report() {
  say("Fitting the ratings …");
  const found = await ask("report");
  $("message").hidden = true;
  round++;
  for (const video of videos) video.pause();
  $("judging").hidden = true;
  $("results").hidden = false;
  $("basis").textContent = found.basis;
  $("reason").hidden = !found.reason;
  $("reason").textContent = `There are none: ${found.reason}.`;
  $("legend").hidden = !found.fit;
  $("ratings").replaceChildren(...(found.fit ? ratings(found) : []));
  matrix(found);
  list("judges", found.judges.map((judge) => judge.summary));
  list("notes", found.notes);
  for (const button of $("results").querySelectorAll("button")) button.hidden = !state.turn === (button.dataset.action === "resume");
  document.querySelector("#results h1").focus();
}

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function list(id, lines) {
  $(id).replaceChildren(...lines.map((line) => element("li", line)));
  $(id).parentElement.hidden = !lines.length;
}

function ratings(found) {
  const ends = found.fit.ratings.flatMap((r) => [...r.curvature, ...r.bootstrap]);
  const low = Math.min(1000, ...ends), high = Math.max(1000, ...ends);
  const place = (value) => `${2 + (96 * (value - low)) / (high - low)}%`;
  return found.fit.ratings.map((rating) => {
    const item = element("li");
    const [wide, narrow] = [rating.bootstrap, rating.curvature].map((pair) => pair.map(Math.round).join(" to "));
    const scores = found.scores.filter((score) => score.name === rating.name);
    const [won, tied, lost] = ["won", "tied", "lost"].map((key) => scores.reduce((sum, score) => sum + score[key], 0));
    item.append(
      element("strong", rating.name),
      element("strong", Math.round(rating.value), { class: "number" }),
      plot(rating, place, `95%, prompts drawn anew: ${wide}; by curvature: ${narrow}`),
      element("span", `${wide}, by curvature ${narrow}; ${won} won, ${tied} tied, ${lost} lost`, { class: "quiet number" }),
    );
    return item;
  });
}

function plot(rating, place, label) {
  const draw = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const line = ([from, to], width) =>
    draw("line", { x1: place(from), x2: place(to), y1: "50%", y2: "50%", "stroke-width": width });
  const drawing = draw("svg", { class: "plot", role: "img", "aria-label": label });
  drawing.append(
    draw("line", { class: "mean", x1: place(1000), x2: place(1000), y1: 0, y2: "100%", "stroke-width": 2 }),
    line(rating.curvature, 2),
    line(rating.bootstrap, 6),
    draw("circle", { cx: place(rating.value), cy: "50%", r: 6 }),
  );
  return drawing;
}

function matrix(found) {
  const names = found.fit ? found.fit.ratings.map((r) => r.name) : [...new Set(found.scores.map((s) => s.name))];
  const head = element("tr");
  head.append(element("td"), ...names.map((name) => element("th", name, { scope: "col" })));
  const rows = names.map((name) => {
    const row = element("tr");
    const cells = names.map((other) => {
      const score = found.scores.find((s) => s.name === name && s.other === other);
      return element("td", score ? `${score.won} / ${score.tied} / ${score.lost}` : "");
    });
    row.append(element("th", name, { scope: "row" }), ...cells);
    return row;
  });
  $("matrix").tHead.replaceChildren(head);
  $("matrix").tBodies[0].replaceChildren(...rows);
}

attempt(async () => show(await ask("state")));
