// Small things that all parts use: elements, numbers in words, what the page says aloud.

const $ = id => document.getElementById(id);

// make returns an element with attributes and children. An attribute that is true is there without a value, one that is
// false, null or undefined is not there; a function is a listener, as onclick.
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// draw is make for elements of SVG.
function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const known = v => typeof v === "number" && Number.isFinite(v);

// threeDigits prints a positive number with three significant digits at most.
function threeDigits(v) {
  if (!known(v)) return "–";
  if (v === 0) return "0";
  return v >= 99.95 ? v.toFixed(0) : v >= 9.995 ? v.toFixed(1) : v.toFixed(2);
}

// quantity prints a large count with three digits and a letter: 1.26 G.
function quantity(v) {
  for (const [size, name] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (known(v) && v >= size * 0.9995) return `${threeDigits(v / size)}\u00a0${name}`;
  }
  return known(v) ? v.toFixed(0) : "–";
}

// percent prints a share; two digits after the point tell budgets apart where one percent is too coarse.
const percent = (share, decimals = 0) => known(share) ? `${(100 * share).toFixed(decimals)}\u00a0%` : "–";

function milliseconds(ms) {
  if (!known(ms)) return "–";
  return ms >= 999.5 ? `${threeDigits(ms / 1000)}\u00a0s` : `${threeDigits(ms)}\u00a0ms`;
}

// chance prints a probability so that it is 100 % only if it is 1, and 0 only if it is 0.
function chance(p) {
  if (p > 0.9995 && p < 1) return ">99.9\u00a0%";
  if (p < 0.0005 && p > 0) return "<0.1\u00a0%";
  return percent(p, 1);
}

const count = (n, one, many = one + "s") => `${n}\u00a0${n === 1 ? one : many}`;

const mean = list => list.reduce((a, b) => a + b, 0) / list.length;

// say has words read aloud. A text that is there already is said again only if it leaves for a moment.
function say(text) {
  $("said").textContent = "";
  setTimeout(() => { $("said").textContent = text; }, 50);
}

// later returns a function that calls f once it was not called itself for so many milliseconds.
function later(ms, f) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(f, ms);
  };
}
