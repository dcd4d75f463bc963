"use strict";

// The match graph as a matrix: photos in the order of their names, a cell for each pair.
function makeGraph(canvas, pairs, photos, told) {
  const context = canvas.getContext("2d"), count = photos.length, strip = 6; // of components, beside the cells
  const cells = document.createElement("canvas"), matches = new Map(pairs.map(([a, b, n]) => [a * count + b, n]));
  const counts = pairs.map(pair => pair[2]), most = Math.log(Math.max(...counts, 2)), least = Math.log(Math.min(...counts, 1e9));
  let colors = {}, chosen = -1, at = null, side = 0, ratio = 1;

  const between = (a, b) => matches.get(Math.min(a, b) * count + Math.max(a, b));

  function paintCells() {
    cells.width = cells.height = count;
    const image = cells.getContext("2d").createImageData(count, count);
    const put = (row, column, color, share) => {
      const [r, g, b] = rgb(color), start = 4 * (row * count + column);
      image.data.set([r, g, b, Math.round(255 * share)], start);
    };
    for (const [a, b, n] of pairs) {
      const share = 0.18 + 0.82 * (most > least ? (Math.log(n) - least) / (most - least) : 1);
      put(a, b, componentColor(colors, photos[a].component), share);
      put(b, a, componentColor(colors, photos[a].component), share);
    }
    cells.getContext("2d").putImageData(image, 0, 0);
  }

  function rgb(color) {
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = color;
    const hex = probe.fillStyle;
    return [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
  }

  function draw() {
    if (!side) return;
    const edge = strip * ratio + 4 * ratio, inner = side - edge, cell = inner / count;
    context.clearRect(0, 0, side, side);
    context.fillStyle = colors.page;
    context.fillRect(edge, edge, inner, inner);
    context.imageSmoothingEnabled = false;
    context.drawImage(cells, edge, edge, inner, inner);
    photos.forEach((photo, k) => {
      context.fillStyle = photo.linked ? componentColor(colors, photo.component) : colors.line;
      context.globalAlpha = photo.camera ? 1 : 0.35;
      context.fillRect(0, edge + k * cell, strip * ratio, Math.max(1, cell - (cell > 4 ? 1 : 0)));
      context.fillRect(edge + k * cell, 0, Math.max(1, cell - (cell > 4 ? 1 : 0)), strip * ratio);
      context.fillRect(edge + k * cell, edge + k * cell, Math.max(1, cell), Math.max(1, cell));
      context.globalAlpha = 1;
    });
    if (chosen >= 0) {
      context.strokeStyle = colors.second;
      context.lineWidth = 1.5 * ratio;
      context.strokeRect(edge, edge + chosen * cell, inner - 1, cell);
      context.strokeRect(edge + chosen * cell, edge, cell, inner - 1);
    }
    if (at) {
      context.strokeStyle = colors.ink;
      context.lineWidth = 2 * ratio;
      const grow = Math.max(0, (5 * ratio - cell) / 2);
      context.strokeRect(edge + at[1] * cell - grow, edge + at[0] * cell - grow, cell + 2 * grow, cell + 2 * grow);
    }
  }

  function go(row, column) {
    const clamp = value => Math.max(0, Math.min(count - 1, value));
    at = [clamp(row), clamp(column)];
    const [a, b] = at.map(k => photos[k].name), n = between(...at);
    told.pair(at[0] === at[1] ? a : `${a} and ${b}: ${n ? `${n.toLocaleString("en")} matches` : "no matches"}`);
    draw();
  }

  canvas.addEventListener("pointermove", event => go(...spot(event)));
  canvas.addEventListener("pointerleave", () => { at = null; draw(); });
  canvas.addEventListener("click", event => { go(...spot(event)); told.select(at[0]); });
  canvas.addEventListener("keydown", event => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (step) go(...(at ? [at[0] + step[0], at[1] + step[1]] : [Math.max(0, chosen), Math.max(0, chosen)]));
    else if (event.key === "Enter" && at) told.select(at[0]);
    else return;
    event.preventDefault();
  });

  function spot(event) {
    const box = canvas.getBoundingClientRect(), edge = strip + 4, inner = box.width - edge;
    return [event.clientY - box.top, event.clientX - box.left].map(value => Math.floor(((value - edge) / inner) * count));
  }

  new ResizeObserver(() => {
    ratio = Math.min(devicePixelRatio || 1, 2);
    side = canvas.width = canvas.height = Math.round(canvas.clientWidth * ratio);
    draw();
  }).observe(canvas);
  return {
    paint: found => { colors = found; paintCells(); draw(); },
    select: index => { chosen = index; draw(); },
  };
}
