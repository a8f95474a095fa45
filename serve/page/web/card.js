// A picture's card: what it is, what it cost, where the model looked, block by block.

const reasons = {
  default: "as the server does by default",
  client: "as you asked",
  load: "lowered by the server, which has much to do",
  deadline: "lowered to be done in time",
};

// Card shows a picture's file, and then its answers or what went wrong.
class Card {
  constructor(name, url, onRemove, onRetry) {
    this.answer = this.newest = this.pixels = null;
    this.name = name;
    this.seen = make("canvas", { role: "img", hidden: true });
    this.original = make("img", { src: url, alt: `${name}, as it was sent` });
    this.original.onerror = () => { this.original.hidden = true; }; // TIFF, say, which the server may read all the same
    this.map = make("canvas", { role: "img" });
    this.mapWords = make("figcaption");
    this.seenWords = make("figcaption", {}, "as it was sent");
    this.top = make("ol", { class: "top5", "aria-label": "most probable classes" });
    this.running = make("div", { class: "running", "aria-hidden": "true" });
    this.block = make("input", { type: "range", min: 0, max: 1, step: 1, value: 0, "aria-label": `Block, for ${name}`,
      oninput: () => { this.stop(); this.showBlock(); } });
    this.last = make("span");
    this.play = make("button", { type: "button", class: "play", "aria-label": `Play the blocks of ${name}`,
      onclick: () => this.timer ? this.stop() : this.start() }, "Play");
    this.cost = make("tbody");
    this.why = make("p", { class: "small" });
    this.fault = make("p", { class: "fault", hidden: true });
    this.retry = make("button", { type: "button", class: "quiet", hidden: true, onclick: onRetry }, "Try again");
    this.remove = make("button", { type: "button", class: "close", "aria-label": `Remove ${name}`, onclick: onRemove },
      "×");
    this.blocks = make("div", { class: "blocks", hidden: true },
      make("div", {}, this.running, make("div", { class: "slider" }, this.block),
        make("div", { class: "ends", "aria-hidden": "true" }, make("span", {}, "map"), this.last)), this.play);
    const head = (...names) => make("tr", {}, ...names.map(n => make("th", { scope: "col" }, n)));
    this.costs = make("table",
      { class: "cost", "aria-label": `Cost of ${name} beside the dense model's`, hidden: true },
      make("thead", {}, head("cost", "here", "dense", "share")), this.cost);
    this.body = make("div", { class: "body" },
      make("div", { class: "pair" }, make("figure", {}, this.original, this.seen, this.seenWords),
        make("figure", {}, this.map, this.mapWords)), this.blocks, this.top, this.costs, this.why);
    this.element = make("article", { class: "card", "aria-label": name, "aria-busy": "true" },
      make("div", { class: "row" }, make("h3", { title: name }, name), this.remove), this.fault, this.retry, this.body);
  }

  busy() {
    this.element.setAttribute("aria-busy", "true");
  }

  // fail shows why there is no answer. What an earlier budget gave would be mistaken for this one's, so it goes.
  fail(words) {
    this.stop();
    this.element.setAttribute("aria-busy", "false");
    this.fault.textContent = words;
    this.fault.hidden = this.retry.hidden = false;
    this.body.hidden = true;
  }

  // show shows an answer, and the dense model's time if that is known. The block that the user looks at stays.
  async show(answer, denseTime) {
    this.newest = answer;
    if (answer.picture !== this.answer?.picture) {
      const pixels = await loadPicture(answer.picture);
      if (this.newest !== answer) return; // another was there sooner
      this.pixels = pixels;
    }
    const blocks = answer.layers, depths = patchDepths(answer);
    this.answer = answer;
    this.element.setAttribute("aria-busy", "false");
    if (document.activeElement === this.retry) this.remove.focus(); // for the keyboard to go on from
    this.fault.hidden = this.retry.hidden = true;
    this.body.hidden = this.blocks.hidden = this.costs.hidden = this.seen.hidden = false;
    this.original.hidden = true;
    paintSeen(this.seen, this.pixels);
    this.seen.setAttribute("aria-label", `${this.name}, as the model saw it`);
    this.seenWords.textContent = `as the model saw it, ${this.pixels.width}\u00a0×\u00a0${this.pixels.height} pixels`;
    if (Number(this.block.max) !== blocks) {
      this.block.max = blocks;
      this.block.value = 0;
    }
    this.last.textContent = `block ${blocks}`;
    this.running.style.setProperty("--blocks", blocks);
    this.running.replaceChildren(make("b"), ...Array.from({ length: blocks }, (_, i) => {
      const bar = make("i");
      bar.style.setProperty("--share", runningIn(depths, i + 1) / depths.length);
      return bar;
    }));
    this.showTop();
    this.showCost(denseTime);
    this.showBlock();
  }

