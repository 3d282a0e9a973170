// Architecture as a test: `npm run tidy`, or `node tools/tidy/src/main.ts DIRECTORY` for another tree.
import { join } from "node:path";
import { EXCEPTIONS } from "./exceptions.ts";
import { formatFinding } from "./finding.ts";
import { inspect } from "./inspect.ts";

const given = process.argv[2];
const root = given ?? join(import.meta.dirname, "..", "..", "..");

const { findings, fileCount } = inspect(root, given === undefined ? EXCEPTIONS : []);
for (const finding of findings) process.stdout.write(`${formatFinding(finding)}\n`);
process.stdout.write(
  findings.length === 0 ? `tidy: ${fileCount} files, in order\n` : `tidy: ${findings.length} found\n`,
);
process.exitCode = findings.length === 0 ? 0 : 1;
