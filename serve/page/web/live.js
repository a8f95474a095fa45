// The chart of the server's load, asked for each second while somebody looks.

const history = []; // of /v1/load, with at: milliseconds; a null value is a gap
const span = 120e3; // that the chart shows, milliseconds
let paused = false, asking = false;
let rest = 0; // until when not to ask a server that has refused, milliseconds

const panels = [
  { title: "Load", lines: [["images_per_second", "c0", true]], top: p => [p.images_per_second], least: 1,
    tick: v => `${v}/s`,
    words: p => `${threeDigits(p.images_per_second)} images a second · ${percent(p.busy)} busy` },
  { title: "Budget", lines: [["budget", "c2", true]], top: () => [1], least: 1, tick: v => percent(v),
    words: p => known(p.budget) ? `${percent(p.budget)} of the dense model's work` : "no picture in this second" },
  { title: "p99", lines: [["p50_ms", "c9", false], ["p99_ms", "c1", true]], top: p => [p.p99_ms, p.slo_ms], least: 1,
    tick: v => v < 1000 ? `${v}\u00a0ms` : `${v / 1000}\u00a0s`, objective: true,
    words: p => known(p.p99_ms) ? `${milliseconds(p.p99_ms)} · half within ${milliseconds(p.p50_ms)}` :
      "no answer lately" },
];

// The plot of a panel, in units of its picture: left of it the two ticks.
const plot = { left: 48, right: 296, top: 8, bottom: 66, width: 300, height: 70 };

function makePanels() {
  $("charts").replaceChildren(...panels.map(panel => {
    panel.words_ = make("span");
    panel.svg = draw("svg", { class: "chart", role: "img", viewBox: `0 0 ${plot.width} ${plot.height}` });
    return make("figure", {}, make("figcaption", {}, make("b", {}, panel.title), panel.words_), panel.svg);
  }));
}

// watch asks for the load, unless nobody looks, a key is wanted, or an earlier answer is still to come.
async function watch() {
  if (paused || document.hidden || asking || !$("key-form").hidden || Date.now() < rest) return;
  asking = true;
  try {
    const load = await ask("v1/load", { signal: AbortSignal.timeout(5000) });
    const restarted = load.uptime_s < (history.findLast(p => known(p.uptime_s))?.uptime_s ?? 0);
    history.push({ ...load, at: Date.now() });
    showState(load.draining ? "draining" : "ready", load.draining ? "draining: takes no more pictures" : "ready");
    showLoad(load);
    if (models.length === 0 || restarted) begin(); // there may be other models now
  } catch (error) {
    history.push({ at: Date.now() });
    if (!(error instanceof Refusal)) throw error;
    const refused = error.status; // 0: no answer
    if (refused) rest = Date.now() + 10e3;
    showState(refused ? "waiting" : "lost", refused === 401 ? "wants a key" : refused ? "no figures" : "no answer");
    $("live-words").textContent = error.message;
  } finally {
    asking = false;
  }
  while (history.length && history[0].at < Date.now() - span - 5000) history.shift();
  panels.forEach(showPanel);
}

function showState(state, words) {
  if ($("state").dataset.state === state && $("state").textContent === words) return;
  $("state").dataset.state = state;
  $("state").textContent = words;
}

function showLoad(load) {
  const words = [count(load.threads, "thread"), `${load.in_flight} under way`, `${load.queue} waiting`];
  if (load.degraded) words.push(`${quantity(load.degraded)} answered with less`);
  if (load.shed) words.push(`${quantity(load.shed)} turned away`);
  words.push(`up ${duration(load.uptime_s)}`);
  $("live-words").textContent = words.join(" · ");
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${count(days, "day")} ${hours % 24}\u00a0h`;
  if (hours) return `${hours}\u00a0h ${minutes % 60}\u00a0min`;
  return minutes ? `${minutes}\u00a0min` : `${Math.floor(seconds)}\u00a0s`;
}

// niceTop is the first of 1, 2, 5, 10, 20 … at or above v.
function niceTop(v) {
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5, 10].map(f => f * power).find(top => top >= v * 0.9999);
}

function showPanel(panel) {
  const now = history.at(-1)?.at ?? Date.now(), last = history.at(-1);
  const top = niceTop(Math.max(panel.least, ...history.flatMap(panel.top).filter(known)));
  const x = at => plot.right - (plot.right - plot.left) * (now - at) / span;
  const y = v => plot.bottom - (plot.bottom - plot.top) * Math.min(v / top, 1);
  const parts = [0, 1].map(share => draw("g", {},
    draw("path", { class: "grid", d: `M${plot.left} ${y(share * top)}H${plot.right}` }),
    draw("text", { class: "end", x: plot.left - 6, y: y(share * top) + 4 }, share ? panel.tick(top) : "0")));
  if (panel.objective && last?.slo_ms > 0) {
    parts.push(draw("path", { class: "line dashed", d: `M${plot.left} ${y(last.slo_ms)}H${plot.right}` }),
      draw("text", { x: plot.left + 4, y: y(last.slo_ms) + 12 }, `objective ${milliseconds(last.slo_ms)}`));
  }
  for (const [key, color, area] of panel.lines) {
    for (const run of runs(key)) {
      const line = run.map(p => `${x(p.at).toFixed(1)} ${y(p[key]).toFixed(1)}`).join("L");
      const first = x(run[0].at).toFixed(1), end = x(run.at(-1).at).toFixed(1);
      if (area) parts.push(draw("path", { class: `area ${color}`, d: `M${line}L${end} ${plot.bottom}H${first}Z` }));
      parts.push(draw("path", { class: `line ${color}`, d: `M${line}h0` }));
    }
  }
  panel.svg.replaceChildren(...parts);
  panel.words_.textContent = last?.time ? panel.words(last) : "–";
  panel.svg.setAttribute("aria-label", `${panel.title} of the last two minutes, 0 to ${panel.tick(top)}; ` +
    `now ${panel.words_.textContent}`);
}

// runs are the stretches of the history in which a value is known and nobody looked away.
function runs(key) {
  const out = [];
  let before = -Infinity;
  for (const p of history) {
    if (!known(p[key]) || p.at < Date.now() - span) continue;
    if (p.at - before > 3500) out.push([]);
    out.at(-1).push(p);
    before = p.at;
  }
  return out;
}

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused) watch();
}
