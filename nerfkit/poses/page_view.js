"use strict";

// The 3D view: points with a depth buffer of their own, frusta as lines above them, on a plain canvas. +Z is up.
function makeView(canvas, data, photos, told) {
  const context = canvas.getContext("2d");
  const layer = document.createElement("canvas"), layerContext = layer.getContext("2d");
  const cloud = decodePoints(data.points);
  const cameras = photos.map(photo => photo.camera && frustum(photo.camera));
  const placed = cameras.map((camera, index) => camera && index).filter(index => index !== null);
  const size = frustumSize(placed.map(index => cameras[index].at));
  const home = homeView();
  let look = { ...home }, chosen = -1, hovered = -1, withPhotos = false, colors = {}, pixels = null, depth = null;
  let ratio = 1, width = 0, height = 0, basis = null, waiting = false;

  function frustum(camera) {
    const r = camera.turn, column = k => [r[k], r[3 + k], r[6 + k]];
    return { at: camera.at, right: column(0), down: column(1), ahead: column(2), sides: camera.sides };
  }

  // A third of the way to the next camera, but neither dots nor houses.
  function frustumSize(places) {
    if (!places.length) return 1;
    const nearest = places.map((a, i) => Math.min(...places.map((b, j) => (i === j ? Infinity : distance(a, b)))));
    const spread = Math.max(...[0, 1, 2].map(k => Math.max(...places.map(p => p[k])) - Math.min(...places.map(p => p[k]))));
    const gap = median(nearest.filter(Number.isFinite));
    return Math.min(Math.max(0.45 * (gap || spread), 0.035 * spread), 0.12 * spread) || 0.1;
  }

  function homeView() {
    const places = [[0, 0, 0], ...placed.map(index => cameras[index].at)];
    const target = [0, 1, 2].map(k => (Math.min(...places.map(p => p[k])) + Math.max(...places.map(p => p[k]))) / 2);
    const radius = Math.max(...places.map(p => distance(p, target))) || 1, first = places[1] || [0, -1, 0.5];
    return { target, yaw: Math.atan2(first[1], first[0]) + 0.35, pitch: 0.5, distance: 2.5 * radius, fov: 0.8 };
  }

  function decodePoints({ count, low, step, xyz, rgb }) {
    const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    const shorts = new DataView(bytes(xyz).buffer), position = new Float32Array(3 * count);
    for (let i = 0; i < 3 * count; i++) position[i] = low[i % 3] + step * shorts.getUint16(2 * i, true);
    const channel = bytes(rgb), color = new Uint32Array(count);
    for (let i = 0; i < count; i++) color[i] = 0xff000000 | (channel[3 * i + 2] << 16) | (channel[3 * i + 1] << 8) | channel[3 * i];
    return { count, position, color };
  }

  // --- projection ---------------------------------------------------------------------------------------------

  function prepare() {
    const [cy, sy, cp, sp] = [Math.cos(look.yaw), Math.sin(look.yaw), Math.cos(look.pitch), Math.sin(look.pitch)];
    const back = [cp * cy, cp * sy, sp];
    basis = {
      right: [-sy, cy, 0], up: [-sp * cy, -sp * sy, cp], ahead: back.map(v => -v),
      eye: look.target.map((t, k) => t + look.distance * back[k]),
      focal: Math.min(width, height) / 2 / Math.tan(look.fov / 2), near: look.distance * 0.02,
    };
  }

  function toView(p) {
    const d = [p[0] - basis.eye[0], p[1] - basis.eye[1], p[2] - basis.eye[2]];
    return [dot(d, basis.right), dot(d, basis.up), dot(d, basis.ahead)];
  }

  const toScreen = v => [width / 2 + (basis.focal * v[0]) / v[2], height / 2 - (basis.focal * v[1]) / v[2]];

  function corner(camera, right, down, far) {
    return camera.at.map((a, k) => a + far * (camera.ahead[k] + right * camera.right[k] + down * camera.down[k]));
  }

  function corners(camera, far) {
    const [l, t, r, b] = camera.sides;
    return [corner(camera, l, t, far), corner(camera, r, t, far), corner(camera, r, b, far), corner(camera, l, b, far)];
  }

  // --- drawing ------------------------------------------------------------------------------------------------

  function draw() {
    waiting = false;
    if (!width) return;
    prepare();
    context.clearRect(0, 0, width, height);
    if (data.frame.ground || data.frame.unit === "m") drawGrid();
    drawPoints();
    context.lineJoin = "round";
    const order = placed.map(index => [toView(cameras[index].at)[2], index]).sort((a, b) => b[0] - a[0]);
    for (const [, index] of order) drawCamera(index);
    drawScale();
  }

  function later() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  function line(a, b) {
    let u = toView(a), v = toView(b);
    if (u[2] < basis.near && v[2] < basis.near) return;
    if (u[2] < basis.near) [u, v] = [v, u];
    if (v[2] < basis.near) {
      const t = (basis.near - u[2]) / (v[2] - u[2]);
      v = v.map((value, k) => u[k] + t * (value - u[k]));
    }
    const [p, q] = [toScreen(u), toScreen(v)];
    context.moveTo(p[0], p[1]);
    context.lineTo(q[0], q[1]);
  }

  function drawGrid() {
    const step = roundNumber(home.distance / 12), half = 10 * step;
    context.beginPath();
    for (let k = -10; k <= 10; k++) {
      line([k * step, -half, 0], [k * step, half, 0]);
      line([-half, k * step, 0], [half, k * step, 0]);
    }
    context.lineWidth = ratio * 0.6;
    context.strokeStyle = colors.grid;
    context.stroke();
  }

  function drawPoints() {
    pixels.data.fill(0);
    depth.fill(Infinity);
    const out = new Uint32Array(pixels.data.buffer), { position, color, count } = cloud, { eye, right, up, ahead, focal, near } = basis;
    const dot = Math.max(1, Math.round((count < 10000 ? 2.2 : 1.5) * ratio));
    for (let i = 0; i < count; i++) {
      const x = position[3 * i] - eye[0], y = position[3 * i + 1] - eye[1], z = position[3 * i + 2] - eye[2];
      const far = x * ahead[0] + y * ahead[1] + z * ahead[2];
      if (far < near) continue;
      const column = (width / 2 + (focal * (x * right[0] + y * right[1])) / far - dot / 2) | 0;
      const row = (height / 2 - (focal * (x * up[0] + y * up[1] + z * up[2])) / far - dot / 2) | 0;
      if (column < 0 || row < 0 || column + dot > width || row + dot > height) continue;
      for (let r = row; r < row + dot; r++)
        for (let at = r * width + column, end = at + dot; at < end; at++)
          if (far < depth[at]) {
            depth[at] = far;
            out[at] = color[i];
          }
    }
    layerContext.putImageData(pixels, 0, 0);
    context.drawImage(layer, 0, 0);
  }

  function drawCamera(index) {
    const camera = cameras[index], strong = index === chosen || index === hovered;
    const far = size * (index === chosen ? 1.9 : 1), plane = corners(camera, far);
    if (index === chosen || withPhotos) drawPhoto(index, plane);
    context.beginPath();
    for (let k = 0; k < 4; k++) {
      line(camera.at, plane[k]);
      line(plane[k], plane[(k + 1) % 4]);
    }
    const [l, t, r] = camera.sides, middle = (l + r) / 2; // a roof shows which side is up
    line(plane[0], corner(camera, middle, t * 1.35, far));
    line(plane[1], corner(camera, middle, t * 1.35, far));
    context.lineWidth = ratio * (strong ? 2.4 : 1.2);
    context.strokeStyle = index === chosen ? colors.second : componentColor(colors, photos[index].component);
    context.stroke();
  }

  function drawPhoto(index, plane) {
    const image = told.image(index), seen = plane.map(toView);
    if (!image || !image.complete || !image.naturalWidth || seen.some(v => v[2] < basis.near)) return;
    const [a, b, c, d] = seen.map(toScreen), [w, h] = [image.naturalWidth, image.naturalHeight];
    context.save();
    context.beginPath();
    for (const p of [a, b, c, d]) context.lineTo(p[0], p[1]);
    context.clip(); // perspective is left out: one parallelogram through the middle of the sides
    const across = [(b[0] - a[0] + c[0] - d[0]) / 2, (b[1] - a[1] + c[1] - d[1]) / 2];
    const along = [(d[0] - a[0] + c[0] - b[0]) / 2, (d[1] - a[1] + c[1] - b[1]) / 2];
    const middle = [(a[0] + b[0] + c[0] + d[0]) / 4, (a[1] + b[1] + c[1] + d[1]) / 4];
    const grow = 1.04;
    const start = middle.map((m, k) => m - (grow * (across[k] + along[k])) / 2);
    context.transform((grow * across[0]) / w, (grow * across[1]) / w, (grow * along[0]) / h, (grow * along[1]) / h, start[0], start[1]);
    const within = distance(basis.eye, cameras[index].at) < 0.3 * size; // looked through: the points show as well
    context.globalAlpha = within ? 0.45 : index === chosen ? 1 : 0.85;
    context.drawImage(image, 0, 0);
    context.restore();
  }

  function drawScale() {
    const unit = roundNumber((90 * ratio * look.distance) / basis.focal), length = (unit * basis.focal) / look.distance;
    const bottom = height - 16 * ratio, left = 92 * ratio;
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.fillStyle = context.strokeStyle = colors.ink;
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    context.moveTo(left, bottom - 5 * ratio);
    context.lineTo(left, bottom);
    context.lineTo(left + length, bottom);
    context.lineTo(left + length, bottom - 5 * ratio);
    context.stroke();
    context.textAlign = "center";
    context.fillText(`${tidy(unit)} ${data.frame.unit}`, left + length / 2, bottom - 8 * ratio);
    const middle = [40 * ratio, height - 40 * ratio], reach = 24 * ratio;
    const axes = [[[1, 0, 0], "#d8453c"], [[0, 1, 0], "#3f9b4f"], [[0, 0, 1], "#3b7fe0"]];
    const ends = axes.map(([axis, color], k) => ({ color, name: data.frame.axes[k], x: dot(axis, basis.right), y: dot(axis, basis.up), z: dot(axis, basis.ahead) }));
    context.textBaseline = "middle";
    for (const { color, name, x, y } of ends.sort((a, b) => b.z - a.z)) {
      context.strokeStyle = context.fillStyle = color;
      context.lineWidth = 2 * ratio;
      context.beginPath();
      context.moveTo(middle[0], middle[1]);
      context.lineTo(middle[0] + reach * x, middle[1] - reach * y);
      context.stroke();
      context.fillText(name, middle[0] + 1.38 * reach * x, middle[1] - 1.38 * reach * y);
    }
    context.textBaseline = "alphabetic";
  }

  // --- pointers and keys --------------------------------------------------------------------------------------

  function hit(x, y, touch) {
    let best = -1, least = Infinity;
    for (const index of placed) {
      const plane = corners(cameras[index], size).map(toView), apex = toView(cameras[index].at);
      if (apex[2] < basis.near || plane.some(v => v[2] < basis.near)) continue;
      const reach = (touch ? 22 : 12) * ratio, at = toScreen(apex), spots = plane.map(toScreen);
      const middle = [(spots[0][0] + spots[2][0]) / 2, (spots[0][1] + spots[2][1]) / 2];
      const away = Math.min(Math.hypot(at[0] - x, at[1] - y), Math.hypot(middle[0] - x, middle[1] - y));
      if (away < reach || inside(spots, x, y)) {
        const score = apex[2] + away * 1e-3 * look.distance / ratio;
        if (score < least) [best, least] = [index, score];
      }
    }
    return best;
  }

  function turn(dx, dy) {
    look.yaw -= dx;
    look.pitch = Math.min(1.57, Math.max(-1.57, look.pitch + dy));
    later();
  }

  function move(dx, dy) { // pixels of the canvas
    const unit = look.distance / basis.focal;
    look.target = look.target.map((t, k) => t + unit * (-dx * basis.right[k] + dy * basis.up[k]));
    later();
  }

  function zoom(factor) {
    look.distance = Math.min(40 * home.distance, Math.max(0.004 * home.distance, look.distance * factor));
    later();
  }

  const pointers = new Map();
  let pressed = null, moved = 0, scrolled = 0;
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };

  canvas.addEventListener("pointerdown", event => {
    try {
      canvas.setPointerCapture(event.pointerId);
    } catch {
      // a pointer that is gone already, or one that a script made up
    }
    pointers.set(event.pointerId, place(event));
    pressed = place(event);
    moved = pointers.size > 1 ? Infinity : 0;
    hover(-1);
  });
  canvas.addEventListener("pointermove", event => {
    const [x, y] = place(event);
    if (!pointers.has(event.pointerId)) return hover(event.pointerType === "touch" ? -1 : hit(x, y), x, y);
    const [px, py] = pointers.get(event.pointerId), dx = x - px, dy = y - py;
    moved += Math.hypot(dx, dy);
    if (pointers.size === 1 && moved > 3 * ratio) {
      if (event.shiftKey || event.buttons & 6) move(dx, dy);
      else turn((dx / ratio) * 0.007, (dy / ratio) * 0.007);
    } else if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const before = Math.hypot(px - other[0], py - other[1]), after = Math.hypot(x - other[0], y - other[1]);
      zoom(before / Math.max(after, 1));
      move(dx / 2, dy / 2);
    }
    pointers.set(event.pointerId, [x, y]);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, event => {
      pointers.delete(event.pointerId);
      if (name === "pointerup" && pressed && moved <= 4 * ratio) {
        const index = hit(...pressed, event.pointerType === "touch");
        if (index >= 0) told.select(index);
      }
      pressed = null;
    });
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  addEventListener("scroll", () => (scrolled = performance.now()), { passive: true });
  canvas.addEventListener("wheel", event => {
    if (performance.now() - scrolled < 250) return void (scrolled = performance.now()); // the page is being scrolled past
    event.preventDefault();
    zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY * (event.deltaMode ? 20 : 1))) * 0.004));
  }, { passive: false });
  canvas.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const actions = { "+": "in", "=": "in", "-": "out", "0": "reset", Home: "reset", t: "top", s: "side" };
    if (step && event.shiftKey) move(step[0] * -30 * ratio, step[1] * -30 * ratio);
    else if (step) turn(step[0] * -0.08, step[1] * -0.08);
    else if (actions[event.key.toLowerCase()] || actions[event.key]) act(actions[event.key] || actions[event.key.toLowerCase()]);
    else if ("np".includes(event.key.toLowerCase()) && placed.length) {
      const at = placed.indexOf(chosen), by = event.key.toLowerCase() === "n" ? 1 : -1;
      told.select(placed[at < 0 ? 0 : (at + by + placed.length) % placed.length]);
    } else return;
    event.preventDefault();
  });

  function hover(index, x, y) {
    if (index !== hovered) later();
    hovered = index;
    canvas.style.cursor = index >= 0 ? "pointer" : "";
    told.hover(index, x / ratio, y / ratio, width / ratio, height / ratio);
  }

  function act(name) {
    if (name === "in") zoom(0.8);
    if (name === "out") zoom(1.25);
    if (name === "top") look = { ...home, yaw: -Math.PI / 2, pitch: 1.57 };
    if (name === "side") look = { ...home, pitch: 0.02 };
    if (name === "reset") look = { ...home };
    later();
  }

  // From where the photo was taken, through a lens that shows a little more.
  function lookThrough(index) {
    const { at, ahead, sides } = cameras[index], far = Math.max(Math.hypot(...at), 2 * size);
    const half = Math.max(Math.max(-sides[0], sides[2]) / Math.max(1, (canvas.clientWidth || 1) / (canvas.clientHeight || 1)), Math.max(-sides[1], sides[3]));
    look = {
      target: at.map((a, k) => a + far * ahead[k]), distance: far, fov: 2 * Math.atan(1.15 * half),
      yaw: Math.atan2(-ahead[1], -ahead[0]), pitch: Math.asin(Math.max(-1, Math.min(1, -ahead[2]))),
    };
    later();
  }

  function resize() {
    ratio = Math.min(devicePixelRatio || 1, 2);
    width = Math.round(canvas.clientWidth * ratio);
    height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    [canvas.width, canvas.height, layer.width, layer.height] = [width, height, width, height];
    pixels = layerContext.createImageData(width, height);
    depth = new Float32Array(width * height);
    draw();
  }

  new ResizeObserver(resize).observe(canvas);
  return {
    act, lookThrough, redraw: later,
    drawNow: () => (width ? draw() : resize()), // without waiting for the browser's next frame
    place: index => (prepare(), toScreen(toView(cameras[index].at)).map(value => value / ratio)),
    paint: found => { colors = found; later(); },
    select: index => { chosen = cameras[index] ? index : -1; later(); },
    showPhotos: shown => { withPhotos = shown; later(); },
  };
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
const median = values => values.sort((a, b) => a - b)[values.length >> 1];
const tidy = value => String(Number(value.toPrecision(3)));

function roundNumber(value) { // down to 1, 2 or 5 times a power of ten
  const power = 10 ** Math.floor(Math.log10(value)), head = value / power;
  return power * (head >= 5 ? 5 : head >= 2 ? 2 : 1);
}

function inside(corners, x, y) {
  const sides = corners.map((a, k) => {
    const b = corners[(k + 1) % corners.length];
    return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) > 0;
  });
  return sides.every(side => side === sides[0]);
}

const COMPONENTS = ["main", "fourth", "third", "second"];
const componentColor = (colors, component) => colors[COMPONENTS[component]] || colors.soft;
