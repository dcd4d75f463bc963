// A .ksplat file of mkkellogg's GaussianSplats3D from a PLY: node make_ksplat.mjs IN.ply OUT.ksplat LEVEL SH_DEGREE
import { readFile, writeFile } from "node:fs/promises";

globalThis.window = globalThis; // it is written for browsers, whose timers it uses
const { PlyLoader } = await import("@mkkellogg/gaussian-splats-3d");
const [source, target, level, degree] = process.argv.slice(2);
const { buffer } = new Uint8Array(await readFile(source));
const splats = await PlyLoader.loadFromFileData(buffer, 0, Number(level), true, Number(degree));
await writeFile(target, new Uint8Array(splats.bufferData));
