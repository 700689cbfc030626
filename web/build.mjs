// Builds the app into dist/: hashed names, .gz beside each file, and manifest.txt, from which the
// server embeds them. Needs nothing but Node and esbuild; the same input gives the same bytes.
//
//   node build.mjs           the app
//   node build.mjs --watch   again on every change (for `npm run mock`; not compressed)
//   node build.mjs --test    bundles test/*.test.ts into build/test for `node --test`
import { context, build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

const CONTENT_TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};
const FOREVER = "public, max-age=31536000, immutable";
const ASK_EACH_TIME = "no-cache";

const app = {
  absWorkingDir: here,
  entryPoints: [
    { in: "src/main.tsx", out: "app" },
    { in: "src/style/main.css", out: "app" },
    { in: "src/theme.ts", out: "theme" },
  ],
  outdir: "dist",
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
};

const hashOf = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 8).toUpperCase();

/** Static files get their hash here; the web manifest names the icon, so it comes after it. */
async function writeStatic() {
  const icon = await readFile(join(here, "src/icon.svg"));
  const iconName = `icon-${hashOf(icon)}.svg`;
  await writeFile(join(dist, iconName), icon);
  const manifest = (await readFile(join(here, "src/app.webmanifest"), "utf8")).replace("{{icon}}", iconName);
  const manifestName = `app-${hashOf(manifest)}.webmanifest`;
  await writeFile(join(dist, manifestName), manifest);
  return { icon: iconName, manifest: manifestName };
}

function outputOf(metafile, entry) {
  const found = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === entry);
  return basename(found[0]);
}

async function writePage(metafile) {
  const names = {
    ...(await writeStatic()),
    app: outputOf(metafile, "src/main.tsx"),
    style: outputOf(metafile, "src/style/main.css"),
    theme: outputOf(metafile, "src/theme.ts"),
  };
  const template = await readFile(join(here, "src/index.html"), "utf8");
  const page = template.replace(/\{\{(\w+)\}\}/g, (_, name) => names[name]);
  await writeFile(join(dist, "index.html"), page);
}

/** One line per file: its path, its content type, how long it may be kept. */
async function writeManifest() {
  const lines = [];
  for (const name of (await readdir(dist)).sort()) {
    const bytes = await readFile(join(dist, name));
    await writeFile(join(dist, `${name}.gz`), gzipSync(bytes, { level: 9 }));
    lines.push(`${name}\t${CONTENT_TYPES[extname(name)]}\t${name === "index.html" ? ASK_EACH_TIME : FOREVER}\n`);
  }
  await writeFile(join(dist, "manifest.txt"), lines.join(""));
}

/** What the browser fetches first, and what only when it is needed. */
async function report(metafile) {
  const first = new Set(["index.html", ...Object.values(metafile.outputs).flatMap(firstLoad)]);
  const sizes = { first: 0, later: 0 };
  for (const name of (await readdir(dist)).filter((file) => file.endsWith(".gz")).sort()) {
    const { length } = await readFile(join(dist, name));
    sizes[first.has(name.slice(0, -3)) ? "first" : "later"] += length;
    console.log(`${String(length).padStart(8)}  ${name}`);
  }
  console.log(`first load ${(sizes.first / 1024).toFixed(1)} KiB gzip, later ${(sizes.later / 1024).toFixed(1)} KiB`);

  function firstLoad(output) {
    if (!output.entryPoint || output.entryPoint === "src/highlight.ts") return [];
    const imported = output.imports.filter((item) => item.kind === "import-statement").map((item) => basename(item.path));
    const self = Object.keys(metafile.outputs).find((path) => metafile.outputs[path] === output);
    return [basename(self), ...imported];
  }
}

async function buildApp() {
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist, { recursive: true });
  const { metafile } = await build(app);
  await writePage(metafile);
  await writeManifest();
  await report(metafile);
}

async function watchApp() {
  await mkdir(dist, { recursive: true });
  const page = {
    name: "page",
    setup: (plugin) => plugin.onEnd(async ({ metafile }) => metafile && writePage(metafile)),
  };
  await (await context({ ...app, minify: false, sourcemap: "inline", plugins: [page] })).watch();
}

async function buildTests() {
  await rm(join(here, "build/test"), { recursive: true, force: true });
  const tests = (await readdir(join(here, "test"))).filter((name) => name.endsWith(".test.ts"));
  await build({
    absWorkingDir: here,
    entryPoints: tests.map((name) => `test/${name}`),
    outdir: "build/test",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: ["node20"],
    sourcemap: "inline",
    logLevel: "warning",
  });
}

const mode = process.argv[2];
if (mode === "--watch") await watchApp();
else if (mode === "--test") await buildTests();
else await buildApp();
