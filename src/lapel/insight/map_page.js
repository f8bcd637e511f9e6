// The map of a catalogue: everything is in this file. Data are in <script type="text/plain"> blocks, see
// catalogue_map.py: "about" (JSON), "columns" (uint16: column, row, finest group, then one a facet), "colours" (three
// bytes a product), "texts" (ids, titles, prices, links), and sheets of small pictures; the last has the groups' own.
(async () => {
  const byId = (id) => document.getElementById(id);
  const canvas = byId("canvas"), context = canvas.getContext("2d");
  const PICTURES_FROM = 9, LARGEST = 150; // pixels of a cell's width: pictures in place of dots; the closest view
  const DIMMED = 0.12, LABELS = 40, SHOWN = 30, STEP = 1.4;

  const bytes = (id) => Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  const unpacked = async (id) => {
    const stream = new Blob([bytes(id)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const text = async (id) => new TextDecoder().decode(await unpacked(id));
  if (typeof DecompressionStream === "undefined") {
    byId("wait").textContent = "This browser is too old for the map: it needs Chrome 80, Firefox 113 or Safari 16.4.";
    return;
  }
  const about = JSON.parse(await text("about"));
  const count = about.count, [columns, rows] = about.grid, [tileWide, tileHigh, across, perSheet] = about.tile;
  const packed = await unpacked("columns");
  const numbers = new Uint16Array(packed.buffer, 0, packed.length / 2);
  const column = (at) => numbers.subarray(at * count, (at + 1) * count);
  const atColumn = column(0), atRow = column(1), finest = column(2);
  const facets = about.facets.map((facet, at) => ({ ...facet, of: column(3 + at), chosen: -1 }));
  const colours = await unpacked("colours");
  const [ids, titles, prices, links] = (await text("texts")).split("\0").map((part) => part.split("\n"));
  const folded = titles.map((title, at) => `${title} ${ids[at]}`.toLowerCase());

  // A cell is 3 wide and 4 high in units of the map; a unit is `scale` pixels on the page.
  const WIDE = 3, HIGH = 4, mapWide = columns * WIDE, mapHigh = rows * HIGH;
  const cells = new Int32Array(columns * rows).fill(-1);
  for (let at = 0; at < count; at++) cells[atRow[at] * columns + atColumn[at]] = at;

  const clusters = about.clusters.map((row, at) => ({
    level: row[0], number: row[1], parent: row[2], name: row[3], size: row[4],
    x: (row[5] + 0.5) * WIDE, y: (row[6] + 0.5) * HIGH,
    box: [row[7] * WIDE, row[8] * HIGH, (row[9] + 1) * WIDE, (row[10] + 1) * HIGH], large: about.large[2][at],
  }));
  const levels = [...Array(about.levels)].map((_, level) => clusters.filter((each) => each.level === level));
  const groupOf = (at, level) => {
    let number = finest[at];
    for (let now = about.levels - 1; now > level; now--) number = levels[now][number].parent;
    return number;
  };

  // --- what is shown ---------------------------------------------------------------------------------------------
  let scale = 1, left = 0, top = 0, ratio = 1, wide = 0, high = 0, least = 0.1;
  let group = null, level = null, opened = -1, words = [];
  let match = new Uint8Array(count).fill(1), narrowed = false;
  const mosaic = document.createElement("canvas");
  mosaic.width = columns; mosaic.height = rows;

  const paintMosaic = () => {
    const image = new ImageData(columns, rows);
    for (let at = 0; at < count; at++) {
      const to = (atRow[at] * columns + atColumn[at]) * 4;
      image.data[to] = colours[at * 3]; image.data[to + 1] = colours[at * 3 + 1];
      image.data[to + 2] = colours[at * 3 + 2]; image.data[to + 3] = match[at] ? 255 : 255 * DIMMED;
    }
    mosaic.getContext("2d").putImageData(image, 0, 0);
  };

  const narrow = () => {
    const asked = facets.filter((facet) => facet.chosen >= 0);
    narrowed = asked.length > 0 || words.length > 0 || group !== null;
    let shown = 0;
    for (let at = 0; at < count; at++) {
      const yes = asked.every((facet) => facet.of[at] === facet.chosen) && words.every((word) => folded[at].includes(word))
        && (group === null || groupOf(at, group.level) === group.number);
      match[at] = yes ? 1 : 0;
      shown += match[at];
    }
    byId("found").textContent = narrowed ? `${shown.toLocaleString("en")} of ${count.toLocaleString("en")} products` : "";
    const hits = byId("hits");
    hits.replaceChildren();
    if (words.length || asked.length) {
      for (let at = 0, told = 0; at < count && told < SHOWN; at++) {
        if (match[at]) { hits.append(entry(titles[at] || ids[at], prices[at], () => open(at, true))); told++; }
      }
    }
    paintMosaic();
    draw();
  };

  const entry = (name, note, act) => {
    const item = document.createElement("li"), button = document.createElement("button"), side = document.createElement("span");
    button.type = "button";
    button.append(name, side);
    side.textContent = note;
    button.addEventListener("click", act);
    item.append(button);
    return item;
  };

  // --- pictures --------------------------------------------------------------------------------------------------
  const sheets = [];
  const total = Math.ceil(count / perSheet) + 1;
  const decodeSheets = async () => {
    for (let at = 0; at < total; at++) {
      const number = at === 0 ? total - 1 : at - 1; // the groups' own pictures first
      sheets[number] = await createImageBitmap(new Blob([bytes(`sheet${number}`)], { type: "image/webp" }));
      byId(`sheet${number}`).textContent = "";
      draw();
    }
  };
  const largeAcross = () => Math.max(1, Math.floor(sheets[total - 1].width / about.large[0]));
  const drawTile = (to, at, x, y, w, h) => {
    const sheet = sheets[Math.floor(at / perSheet)], place = at % perSheet;
    if (!sheet) return false;
    to.drawImage(sheet, (place % across) * tileWide, Math.floor(place / across) * tileHigh, tileWide, tileHigh, x, y, w, h);
    return true;
  };
  const drawLarge = (to, each, x, y, w, h) => {
    const sheet = sheets[total - 1], [lw, lh] = about.large;
    if (!sheet) return false;
    to.drawImage(sheet, (each.large % largeAcross()) * lw, Math.floor(each.large / largeAcross()) * lh, lw, lh, x, y, w, h);
    return true;
  };

  // --- drawing ---------------------------------------------------------------------------------------------------
  let waiting = false;
  const draw = () => {
    if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; paint(); }); }
  };
  const levelNow = () => {
    if (level !== null) return level;
    const zoom = scale / least;
    return Math.min(about.levels - 1, zoom < 1.8 ? 0 : zoom < 5 ? 1 : 2);
  };
  const paint = () => {
    const style = getComputedStyle(document.documentElement);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, high);
    const cell = WIDE * scale;
    context.imageSmoothingEnabled = false;
    if (cell < PICTURES_FROM) {
      context.imageSmoothingEnabled = cell < 1;
      context.drawImage(mosaic, -left * scale, -top * scale, mapWide * scale, mapHigh * scale);
    } else {
      context.imageSmoothingEnabled = true;
      paintPictures(cell, HIGH * scale);
    }
    if (opened >= 0) {
      context.strokeStyle = style.getPropertyValue("--mark");
      context.lineWidth = 3;
      const w = Math.max(cell, 8), h = Math.max(HIGH * scale, 10);
      context.strokeRect((atColumn[opened] * WIDE - left) * scale - 2, (atRow[opened] * HIGH - top) * scale - 2, w + 4, h + 4);
    }
    if (cell < LARGEST * 0.5) paintLabels(style);
  };
  const paintPictures = (w, h) => {
    const first = Math.max(0, Math.floor(left / WIDE)), last = Math.min(columns - 1, Math.floor((left + wide / scale) / WIDE));
    const start = Math.max(0, Math.floor(top / HIGH)), end = Math.min(rows - 1, Math.floor((top + high / scale) / HIGH));
    for (let row = start; row <= end; row++) {
      for (let at = first; at <= last; at++) {
        const product = cells[row * columns + at];
        if (product < 0) continue;
        context.globalAlpha = match[product] ? 1 : DIMMED;
        const x = (at * WIDE - left) * scale, y = (row * HIGH - top) * scale;
        if (!drawTile(context, product, x, y, w - 0.5, h - 0.5)) {
          context.fillStyle = `rgb(${colours[product * 3]},${colours[product * 3 + 1]},${colours[product * 3 + 2]})`;
          context.fillRect(x, y, w - 0.5, h - 0.5);
        }
      }
    }
    context.globalAlpha = 1;
  };
  const paintLabels = (style) => {
    const now = levelNow(), ink = style.getPropertyValue("--ink"), halo = style.getPropertyValue("--halo");
    const taken = [], size = wide < 500 ? 12 : 13.5;
    const picture = wide < 500 ? [24, 32] : [36, 48];
    context.font = `600 ${size}px system-ui,sans-serif`;
    context.textAlign = "center";
    context.lineJoin = "round";
    let told = 0;
    for (const each of levels[now]) {
      if (told >= LABELS) break;
      if (group !== null && !(each === group || inside(each, group))) continue;
      const x = (each.x - left) * scale, y = (each.y - top) * scale;
      if (x < -60 || y < -60 || x > wide + 60 || y > high + 60) continue;
      const lines = wrapped(each.name), shows = WIDE * scale < PICTURES_FROM && sheets[total - 1];
      const w = Math.max(...lines.map((line) => context.measureText(line).width), shows ? picture[0] : 0) + 8;
      const h = lines.length * size * 1.2 + (shows ? picture[1] + 4 : 0) + 4;
      const box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
      if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
      taken.push(box);
      told++;
      let line = box[1] + size + 2;
      if (shows) {
        context.fillStyle = halo;
        context.fillRect(x - picture[0] / 2 - 1.5, box[1] - 1.5, picture[0] + 3, picture[1] + 3);
        drawLarge(context, each, x - picture[0] / 2, box[1], picture[0], picture[1]);
        line += picture[1] + 2;
      }
      for (const words of lines) {
        context.strokeStyle = halo;
        context.lineWidth = 4;
        context.strokeText(words, x, line);
        context.fillStyle = ink;
        context.fillText(words, x, line);
        line += size * 1.2;
      }
    }
  };
  const inside = (each, other) => {
    while (each && each.level > other.level) each = levels[each.level - 1][each.parent];
    return each === other;
  };
  const wrapped = (name) => {
    if (name.length <= 18) return [name];
    const lines = [""];
    for (const word of name.split(" ")) {
      if (lines.at(-1) && (lines.at(-1) + word).length > 16) lines.push("");
      lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
    }
    return lines;
  };

  // --- moving ----------------------------------------------------------------------------------------------------
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let flight = 0;
  const bounded = () => {
    scale = Math.min(Math.max(scale, least * 0.7), LARGEST / WIDE);
    left = Math.min(Math.max(left, -wide / scale / 2), mapWide - wide / scale / 2);
    top = Math.min(Math.max(top, -high / scale / 2), mapHigh - high / scale / 2);
  };
  const fly = (x, y, wanted) => {
    const from = [left + wide / scale / 2, top + high / scale / 2, Math.log(scale)], number = ++flight;
    const to = [x, y, Math.log(Math.min(Math.max(wanted, least * 0.7), LARGEST / WIDE))], begun = performance.now();
    const step = (now) => {
      if (number !== flight) return;
      const part = still.matches ? 1 : Math.min(1, (now - begun) / 350), eased = 1 - (1 - part) ** 3;
      const [cx, cy, log] = from.map((value, at) => value + (to[at] - value) * eased);
      scale = Math.exp(log); left = cx - wide / scale / 2; top = cy - high / scale / 2;
      bounded();
      paint();
      if (part < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  };
  const zoomAt = (x, y, factor) => {
    flight++;
    const before = scale;
    scale = Math.min(Math.max(scale * factor, least * 0.7), LARGEST / WIDE);
    left += x / before - x / scale; top += y / before - y / scale;
    bounded();
    draw();
  };
  const everything = () => fly(mapWide / 2, mapHigh / 2, least);
  const toBox = ([x0, y0, x1, y1]) => fly((x0 + x1) / 2, (y0 + y1) / 2, 0.85 * Math.min(wide / (x1 - x0), high / (y1 - y0)));
  const resize = () => {
    const box = byId("map").getBoundingClientRect(), fitted = scale <= least * 1.01;
    if (box.width < 1 || box.height < 1) return;
    const cx = left + wide / scale / 2, cy = top + high / scale / 2;
    wide = box.width; high = box.height; ratio = Math.min(2, window.devicePixelRatio || 1);
    canvas.width = Math.round(wide * ratio); canvas.height = Math.round(high * ratio);
    least = 0.94 * Math.min(wide / mapWide, high / mapHigh);
    if (fitted) { scale = least; left = (mapWide - wide / scale) / 2; top = (mapHigh - high / scale) / 2; }
    else { left = cx - wide / scale / 2; top = cy - high / scale / 2; }
    paint();
  };

  // --- a product -------------------------------------------------------------------------------------------------
  const open = (at, go) => {
    opened = at;
    byId("product").hidden = false;
    byId("product-title").textContent = titles[at] || ids[at];
    const known = facets.map((facet) => facet.values[facet.of[at]]);
    byId("product-about").textContent = [prices[at], ...known].filter(Boolean).join(" \u00b7 ");
    byId("product-id").textContent = ids[at];
    const link = byId("product-link");
    link.hidden = !/^https?:\/\//i.test(links[at] || "");
    link.href = link.hidden ? "#" : links[at];
    const picture = byId("picture");
    picture.setAttribute("aria-label", titles[at] || ids[at]);
    const to = picture.getContext("2d");
    to.imageSmoothingQuality = "high";
    to.fillStyle = "#fff";
    to.fillRect(0, 0, picture.width, picture.height);
    drawTile(to, at, 0, 0, picture.width, picture.height);
    if (window.parent !== window) window.parent.postMessage({ lapel: { product: ids[at] } }, "*");
    if (go) fly((atColumn[at] + 0.5) * WIDE, (atRow[at] + 0.5) * HIGH, Math.max(scale, 40 / WIDE));
    else draw();
  };
  const close = () => { opened = -1; byId("product").hidden = true; draw(); };
  const nearest = (x, y) => {
    const c = Math.floor((left + x / scale) / WIDE), r = Math.floor((top + y / scale) / HIGH);
    const reach = Math.max(1, Math.ceil(12 / (WIDE * scale)));
    let best = -1, near = Infinity;
    for (let row = r - reach; row <= r + reach; row++) {
      for (let at = c - reach; at <= c + reach; at++) {
        if (row < 0 || at < 0 || row >= rows || at >= columns) continue;
        const product = cells[row * columns + at], off = (row - r) ** 2 + (at - c) ** 2;
        if (product >= 0 && (match[product] || !narrowed) && off < near) { near = off; best = product; }
      }
    }
    return best;
  };

  // --- hands -----------------------------------------------------------------------------------------------------
  const pointers = new Map();
  let moved = 0;
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    if (pointers.size === 1) moved = 0;
    flight++;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId), now = at(event);
    if (!before) return;
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    if (others.length) {
      const [x, y] = others[0], was = Math.hypot(before[0] - x, before[1] - y), is = Math.hypot(now[0] - x, now[1] - y);
      if (was > 0) zoomAt((now[0] + x) / 2, (now[1] + y) / 2, is / was);
      moved += 10;
    }
    left -= (now[0] - before[0]) / scale / (others.length + 1); top -= (now[1] - before[1]) / scale / (others.length + 1);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    pointers.set(event.pointerId, now);
    bounded();
    draw();
  });
  const lift = (event) => {
    if (!pointers.delete(event.pointerId) || event.type === "pointercancel" || moved > 6) return;
    const product = nearest(...at(event));
    if (product >= 0) open(product, false); else close();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(...at(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoomAt(...at(event), 2));
  canvas.addEventListener("keydown", (event) => {
    const far = 60 / scale, keys = {
      ArrowLeft: () => { left -= far; }, ArrowRight: () => { left += far; }, ArrowUp: () => { top -= far; },
      ArrowDown: () => { top += far; }, "+": () => zoomAt(wide / 2, high / 2, STEP), "=": () => zoomAt(wide / 2, high / 2, STEP),
      "-": () => zoomAt(wide / 2, high / 2, 1 / STEP), 0: everything, Escape: close,
      Enter: () => { const product = middle(); if (product >= 0) open(product, false); },
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
    bounded();
    draw();
  });
  const middle = () => {
    let best = -1, near = Infinity;
    const x = (left + wide / scale / 2) / WIDE - 0.5, y = (top + high / scale / 2) / HIGH - 0.5;
    for (let product = 0; product < count; product++) {
      const off = (atColumn[product] - x) ** 2 + (atRow[product] - y) ** 2;
      if (off < near && match[product]) { near = off; best = product; }
    }
    return best;
  };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });

  // --- beside the map --------------------------------------------------------------------------------------------
  byId("heading").textContent = `${about.title}: ${count.toLocaleString("en")} products`;
  byId("in").addEventListener("click", () => zoomAt(wide / 2, high / 2, STEP * STEP));
  byId("out").addEventListener("click", () => zoomAt(wide / 2, high / 2, 1 / STEP / STEP));
  byId("all").addEventListener("click", () => { choose(null); everything(); });
  byId("close").addEventListener("click", () => { close(); canvas.focus(); });
  byId("search").addEventListener("submit", (event) => event.preventDefault());
  let typing = 0;
  byId("words").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean); narrow(); }, 120);
  });
  for (const facet of facets) {
    const label = document.createElement("label"), select = document.createElement("select");
    label.append(facet.label, select);
    select.append(new Option("all", "-1"), ...facet.values.map((value, number) => new Option(value, String(number))));
    select.addEventListener("change", () => { facet.chosen = Number(select.value); narrow(); });
    byId("facets").append(label);
  }
  const choose = (each) => {
    group = group === each ? null : each;
    for (const button of byId("groups").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(group !== null && Number(button.dataset.number) === group.number));
    }
    narrow();
    if (group) toBox(group.box);
  };
  const list = (wanted) => {
    level = wanted;
    const now = wanted === null ? Math.min(1, about.levels - 1) : wanted;
    group = null;
    byId("groups").replaceChildren(...levels[now].map((each) => {
      const item = entry(each.name, each.size.toLocaleString("en"), () => choose(each)), button = item.firstChild;
      button.dataset.number = each.number;
      button.setAttribute("aria-pressed", "false");
      return item;
    }));
    for (const button of byId("levels").children) {
      button.setAttribute("aria-pressed", String(button.value === String(wanted)));
    }
    narrow();
  };
  for (const [name, value] of [["by zoom", null], ...levels.map((each, number) => [`${each.length} groups`, number])]) {
    const button = document.createElement("button");
    button.type = "button"; button.textContent = name; button.value = String(value);
    button.addEventListener("click", () => list(value));
    byId("levels").append(button);
  }
  if (matchMedia("(max-width: 700px)").matches) byId("panel").open = false;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  scale = least = 1e-9;
  new ResizeObserver(resize).observe(byId("map"));
  resize();
  list(null);
  byId("wait").hidden = true;
  await decodeSheets();
  document.documentElement.dataset.ready = "yes"; // for who waits until every picture is there
})();
