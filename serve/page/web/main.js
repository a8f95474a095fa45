// Pictures come in, are classified a few at a time, and are classified anew when the model or the budget changes.

const pictures = []; // the newest first: {file, name, url, card, controller, answer, dense}; dense:
// the dense model's milliseconds beside each model
const waiting = []; // of them
const untold = new Set(); // of them: what became of these was not said yet
const most = 60; // pictures that the page holds
const atOnce = 4; // requests under way
let running = 0, beginning = false;

// problem shows what is wrong with the page as a whole; "" for nothing.
function problem(words) {
  $("problem").textContent = words;
  $("problem").hidden = !words;
}

function add(files) {
  const room = most - pictures.length;
  problem(files.length > room ? `This page holds ${most} pictures; ${files.length - room} were left out. ` +
    "For folders there is the command adavit classify." : "");
  const fresh = files.slice(0, room).map(file => {
    const p = { file, name: file.name || "picture", url: URL.createObjectURL(file), answer: null, dense: {} };
    p.card = new Card(p.name, p.url, () => remove(p), () => run([p]));
    return p;
  });
  pictures.unshift(...fresh);
  $("cards").prepend(...fresh.map(p => p.card.element));
  showResults();
  run(fresh);
}

// remove takes a picture away; the keyboard goes on at its neighbour.
function remove(p) {
  const i = pictures.indexOf(p);
  p.controller?.abort();
  p.card.stop();
  URL.revokeObjectURL(p.url);
  pictures.splice(i, 1);
  untold.delete(p);
  p.card.element.remove();
  (pictures[i]?.card.remove ?? pictures[i - 1]?.card.remove ?? $("choose")).focus();
  showResults();
}

// run classifies pictures with the chosen model and budget. What was under way for them is given up.
function run(list) {
  for (const p of list) {
    p.controller?.abort();
    p.controller = new AbortController();
    if (!chosen()) {
      p.card.fail("There is no model to ask yet.");
      continue;
    }
    p.card.busy();
    untold.add(p);
    if (!waiting.includes(p)) waiting.push(p);
  }
  next();
}

function next() {
  while (running < atOnce && waiting.length) {
    const p = waiting.shift();
    if (!pictures.includes(p)) continue;
    running++;
    one(p).finally(() => {
      running--;
      next();
    });
  }
  if (running === 0 && untold.size) tell();
}

async function one(p) {
  const { signal } = p.controller, model = chosen();
  try {
    const answer = await classify(p.file, { model, budget: budgetParameter(), signal });
    if (isDense(answer)) p.dense[nameOf(model)] ??= answer.times.inference_ms;
    await p.card.show(answer, p.dense[nameOf(model)]);
    p.answer = answer;
  } catch (error) {
    if (signal.aborted) return;
    p.answer = null;
    p.card.fail(error instanceof Refusal ? error.message : `This answer cannot be shown: ${error.message}.`);
  }
  showResults();
  if (p.answer) await compare(p, model, signal);
}

// isDense tells an answer that cost what the dense model's would have.
const isDense = answer => answer.token_blocks >= 0.99 * answer.dense_token_blocks;

// compare has a picture classified by the dense model, once, for its time. Without it the card says that the time
// follows from the multiply-adds, so a refusal is no fault.
async function compare(p, model, signal) {
  const way = denseBeside(model);
  if (!way || nameOf(model) in p.dense) return;
  p.dense[nameOf(model)] = null;
  const answer = await classify(p.file, { ...way, signal, depth: false }).catch(() => null);
  if (!answer || !isDense(answer)) return; // refused, or lowered under load
  p.dense[nameOf(model)] = answer.times.inference_ms;
  if (signal.aborted) return;
  p.card.showCost(answer.times.inference_ms);
  showResults();
}

// tell says what became of the pictures, a few of them one by one.
function tell() {
  const list = pictures.filter(p => untold.has(p));
  untold.clear();
  const words = list.slice(0, 5).map(p => p.card.words()).join("; ");
  say(`${count(list.length, "picture")} done. ${words}${list.length > 5 ? "; and others." : "."}`);
}

