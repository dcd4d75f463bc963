"use strict";
(async () => {
  const element = id => document.getElementById(id);
  const taken = id => { // what a script element holds, which is then free to go
    const words = element(id).textContent;
    element(id).remove();
    return words;
  };
  const unpacked = words => {
    const letters = atob(words);
    const bytes = new Uint8Array(letters.length);
    for (let index = 0; index < bytes.length; index++) bytes[index] = letters.charCodeAt(index);
    return bytes;
  };
  const fail = words => {
    element("scene").remove();
    element("fault").textContent = words;
    element("fault").hidden = false;
  };

  if (!globalThis.DecompressionStream) return fail("This browser is too old to show the scene in 3D.");
  if (!document.createElement("canvas").getContext("webgl2")) {
    return fail("This browser cannot show the scene in 3D: WebGL 2 is missing or turned off.");
  }
  const told = JSON.parse(taken("told"));

  // The viewer takes the angle of view across the longer side of its window. Whatever the window's shape, its shorter
  // side shows what the shorter side of a photo showed.
  const longer = Math.max(innerWidth, innerHeight) / Math.max(1, Math.min(innerWidth, innerHeight));
  const half = Math.atan(Math.tan(told.angle * Math.PI / 360) * longer);
  const fov = Math.min(110, half * 360 / Math.PI);

  const count = told.positions.length / 3;
  const frameRate = 30;
  const frames = told.seconds * frameRate;
  const settings = {
    version: 2,
    tonemapping: "none",
    highPrecisionRendering: false,
    background: { color: told.background },
    postEffectSettings: {
      sharpness: { enabled: false, amount: 0 },
      bloom: { enabled: false, intensity: 0.1, blurLevel: 2 },
      grading: { enabled: false, brightness: 1, contrast: 1, saturation: 1, tint: [1, 1, 1] },
      vignette: { enabled: false, intensity: 0.5, inner: 0.3, outer: 0.75, curvature: 1 },
      fringing: { enabled: false, intensity: 0.5 },
    },
    animTracks: count < 2 ? [] : [{
      name: "orbit", duration: told.seconds, frameRate, loopMode: "repeat", interpolation: "spline", smoothness: 1,
      keyframes: {
        times: Array.from({ length: count }, (_, index) => index * frames / count),
        values: { position: told.positions, target: told.targets, fov: Array(count).fill(fov) },
      },
    }],
    cameras: [{ initial: { position: told.positions.slice(0, 3), target: told.targets.slice(0, 3), fov } }],
    annotations: [],
    startMode: count < 2 ? "default" : "animTrack",
  };
  try { // on a phone the list of keys would hide the scene; a button opens it
    const key = "controlsPanelOpen";
    if (Math.min(innerWidth, innerHeight) < 600) localStorage.getItem(key) ?? localStorage.setItem(key, "false");
  } catch { /* no storage for files in this browser */ }
  try {
    const packed = new Blob([unpacked(taken("viewer"))]).stream().pipeThrough(new DecompressionStream("gzip"));
    const code = document.createElement("script");
    code.textContent = await new Response(packed).text();
    document.head.append(code);
    const splats = new Blob([unpacked(taken("splats"))]);
    const viewer = await nerfkitViewer.createViewer({
      container: element("scene"),
      settings,
      contentUrl: URL.createObjectURL(splats),
      contentFilename: "scene.sog",
      contents: Promise.resolve(new Response(splats)),
      posterUrl: element("still").src,
      renderer: "webgl", // as its AR and VR need
      noanim: !told.plays,
      aa: told.antialiased,
    });
    viewer.events.on("loaded:changed", () => {
      element("still").remove();
      if (!told.plays) viewer.state.cameraMode = "orbit"; // from where the path begins
    });
    globalThis.nerfkitPage = { viewer };
  } catch (error) {
    fail(`The scene cannot be shown (${error.message ?? error}).`);
  }
})();
