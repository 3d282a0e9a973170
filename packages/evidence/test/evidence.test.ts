import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Checkpoint,
  createSigningKey,
  type EvidenceReport,
  type Finding,
  signCheckpoint,
  verifyEvidence,
} from "../src/index.ts";
import { sampleEvidence, sampleLine } from "./sample-evidence.ts";

const SIZE = 3;
const sample = sampleEvidence(SIZE);
const RUNS = 150;

async function verify(
  lines: readonly string[],
  pin?: string,
): Promise<{ findings: Finding[]; report: EvidenceReport; text: string }> {
  const findings: Finding[] = [];
  const report = await verifyEvidence({
    lines: (async function* () {
      yield* lines;
    })(),
    report: (finding) => findings.push(finding),
    ...(pin !== undefined && { pin }),
  });
  return { findings, report, text: JSON.stringify(findings) };
}

interface Parsed {
  type: string;
  number: number;
  line: string;
  checkpoint: { from: number; to: number; tenant: string; kind: string };
}

const parsed = sample.lines.map((line) => JSON.parse(line) as Parsed);
/** Of each line that is an event's: its place in the file. */
const events = parsed.flatMap(({ type }, at) => (type === "event" ? [at] : []));
const checkpoints = parsed.flatMap(({ type }, at) => (type === "checkpoint" ? [at] : []));
const kindAt = (at: number): string => (JSON.parse(parsed[at]!.line) as { kind: string }).kind;
const idAt = (at: number): string => (JSON.parse(parsed[at]!.line) as { id: string }).id;

function without(at: number): string[] {
  return sample.lines.toSpliced(at, 1);
}

function swapped(a: number, b: number): string[] {
  return sample.lines.with(a, sample.lines[b]!).with(b, sample.lines[a]!);
}

