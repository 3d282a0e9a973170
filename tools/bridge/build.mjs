// Bundles the bridge into one file that runs on any Node from 20 on, so that an AI client needs nothing else to spawn it.
import { chmod, rename } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
const outfile = `${root}dist/tollgate-bridge.mjs`;
// Written beside it and renamed: a client may start the bridge at any time, a test too.
const draft = `${root}dist/.${process.pid}.mjs`;

await build({
  absWorkingDir: root,
  entryPoints: ["src/main.ts"],
  outfile: draft,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  minify: true,
  legalComments: "none",
  // yaml is CommonJS and requires two built-in modules; an ES module has no `require` of its own.
  banner: {
    js: '#!/usr/bin/env node\nimport{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
  },
});
await chmod(draft, 0o755);
await rename(draft, outfile);
