// Bundles the third-party parts of the pages: node build.mjs <folder of the results>.
// Run by vendor.sh in a copy of this folder that holds node_modules.
import { build } from "esbuild";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const common = {
  bundle: true,
  minify: true,
  metafile: true,
  charset: "utf8",
  legalComments: "none", // LICENSES.txt has them whole
  target: ["chrome111", "firefox115", "safari16.4"],
  define: { "process.env.NODE_ENV": '"production"' },
  outdir: folder,
  assetNames: "fonts/[name]",
  // Browsers that know none of the others' formats know no modules either.
  plugins: [onlyWoff2()],
  loader: { ".woff2": "file", ".svg": "dataurl" },
  alias: { "sanitize-html": "./sanitize.js" },
};

function onlyWoff2() {
  return {
    name: "only woff2",
    setup(to) {
      to.onResolve({ filter: /\.(eot|ttf|woff)(\?.*)?$|\.svg#/ }, ({ path }) => ({ path, namespace: "left out" }));
      to.onLoad({ filter: /.*/, namespace: "left out" }, () => ({ contents: "", loader: "dataurl" }));
    },
  };
}

/** The fonts that were left out are still listed, as empty ones, which browsers then try. */
function withoutEmptyFonts(path) {
  const css = readFileSync(path, "utf8");
  writeFileSync(path, css.replaceAll(/,url\("?data:[^,"')]*,"?\)(\s*format\("[^"]*"\))?/g, ""));
}

/** The licences of the packages that went into the bundles, each text once. */
function licences(metafiles) {
  const names = new Set();
  for (const { outputs } of metafiles) {
    for (const { inputs } of Object.values(outputs)) {
      for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
        const found = path.match(/^(?:.*\/)?node_modules\/(@[^/]+\/[^/]+|[^/]+)\//);
        if (found && bytesInOutput > 0) names.add(found[0]);
      }
    }
  }
  const texts = new Map();
  for (const place of [...names].sort()) {
    const { name, version, license } = JSON.parse(readFileSync(join(place, "package.json"), "utf8"));
    const text = licenceText(place) ?? `Licence: ${license}`;
    texts.set(text, [...(texts.get(text) ?? []), `${name} ${version} (${license})`]);
  }
  return [...texts].map(([text, packages]) => `${packages.join("\n")}\n\n${text}\n`).join(`\n${"-".repeat(80)}\n\n`);
}

function licenceText(place) {
  const files = readdirSync(place).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name)).sort();
  return files.map((name) => readFileSync(join(place, name), "utf8").replaceAll("\r\n", "\n").trim()).join("\n\n") || null;
}

const modules = await build({ ...common, format: "esm", entryPoints: ["editor.js", "markdown.js", "katex.js", "katex.css"] });
const scripts = await build({ ...common, format: "iife", entryPoints: ["widgets.js", "vega.js", "plotly.js"] });
for (const name of ["katex.css", "widgets.css"]) withoutEmptyFonts(join(folder, name));
writeFileSync(join(folder, "LICENSES.txt"), licences([modules.metafile, scripts.metafile]));
if (process.env.EXPLAIN) writeFileSync("meta.json", JSON.stringify([modules.metafile, scripts.metafile]));