// showResults shows what all answers come to, and the legend for them.
function showResults() {
  const answers = pictures.map(p => p.answer).filter(a => a);
  if (pictures.length && $("empty").contains(document.activeElement)) $("results").focus(); // a sample was chosen
  $("empty").hidden = pictures.length > 0;
  showSamples();
  $("clear").hidden = pictures.length < 2;
  $("facts").hidden = $("legend").hidden = answers.length === 0;
  if (answers.length === 0) return;
  const sum = of => answers.reduce((total, a) => total + of(a), 0);
  const dense = pictures.filter(p => p.answer).map(p => p.card.denseTime).filter(known);
  const beside = dense.length === answers.length ? `; dense ${milliseconds(mean(dense))}` : "";
  const facts = [
    [percent(sum(a => a.macs) / sum(a => a.dense_macs)), "of the dense model's multiply-adds"],
    [milliseconds(sum(a => a.times.inference_ms) / answers.length), `of inference a picture${beside}`],
    [mean(answers.map(a => a.mean_depth)).toFixed(1), `of ${answers[0].layers} blocks a token, on average`],
  ];
  $("facts").replaceChildren(...facts.map(([value, about]) =>
    make("div", { class: "fact" }, make("b", {}, value), make("span", {}, about))));
  showLegend(answers.some(a => a.depth.includes(0)) ? 0 : 1, Math.max(...answers.map(a => a.layers)));
}

// begin gets the models, and runs the pictures that have no answer yet.
async function begin() {
  if (beginning) return;
  beginning = true;
  try {
    await loadModels();
    problem(models.length ? "" : "The server has no model that is ready.");
    showSamples();
    if (models.length) run(pictures.filter(p => !p.answer));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem(error.status === 401 ? "" : error.message);
  } finally {
    beginning = false;
  }
}

// files are what was dropped or pasted, without folders.
function filesOf(transfer) {
  const folders = [...transfer.items ?? []].filter(i => i.webkitGetAsEntry?.()?.isDirectory).length;
  return folders ? [] : [...transfer.files];
}

function listen() {
  const rerun = later(250, () => run(pictures));
  $("choose").onclick = () => $("files").click();
  $("photograph").onclick = () => $("camera").click();
  for (const id of ["files", "camera"]) {
    $(id).onchange = () => {
      add([...$(id).files]);
      $(id).value = ""; // so that the same file can be chosen again
    };
  }
  document.addEventListener("dragover", event => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", event => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", event => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const files = filesOf(event.dataTransfer);
    if (files.length) add(files);
    else problem("That was no picture file. Save it first, or drop the files of a folder instead of the folder.");
  });
  document.addEventListener("paste", event => {
    const files = filesOf(event.clipboardData);
    if (files.length) add(files);
  });
  $("clear").onclick = () => {
    [...pictures].forEach(remove);
    say("All pictures removed.");
  };
  $("model").onchange = () => {
    asked = null;
    showModel();
    showSamples();
    rerun();
  };
  $("budget").oninput = () => {
    asked = Number($("budget").value);
    showBudget();
    rerun();
  };
  $("budget-default").onclick = () => {
    asked = null;
    showBudget();
    $("budget").focus(); // the button is of no use now
    rerun();
  };
  $("key-form").onsubmit = event => {
    event.preventDefault();
    key = $("key").value.trim();
    $("key").value = "";
    $("key-form").hidden = true;
    $("choose").focus();
    rest = 0;
    begin();
    watch();
  };
  $("metrics").onclick = showMetrics;
  $("pause").onclick = pause;
  document.addEventListener("visibilitychange", watch);
}

// showMetrics brings the key, which a link cannot.
async function showMetrics(event) {
  if (!key) return;
  event.preventDefault();
  const shown = window.open(); // now: browsers stop windows that come later
  const response = await fetch("metrics", { headers: { Authorization: `Bearer ${key}` } });
  shown.location = URL.createObjectURL(await response.blob());
}

// drawEmpty draws what a map looks like, for want of one.
function drawEmpty() {
  const rows = ["2222222", "2245422", "2468642", "25ab952", "269cb62", "2357532", "2222222"];
  const canvas = make("canvas", { width: 336, height: 336 }), context = canvas.getContext("2d");
  rows.forEach((row, y) => [...row].forEach((depth, x) => {
    context.fillStyle = css(depthColor(parseInt(depth, 16), 12));
    context.fillRect(48 * x, 48 * y, 47, 47);
  }));
  $("empty-art").replaceChildren(canvas);
}

drawEmpty();
makePanels();
panels.forEach(showPanel);
listen();
begin();
watch();
setInterval(watch, 1000);
