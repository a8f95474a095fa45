// The model chooser and the budget slider with its mark for the default.

let models = []; // of /v1/models; several: whether there are other versions of the same name
let asked = null; // the budget that the user chose, a share; null: the server's

const chosen = () => models[Number($("model").value)];

const nameOf = model => `${model.name} ${model.version}`;

// hasLadder tells a model that can aim at a mean from one that can only be capped.
const hasLadder = model => model.adaptive && model.ladder?.length > 0;

// budgetParameter is the chosen budget as a parameter of a request, or null.
function budgetParameter() {
  return asked === null ? null : [hasLadder(chosen()) ? "compute_budget" : "compute_budget_max", String(asked)];
}

// denseBeside says how to run the dense model beside this one, for its time: as itself, if it is dense; as a model that
// is like it in all but halting; as itself with all of the budget, if its ladder gets there. Else it is undefined.
function denseBeside(model) {
  if (!model.adaptive) return { model, budget: null };
  const twin = models.find(m => !m.adaptive && m.layers === model.layers && m.tokens === model.tokens &&
    m.dense_macs === model.dense_macs && m.precision === model.precision);
  if (twin) return { model: twin, budget: null };
  const last = hasLadder(model) ? model.ladder.at(-1).mean : 0;
  return last > 0.995 ? { model, budget: ["compute_budget", "1"] } : undefined;
}

// loadModels asks which models there are and fills the chooser; the choice stays where it can.
async function loadModels() {
  const before = chosen();
  models = (await ask("v1/models")).models;
  for (const m of models) m.several = models.some(other => other !== m && other.name === m.name);
  $("model").replaceChildren(...models.map((m, i) =>
    make("option", { value: i }, m.several ? `${m.name}, version ${m.version}` : m.name)));
  $("model").disabled = models.length === 0;
  if (models.length === 0) {
    $("model").replaceChildren(make("option", {}, "no model is ready"));
    return;
  }
  const same = models.findIndex(m => m.name === before?.name && m.version === before?.version);
  $("model").value = String(Math.max(0, same));
  showModel();
}

// showModel puts the chosen model into words and gives the slider its range.
function showModel() {
  const m = chosen(), ladder = hasLadder(m), slider = $("budget");
  $("model-facts").textContent = [`${m.layers} blocks`, `${m.tokens} tokens`, count(m.classes, "class", "classes"),
    m.precision, m.adaptive ? "adaptive" : "dense"].join(" · ");
  const usual = known(m.budget) ? m.budget : 1;
  const least = ladder ? Math.floor(100 * Math.min(m.ladder[0].mean, usual)) / 100 : Math.min(0.1, usual);
  const most = ladder ? Math.ceil(100 * Math.max(m.ladder.at(-1).mean, usual)) / 100 : 1;
  slider.min = Math.max(0.01, least);
  slider.max = most;
  const mark = $("budget-slider").querySelector(".mark");
  const at = (usual - slider.min) / (most - slider.min);
  mark.style.setProperty("--at", at);
  mark.dataset.side = at < 0.12 ? "left" : at > 0.88 ? "right" : "";
  $("budget-least").textContent = at < 0.3 ? "" : percent(Number(slider.min)); // the mark's word needs their room
  $("budget-most").textContent = at > 0.7 ? "" : percent(most);
  slider.dataset.usual = usual;
  if (asked !== null) asked = Math.min(Math.max(asked, slider.min), most);
  $("budget-part").hidden = false;
  showBudget();
}

// showBudget says what the slider means where it stands.
function showBudget() {
  const m = chosen(), slider = $("budget"), usual = Number(slider.dataset.usual), at = asked ?? usual;
  slider.value = at;
  $("budget-value").textContent = asked === null ? `${percent(usual)} (default)` : percent(at);
  slider.setAttribute("aria-valuetext",
    `${percent(at)} of the dense model's work${asked === null ? ", the default" : ""}`);
  $("budget-default").disabled = asked === null;
  $("budget-about").textContent = hasLadder(m) ?
    `Pictures cost this share of the dense model's work on average. ${rungWords(m, at)}` :
    "No picture costs more than this share of the dense model's work." + (m.adaptive ?
      " To aim at an average, give the model a ladder of budgets: adavit calibrate." : "");
  showLadder(m, at);
}

// rungWords says how good the model was on the measured budget nearest to a share.
function rungWords(model, share) {
  const rung = model.ladder.reduce((a, b) => Math.abs(b.mean - share) < Math.abs(a.mean - share) ? b : a);
  const words = [];
  if (known(rung.top1)) words.push(`${rung.top1.toFixed(1)}\u00a0% right`);
  if (known(rung.agreement) && rung.agreement > 0) words.push(`${rung.agreement.toFixed(1)}\u00a0% as by default`);
  return words.length ? `Measured at ${percent(rung.mean)}: ${words.join(", ")}.` : "";
}

// showLadder draws how good the model was on its measured budgets, above the slider and on its scale.
function showLadder(model, share) {
  const slider = $("budget"), from = Number(slider.min), to = Number(slider.max);
  const key = hasLadder(model) && ["top1", "agreement"].find(k => model.ladder.every(r => known(r[k]) && r[k] > 0));
  $("ladder").hidden = !key || model.ladder.length < 2 || to <= from;
  if ($("ladder").hidden) return;
  const values = model.ladder.map(r => r[key]), low = Math.min(...values), high = Math.max(...values, low + 1e-9);
  const x = v => 320 * (v - from) / (to - from), y = v => 58 - 50 * (v - low) / (high - low);
  const points = model.ladder.map(r => [x(r.mean), y(r[key])]);
  const i = points.findLastIndex(([px]) => px <= x(share)), a = points[Math.max(i, 0)], b = points[i + 1] ?? a;
  const height = b[0] > a[0] ? a[1] + (b[1] - a[1]) * Math.max(0, x(share) - a[0]) / (b[0] - a[0]) : a[1];
  const line = "M" + points.map(p => p.map(v => v.toFixed(1)).join(" ")).join("L");
  $("ladder-chart").replaceChildren(
    draw("path", { class: "area c0", d: `${line}V64H${points[0][0].toFixed(1)}Z` }),
    draw("path", { class: "line c0", d: line }),
    draw("path", { class: "line c0 here", d: `M${x(share).toFixed(1)} ${height.toFixed(1)}h0` }));
  const name = key === "top1" ? "of pictures right" : "of pictures as by default";
  $("ladder-words").textContent = `${low.toFixed(1)} to ${high.toFixed(1)}\u00a0% ${name}`;
  $("ladder-chart").setAttribute("aria-label", `Share ${name}, by budget: ` +
    model.ladder.map(r => `${percent(r.mean)}: ${r[key].toFixed(1)}\u00a0%`).join(", "));
}
