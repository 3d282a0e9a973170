// Runs the official conformance suite against our server, directly and through the gateway, and says where the two differ.
import { parseArgs } from "node:util";
import { type Part, PARTS, runConformance } from "./conformance.ts";
import { isGood, renderTable, type Row } from "./report.ts";
import { type Revision, REVISIONS } from "./suite.ts";

const { values } = parseArgs({
  options: {
    /** direct, stdio, http, bridge, client; may be given several times. Direct runs in any case, to compare with. */
    part: { type: "string", multiple: true, default: [...PARTS] },
    revision: { type: "string", multiple: true, default: [...REVISIONS] },
    /** Writes JSON instead of a table. */
    json: { type: "boolean", default: false },
  },
});

function chosen<T extends string>(option: string, words: readonly string[], known: readonly T[]): T[] {
  const wrong = words.find((word) => !(known as readonly string[]).includes(word));
  if (wrong !== undefined) throw new Error(`--${option} is one of ${known.join(", ")}, not ${wrong}`);
  return words as T[];
}

const rows: Row[] = [];
await runConformance({
  parts: chosen<Part>("part", values.part, PARTS),
  revisions: chosen<Revision>("revision", values.revision, REVISIONS),
  onRow: (row) => {
    rows.push(row);
    const { revision, target, scenarios } = row;
    process.stderr.write(`${revision} ${target}: ${scenarios.passed}/${scenarios.total} required scenarios\n`);
  },
});
process.stdout.write(values.json ? `${JSON.stringify(rows, null, 2)}\n` : `\n${renderTable(rows)}`);
process.exitCode = rows.every(isGood) ? 0 : 1;
