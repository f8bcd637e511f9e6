// Builds the widget into one script that shops put on their own pages.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL(".", import.meta.url));
const out = join(root, "../../src/lapel/apps/api/static");
await rm(join(out, "widget.js"), { force: true });
await build({
  root,
  configFile: false,
  logLevel: "warn",
  build: {
    outDir: out,
    emptyOutDir: false,
    target: "es2020",
    lib: { entry: join(root, "src/widget.ts"), formats: ["iife"], name: "lapel", fileName: () => "widget.js" },
  },
});