describe("an evidence file", () => {
  it("proves itself, and says what it rests on", async () => {
    const { findings, report } = await verify(sample.lines);
    expect(findings).toEqual([]);
    expect(report).toMatchObject({ chains: 2, checkpoints: 6, events: 6 * SIZE, findings: 0 });
    expect(report.keys.ids).toEqual(sample.keys.map(({ id }) => id));
  });

  it("is proven by each of its keys alone, and by no other", async () => {
    for (const { id, publicKey } of sample.keys) {
      expect((await verify(sample.lines, publicKey)).findings).toEqual([]);
      expect((await verify(sample.lines, id)).findings).toEqual([]);
    }
    const stranger = createSigningKey({ atMs: 4 }).record;
    for (const pin of [stranger.publicKey, stranger.id, "nonsense"]) {
      const { findings } = await verify(sample.lines, pin);
      expect(findings[0]).toMatchObject({ what: "signature" });
    }
  });

  it("names each event that was changed, once", async () => {
    for (const at of events) {
      const changed = JSON.stringify({ ...parsed[at], line: parsed[at]!.line.replace("quoted", "Quoted") });
      const { findings } = await verify(sample.lines.with(at, changed));
      const { number } = parsed[at]!;
      expect(findings).toEqual([
        expect.objectContaining({ what: "changed", kind: kindAt(at), number, eventId: idAt(at) }),
      ]);
    }
  });

  it("names each event whose number was changed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...events), fc.nat(30), async (at, number) => {
        fc.pre(number !== parsed[at]!.number);
        const { findings } = await verify(sample.lines.with(at, JSON.stringify({ ...parsed[at], number })));
        expect(findings.length).toBeLessThanOrEqual(3);
        const named = findings.map((finding) => [finding.kind, finding.number]);
        expect(named).toContainEqual([kindAt(at), parsed[at]!.number]);
      }),
      { numRuns: RUNS },
    );
  });

  it("names each event that was removed", async () => {
    for (const at of events) {
      const { findings } = await verify(without(at));
      expect(findings).toEqual([
        expect.objectContaining({ what: "removed", kind: kindAt(at), number: parsed[at]!.number }),
      ]);
    }
  });

  it("names each event that was put in, whatever its number and wherever it stands", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: sample.lines.length - 1 }), fc.nat(20), async (at, number) => {
        const line = sampleLine({ tenant: "acme", kind: "call" }, 1_000);
        const { findings, text } = await verify(
          sample.lines.toSpliced(at, 0, JSON.stringify({ type: "event", number, line })),
        );
        expect(findings.length).toBeLessThanOrEqual(3);
        expect(findings.some((finding) => finding.number === number)).toBe(true);
        if (at > 1) expect(text).toMatch(/acme-call-1000|no chain|end of all chains/);
      }),
      { numRuns: RUNS },
    );
  });

  it("names one of two events that have changed places, and says little else", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...events), fc.constantFrom(...events), async (a, b) => {
        fc.pre(a !== b);
        const { findings } = await verify(swapped(a, b));
        const named = findings.map((finding) => `${finding.kind} ${finding.number}`);
        const both = [a, b].map((at) => `${kindAt(at)} ${parsed[at]!.number}`);
        expect(named.some((each) => both.includes(each))).toBe(true);
        expect(findings.length).toBeLessThanOrEqual(4);
      }),
      { numRuns: RUNS },
    );
  });

  it("names each event that was repeated", async () => {
    for (const at of events) {
      const { findings } = await verify(sample.lines.toSpliced(at, 0, sample.lines[at]!));
      expect(findings).toEqual([
        expect.objectContaining({ what: "inserted", kind: kindAt(at), number: parsed[at]!.number, eventId: idAt(at) }),
      ]);
    }
  });

  it("names each checkpoint that was removed, forged, or repeated", async () => {
    for (const at of checkpoints) {
      const { checkpoint } = parsed[at]!;
      const removed = await verify(without(at));
      expect(removed.findings).toEqual([
        expect.objectContaining({ what: "removed", kind: checkpoint.kind, number: checkpoint.from + 1 }),
      ]);
      const repeated = await verify(sample.lines.toSpliced(at, 0, sample.lines[at]!));
      expect(repeated.findings[0]).toMatchObject({ what: "inserted", number: checkpoint.to });
    }
  });

  it("finds a checkpoint that was removed and an event of it that was changed", async () => {
    for (const at of checkpoints) {
      const event = { ...parsed[at + 1]!, line: parsed[at + 1]!.line.replace("quoted", "Quoted") };
      const { findings } = await verify(sample.lines.with(at + 1, JSON.stringify(event)).toSpliced(at, 1));
      expect(findings).toContainEqual(expect.objectContaining({ what: "changed", number: event.number }));
      expect(findings).toHaveLength(2);
    }
  });

  it("finds what is cut off from the end, from the beginning, and out of the middle", async () => {
    const { length } = sample.lines;
    for (let from = 0; from < length; from++)
      for (const to of new Set([from + 1, Math.min(from + 7, length), length])) {
        const { findings } = await verify(sample.lines.toSpliced(from, to - from));
        expect(findings, `without the lines ${from} to ${to}`).not.toEqual([]);
      }
  });

  it("finds any two lines that have changed places", async () => {
    for (const a of sample.lines.keys())
      for (const b of sample.lines.keys()) {
        if (a >= b) continue;
        const { findings } = await verify(swapped(a, b));
        expect(findings, `${a} and ${b}`).not.toEqual([]);
        expect(findings.length, `${a} and ${b}`).toBeLessThanOrEqual(24);
      }
  });

  it("finds any field that was changed, at any depth, and any that was added or removed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(sample.lines.length - 1), fc.nat(), fc.nat(), async (at, pick, how) => {
        const line = JSON.parse(sample.lines[at]!) as object;
        const places = placesIn(line);
        alter(places[pick % places.length]!, how);
        const text = JSON.stringify(line);
        fc.pre(text !== sample.lines[at]);
        const { findings } = await verify(sample.lines.with(at, text));
        expect(findings, text).not.toEqual([]);
        const about = parsed[at]!;
        if (about.type === "event")
          expect(findings.map(({ kind, number }) => [kind, number])).toContainEqual([kindAt(at), about.number]);
      }),
      { numRuns: 300 },
    );
  });

  it("finds a chain that was taken out as a whole, also out of the first line", async () => {
    const begin = parsed.findIndex(({ type }, at) => at > 1 && type === "chain");
    const kept = [...sample.lines.slice(0, begin), sample.lines.at(-1)!];
    expect((await verify(kept)).findings).toContainEqual(
      expect.objectContaining({ what: "removed", kind: "change", detail: "the whole chain is missing" }),
    );
    const first = JSON.parse(sample.lines[0]!) as { header: { chains: unknown[] } };
    first.header.chains.pop();
    const total = JSON.stringify({ type: "total", chains: 1, checkpoints: 4, events: 4 * SIZE });
    expect((await verify([JSON.stringify(first), ...kept.slice(1, -1), total])).findings).toEqual([
      expect.objectContaining({ what: "signature" }),
    ]);
  });

  it("finds what the holder of a key has signed a second time: another line of checkpoints, or an old key's", async () => {
    for (const forged of [{ previous: "0".repeat(64) }, { keyId: sample.keys[0]!.id }]) {
      const at = checkpoints.findLast((each) => parsed[each]!.checkpoint.kind === "call")!;
      const line = JSON.parse(sample.lines[at]!) as { checkpoint: Checkpoint };
      const { keyId, signature: _signature, v: _v, ...fields } = { ...line.checkpoint, ...forged };
      const { key } = sample.pairs.find(({ record }) => record.id === keyId)!;
      const checkpoint = signCheckpoint(fields, key);
      const { findings } = await verify(sample.lines.with(at, JSON.stringify({ ...line, checkpoint })));
      expect(findings).toEqual([expect.objectContaining({ kind: "call", number: 4 * SIZE })]);
    }
  });

  it("finds a beginning that was let go of without a cut", async () => {
    const begin = parsed.findLastIndex(({ type }) => type === "chain");
    const line = JSON.parse(sample.lines[begin]!) as { cut: object };
    const kind = "change";
    for (const cut of [null, { ...line.cut, number: 5 }, { ...line.cut, at: 9 }, { ...line.cut, kind: "call" }]) {
      const { findings } = await verify(sample.lines.with(begin, JSON.stringify({ ...line, cut })));
      expect(findings).toEqual([expect.objectContaining({ kind, what: "changed", number: 0 })]);
    }
  });

  it("trusts nothing that strangers have signed once a key is pinned, however whole it is", async () => {
    const forged = sampleEvidence(SIZE);
    expect((await verify(forged.lines)).findings).toEqual([]);
    const { findings } = await verify(forged.lines, sample.keys[0]!.publicKey);
    expect(findings).toContainEqual(expect.objectContaining({ what: "signature" }));
  });
});

type Place = [holder: Record<string, unknown>, name: string];

function placesIn(value: unknown): Place[] {
  if (typeof value !== "object" || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((name): Place[] => [[holder, name], ...placesIn(holder[name])]);
}

function alter([holder, name]: Place, how: number): void {
  const value = holder[name];
  if (how % 11 === 0) holder["more"] = 1;
  else if (how % 7 === 0) delete holder[name];
  else if (typeof value === "number") holder[name] = value + (how % 2 === 0 ? 1 : -1);
  else if (typeof value === "string" && value !== "") {
    const at = how % value.length;
    holder[name] = value.slice(0, at) + (value[at] === "a" ? "b" : "a") + value.slice(at + 1);
  } else holder[name] = how % 2 === 0 ? "a" : 1;
}
