// Builds dist/: one script, one style sheet and the static files, under stable names. The output contains no dates, paths or
// hashes, so the same sources give the same bytes on every machine.
import { build, context } from "esbuild";
import { cp, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const LIMIT = 60 * 1024;

/** Leaves out the JSON converters, 5 KB of the 60. connect-web imports them, but the page uses binary protobuf only. */
const withoutJson = {
  name: "without-json",
  setup(build) {
    build.onLoad({ filter: /@bufbuild.protobuf.dist.esm.(from|to)-json\.js$/ }, async ({ path }) => {
      const names = [...(await readFile(path, "utf8")).matchAll(/^export function (\w+)/gm)].map(([, name]) => name);
      const refuse = 'const refuse = () => { throw new Error("this build has no JSON"); };';
      return { contents: `${refuse}\nexport { ${names.map((name) => `refuse as ${name}`).join(", ")} };` };
    });
  },
};

const options = {
  entryPoints: { app: "src/main.tsx" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome116", "firefox124", "safari17.4"],
  plugins: [withoutJson],
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
};

await rm("dist", { recursive: true, force: true });
await mkdir("dist");
await cp("static", "dist", { recursive: true });

if (process.argv.includes("--watch")) {
  const watching = await context({ ...options, logLevel: "info" });
  await watching.watch();
} else {
  await build(options);
  let total = 0;
  for (const name of (await readdir("dist")).sort()) {
    const zipped = gzipSync(await readFile(`dist/${name}`), { level: 9 }).length;
    total += zipped;
    console.log(`${name.padEnd(22)} ${(zipped / 1024).toFixed(1).padStart(6)} KB gzipped`);
  }
  console.log(`${"in all".padEnd(22)} ${(total / 1024).toFixed(1).padStart(6)} KB of ${LIMIT / 1024}`);
  if (total > LIMIT) {
    console.error("the page is over its limit");
    process.exit(1);
  }
}