  showTop() {
    this.top.replaceChildren(...this.answer.top.map(({ label, class: index, probability }) => {
      const bar = make("i"), name = label || `class ${index}`;
      bar.style.setProperty("--share", probability);
      return make("li", {}, make("span", { class: "name", title: name }, name),
        make("span", { class: "bar", "aria-hidden": "true" }, bar),
        make("span", { class: "share" }, chance(probability)));
    }));
  }

  // showCost shows multiply-adds, token-blocks and time beside those of the dense model. Its time is measured where the
  // server has such a model, else what the multiply-adds come to.
  showCost(denseTime) {
    const a = this.answer, time = a.times.inference_ms;
    const guess = !known(denseTime), dense = guess ? time * a.dense_macs / a.macs : denseTime;
    this.denseTime = denseTime;
    const row = (name, here, beside, share, guessed) => make("tr", {}, make("th", { scope: "row" }, name),
      make("td", {}, here), make("td", { class: guessed ? "guess" : "" }, beside), make("td", {}, share));
    this.cost.replaceChildren(
      row("multiply-adds", quantity(a.macs), quantity(a.dense_macs), percent(a.macs / a.dense_macs)),
      row("token-blocks", String(a.token_blocks), String(a.dense_token_blocks),
        percent(a.token_blocks / a.dense_token_blocks)),
      row("inference", milliseconds(time), (guess ? "≈\u00a0" : "") + milliseconds(dense),
        guess ? "–" : percent(time / dense), guess));
    const words = [];
    if (known(a.compute_budget_applied)) {
      words.push(`Budget ${percent(a.compute_budget_applied)}, ${reasons[a.budget_reason] ?? a.budget_reason}.`);
    }
    if (known(a.compute_budget_max)) words.push(`No more than ${percent(a.compute_budget_max)}.`);
    words.push(`In all ${milliseconds(a.times.total_ms)}` +
      (a.times.queue_ms >= 0.05 ? `, of which ${milliseconds(a.times.queue_ms)} waiting.` : "."));
    if (guess) words.push("≈ follows from the multiply-adds.");
    this.why.textContent = words.join(" ");
  }

  showBlock() {
    const block = Number(this.block.value), a = this.answer, depths = patchDepths(a);
    const running = runningIn(depths, block), least = Math.min(...depths), most = Math.max(...depths);
    const range = least === most ? most : `${least} to ${most}`, average = mean(depths).toFixed(1);
    if (block === 0) {
      paintDepths(this.map, this.pixels, a);
      this.mapWords.textContent = `patches ran in ${average} of ${a.layers} blocks on average`;
      this.map.setAttribute("aria-label",
        `Depth map: ${depths.length} patches ran in ${range} of ${a.layers} blocks, ${average} on average`);
    } else {
      paintBlock(this.map, this.pixels, a, block);
      this.mapWords.textContent = `block ${block}: ` + (running ? `${running} of ${depths.length} patches still run` :
        block > a.blocks ? `the picture ended after block ${a.blocks}` : "no patch runs any more");
      this.map.setAttribute("aria-label", `${this.name}, ${this.mapWords.textContent}`);
    }
    this.block.setAttribute("aria-valuetext", block === 0 ? "depth map of all blocks" : this.mapWords.textContent);
    [...this.running.children].forEach((bar, i) => bar.classList.toggle("now", block === 0 || i === block));
  }

  // start goes through the blocks, one after the other, and back to the map.
  start() {
    if (Number(this.block.value) === Number(this.block.max)) this.block.value = 0;
    this.play.textContent = "Stop";
    this.timer = setInterval(() => {
      const next = Number(this.block.value) + 1;
      this.block.value = next > Number(this.block.max) ? 0 : next;
      this.showBlock();
      if (next > Number(this.block.max)) this.stop();
    }, 450);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
  }

  // words are what is read aloud of the answer.
  words() {
    if (!this.answer || this.body.hidden) return `${this.name}: ${this.fault.textContent.replace(/\.$/, "")}`;
    const { label, class: index, probability } = this.answer.top[0];
    return `${this.name}: ${label || `class ${index}`}, ${chance(probability)}`;
  }
}
