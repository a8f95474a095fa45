// The colours of depths, the maps drawn with them, and the legend. report draws pictures on paper alike.

const rgb = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
const scale = {{scale}}.map(rgb); // dark end first, evenly spaced
const gone = rgb({{gone}}); // covers a patch that does not run

// How strongly a picture is covered: by the colour of a depth, by the grey of a patch that is gone, by white.
const depthShare = 190 / 256, goneShare = 225 / 256;

const blend = (a, b, share) => a.map((v, i) => v * (1 - share) + b[i] * share);

// depthColor is the colour of a depth of so many blocks, as [r, g, b]: 1 is the dark end, all blocks the bright one.
function depthColor(depth, blocks) {
  if (depth <= 0) return gone;
  const at = (blocks > 1 ? (depth - 1) / (blocks - 1) : 1) * (scale.length - 1);
  const i = Math.min(Math.floor(at), scale.length - 2);
  return blend(scale[i], scale[i + 1], at - i);
}

// inkOn is black or white, whichever has the better contrast by WCAG's luminance.
function inkOn(color) {
  const [r, g, b] = color.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

const css = color => `rgb(${color.map(Math.round).join(" ")})`;

// patchDepths returns the depths of an answer's patches, row by row: special tokens go before them.
function patchDepths(answer) {
  const [rows, columns] = answer.grid;
  return answer.depth.slice(answer.depth.length - rows * columns);
}

const runningIn = (depths, block) => depths.filter(d => d >= block).length;

// loadPicture returns the pixels of the picture as the model saw it.
async function loadPicture(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

// paint draws pixels into a canvas, enlarged by a whole factor, each of them covered as cover(patch, [r, g, b]) says.
// With seams there is a fine line between patches.
function paint(canvas, pixels, [rows, columns], cover, seams) {
  const { width: w, height: h } = pixels;
  const out = new ImageData(w, h);
  for (let y = 0, i = 0; y < h; y++) {
    const row = Math.floor(y * rows / h) * columns;
    for (let x = 0; x < w; x++, i += 4) {
      const color = cover(row + Math.floor(x * columns / w), [pixels.data[i], pixels.data[i + 1], pixels.data[i + 2]]);
      out.data.set(color, i);
      out.data[i + 3] = 255;
    }
  }
  const factor = Math.max(1, Math.round(640 / Math.max(w, h)));
  canvas.width = w * factor;
  canvas.height = h * factor;
  const small = make("canvas", { width: w, height: h });
  small.getContext("2d").putImageData(out, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (!seams) return;
  context.fillStyle = "rgb(0 0 0 / 19%)";
  const line = Math.max(1, Math.round(canvas.width / 320));
  for (let c = 1; c < columns; c++) context.fillRect(Math.floor(c * w / columns) * factor, 0, line, canvas.height);
  for (let r = 1; r < rows; r++) context.fillRect(0, Math.floor(r * h / rows) * factor, canvas.width, line);
}

// paintSeen draws the picture as the model saw it.
function paintSeen(canvas, pixels) {
  paint(canvas, pixels, [1, 1], (_, color) => color, false);
}

// paintDepths draws the map of depths over the picture in grey. Grey is pressed into the middle of its range, so that
// no black or white ground drags a colour off the legend's.
function paintDepths(canvas, pixels, answer) {
  const colors = patchDepths(answer).map(d => depthColor(d, answer.layers));
  paint(canvas, pixels, answer.grid, (patch, color) => {
    const grey = 64 + luma(color) / 2;
    return blend([grey, grey, grey], colors[patch], depthShare);
  }, true);
}

// paintBlock draws the picture with the patches covered that do not run in a block.
function paintBlock(canvas, pixels, answer, block) {
  const depths = patchDepths(answer);
  paint(canvas, pixels, answer.grid, (patch, color) => {
    if (depths[patch] >= block) return color;
    const grey = luma(color);
    return blend([grey, grey, grey], gone, goneShare);
  }, true);
}

const luma = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b;

// showLegend draws a swatch for each depth from first on.
function showLegend(first, blocks) {
  const swatches = [], every = blocks > 16 ? 2 : 1;
  for (let d = first; d <= blocks; d++) {
    const color = depthColor(d, blocks);
    const swatch = make("i", {}, (d - first) % every ? "" : String(d));
    swatch.style.background = css(color);
    swatch.style.color = inkOn(color);
    swatches.push(swatch);
  }
  $("legend-swatches").replaceChildren(...swatches);
  $("legend").hidden = false;
}
