// Builds the page and its service worker into Lapel's package; what is large is packed once, here.
import { createHash } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const root = fileURLToPath(new URL(".", import.meta.url));
const out = join(root, "../../src/lapel/apps/api/static/m");
const PACKED = [".wasm", ".js", ".css", ".html", ".webmanifest", ".svg"];
const KEPT_LATER = [".wasm"]; // by the worker, when it is asked to: too large for who never asks

const common = { root, base: "/m/", configFile: false, logLevel: "warn" };
await rm(out, { recursive: true, force: true });
await build({
  ...common,
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es" },
  build: { outDir: out, emptyOutDir: true, target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});

const files = (await readdir(out, { recursive: true, withFileTypes: true }))
  .filter((each) => each.isFile())
  .map((each) => relative(out, join(each.parentPath, each.name)))
  .sort();
const hash = createHash("sha256");
for (const file of files) hash.update(file).update(await readFile(join(out, file)));
const shell = files.filter((file) => !KEPT_LATER.some((end) => file.endsWith(end)));
await build({
  ...common,
  publicDir: false,
  define: {
    __FILES__: JSON.stringify(shell.map((file) => (file === "index.html" ? "/m/" : `/m/${file}`))),
    __VERSION__: JSON.stringify(hash.digest("hex").slice(0, 12)),
  },
  build: {
    outDir: out,
    emptyOutDir: false,
    target: "es2022",
    lib: { entry: join(root, "src/sw.ts"), formats: ["iife"], name: "sw", fileName: () => "sw.js" },
  },
});

for (const file of [...files, "sw.js"]) {
  if (!PACKED.some((end) => file.endsWith(end))) continue;
  const path = join(out, file);
  await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: 9 }));
  await rm(path);
}
