import { createReadStream, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { checkInclusion, type EvidenceReport, type Finding, verifyEvidence } from "@tollgate/evidence";
import { onOneLine } from "./terminal-text.ts";

interface Asked {
  /** Absent: the standard input. */
  readonly file: string | undefined;
  readonly key: string | undefined;
  readonly json: boolean;
  readonly here: string;
}

/** Of one file so many are shown; all are counted. */
const SHOWN_MAX = 1_000;
const LINE_MAX_BYTES = 64 * 1024 * 1024;
const LINE_FEED = 0x0a;

const out = (text: string): void => void process.stdout.write(`${text}\n`);

/** Proves an evidence file, without the network and without a service. */
export async function verifyFile({ file, key, json, here }: Asked): Promise<number> {
  const pin = readPin(key, here);
  if (pin === null) return refuse("--key is neither a public key's PEM file nor its id (16 hexadecimal digits)");
  let shown = 0;
  const report = (finding: Finding): void => {
    if (shown++ < SHOWN_MAX) out(json ? JSON.stringify(finding) : toLine(finding));
  };
  let proven: EvidenceReport;
  try {
    const lines = linesOf(file === undefined ? process.stdin : createReadStream(file));
    proven = await verifyEvidence({ lines, report, ...(pin !== undefined && { pin }) });
  } catch (error) {
    return refuse((error as Error).message);
  }
  if (json) out(JSON.stringify({ ...proven, header: undefined, keys: proven.keys.ids }));
  else out(toSummary(proven, pin !== undefined));
  return proven.findings === 0 ? 0 : 1;
}

/** Proves one event, as the API gives it. */
export async function verifyProof({ file, key, json, here }: Asked): Promise<number> {
  const pin = readPin(key, here);
  if (pin === null) return refuse("--key is neither a public key's PEM file nor its id (16 hexadecimal digits)");
  let given: { line?: unknown; proof?: unknown };
  try {
    given = JSON.parse(readFileSync(file ?? 0, "utf8")) as typeof given;
  } catch (error) {
    return refuse((error as Error).message);
  }
  const { line, proof } = Object(given) as typeof given;
  if (typeof line !== "string") return refuse("there is no `line` with the event in it");
  if (proof === null) return refuse("there is no proof yet: events are signed within a minute");
  const checked = checkInclusion(line, proof, pin);
  const place = Object(proof) as { tenant?: string; kind?: string; number?: number };
  const name = onOneLine(`${place.tenant}/${place.kind} ${place.number}`);
  if (json)
    out(JSON.stringify(checked.ok ? { proven: true, keys: checked.value } : { proven: false, reason: checked.reason }));
  else if (checked.ok) out(`Proven: the event is ${name} of the record. ${trusted(checked.value, pin !== undefined)}`);
  else out(`Not proven: ${onOneLine(checked.reason)}`);
  return checked.ok ? 0 : 1;
}

/** The key that is trusted: a PEM, an id, undefined where none was given, null where it is neither. */
function readPin(key: string | undefined, here: string): string | undefined | null {
  if (key === undefined || /^[0-9a-f]{16}$/.test(key)) return key;
  try {
    const text = readFileSync(resolve(here, key), "utf8");
    return text.includes("-----BEGIN PUBLIC KEY-----") ? text : null;
  } catch {
    return null;
  }
}

/** Not readline, which ends lines at U+2028 as well. */
async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string, void, undefined> {
  let rest: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      yield Buffer.concat([...rest, chunk.subarray(from, at)]).toString("utf8");
      [rest, size] = [[], 0];
      from = at + 1;
    }
    size += chunk.length - from;
    if (size > LINE_MAX_BYTES) throw new Error(`a line is longer than ${LINE_MAX_BYTES} bytes: this is no evidence`);
    if (from < chunk.length) rest.push(chunk.subarray(from));
  }
  if (size > 0) yield Buffer.concat(rest).toString("utf8");
}

function toLine({ tenant, kind, number, eventId, what, detail }: Finding): string {
  const place = [tenant === "" ? "the file" : `${tenant}/${kind}`, ...(number === 0 ? [] : [String(number)])];
  const event = eventId === "" ? "" : ` (event ${eventId})`;
  return onOneLine(`${what.toUpperCase()} ${place.join(" ")}${event}: ${detail}`);
}

function toSummary({ header, keys, chains, checkpoints, events, findings }: EvidenceReport, isPinned: boolean): string {
  const size = `${count(events, "event")} in ${count(chains, "chain")} under ${count(checkpoints, "checkpoint")}`;
  if (findings > 0) {
    const more = findings > SHOWN_MAX ? `, of which the first ${SHOWN_MAX} are above` : "";
    return `Not proven: ${count(findings, "finding")}${more}. ${size} were looked at.`;
  }
  const ranges = header.chains.map(({ tenant, kind, from, to }) => `  ${tenant}/${kind} ${from + 1} to ${to}`);
  const made = new Date(header.at).toISOString();
  return onEachLine([`Proven: ${size}, as of ${made}.`, ...ranges, trusted(keys.ids, isPinned)]);
}

function trusted(ids: readonly string[], isPinned: boolean): string {
  const keys = `${ids.length === 1 ? "key" : "keys"} ${ids.join(", ")}`;
  return isPinned
    ? `Signed by ${keys}, which the given key vouches for.`
    : `Signed by ${keys}, as it says itself: compare with what you know, or name the key with --key.`;
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function onEachLine(lines: readonly string[]): string {
  return lines.map((line) => (line.startsWith("  ") ? `  ${onOneLine(line.trim())}` : onOneLine(line))).join("\n");
}

function refuse(message: string): number {
  process.stderr.write(`${onOneLine(message)}\n`);
  return 2;
}
