// Requests to the server, and its refusals in words. Addresses are relative, so a proxy may put the page anywhere.

let key = ""; // of the server that wants one; in memory only

// Refusal is a request that failed, in words for people.
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: there was no answer
  }
}

// ask returns the JSON that a request is answered with, or throws a Refusal; an AbortError if signal ended it.
async function ask(path, options = {}) {
  const headers = new Headers(options.headers), used = key;
  if (used) headers.set("Authorization", `Bearer ${used}`);
  let response, text;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server cannot be reached. See whether it still runs and this device is on its network.");
  }
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    if (response.ok) throw new Refusal(200, "The answer is not JSON: is there another server at this address?");
  }
  if (response.ok) return body;
  if (response.status === 401) wantKey(used);
  throw new Refusal(response.status, refusal(response, body, used));
}

// refusal is what became of a request. The server's own words go first: they say what to do.
function refusal(response, body, used) {
  const own = typeof body?.error === "string" ? sentence(body.error) : "";
  const wait = Number(response.headers.get("Retry-After"));
  switch (response.status) {
    case 401: return wanted(used);
    case 403: return own || "This key may not do that; ask for one with the scope \"infer\".";
    case 413: return own || "The picture is too large for this server.";
    case 503: return (own || "The server has more to do than it can.") +
      (wait > 0 ? ` There may be room in ${count(wait, "second")}.` : "");
    default: return own || `The server answers ${response.status} ${response.statusText} and gives no reason.`;
  }
}

// sentence begins a server's words with a capital letter and ends them with a full stop.
function sentence(text) {
  const trimmed = text.trim();
  return trimmed && trimmed[0].toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}

const wanted = used => used ? "The server does not know this key." : "The server wants a key.";

// wantKey shows the form for a key and says why, once for each key that did not do.
function wantKey(used) {
  if (used !== key || used === "" && !$("key-form").hidden) return;
  key = "";
  $("key-form").hidden = false;
  $("key-why").textContent = wanted(used);
  $("key").focus();
}

// classify asks for one picture's classes and depths.
function classify(file, { model, budget, signal, depth = true }) {
  const query = new URLSearchParams({ model: model.name, top: "5" });
  if (model.several) query.set("version", model.version);
  if (depth) query.set("depth", "json");
  if (budget) query.set(...budget);
  return ask(`v1/classify?${query}`, {
    method: "POST", body: file, signal, headers: { "Content-Type": file.type || "application/octet-stream" },
  });
}
