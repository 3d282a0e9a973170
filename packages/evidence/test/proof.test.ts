import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkInclusion,
  createSigningKey,
  type InclusionProof,
  openSigningKey,
  proveInclusion,
  sealSigningKey,
} from "../src/index.ts";
import { sampleEvidence, sampleKeys } from "./sample-evidence.ts";

const sample = sampleEvidence(5);
const segments = [...sample.segments.values()].flat();

function proofOf(segment: (typeof segments)[number], at: number): InclusionProof {
  const { checkpoint, leaves, lines } = segment;
  return proveInclusion({ number: checkpoint.from + 1 + at, line: lines[at]!, checkpoint, leaves, keys: sample.keys });
}

describe("an inclusion proof", () => {
  it("proves its event, from any key that is pinned", () => {
    for (const segment of segments)
      for (const [at, line] of segment.lines.entries()) {
        const proof = JSON.parse(JSON.stringify(proofOf(segment, at))) as unknown;
        expect(checkInclusion(line, proof)).toEqual({ ok: true, value: sample.keys.map(({ id }) => id) });
        for (const { publicKey } of sample.keys) expect(checkInclusion(line, proof, publicKey).ok).toBe(true);
      }
    const stranger = createSigningKey({ atMs: 1 }).record.publicKey;
    expect(checkInclusion(segments[0]!.lines[0]!, proofOf(segments[0]!, 0), stranger).ok).toBe(false);
  });

  it("proves no other event, and nothing once anything in it is changed", () => {
    const segment = segments[1]!;
    for (const [at, line] of segment.lines.entries()) {
      const proof = proofOf(segment, at);
      for (const other of segments.flatMap(({ lines }) => lines))
        expect(checkInclusion(other, proof).ok).toBe(other === line);
      expect(checkInclusion(line, { ...proof, number: proof.number + 1 }).ok).toBe(false);
      expect(checkInclusion(line, { ...proof, path: proof.path.slice(1) }).ok).toBe(false);
      expect(checkInclusion(line, { ...proof, tenant: "other" }).ok).toBe(false);
      expect(
        checkInclusion(line, { ...proof, checkpoint: { ...proof.checkpoint, to: proof.checkpoint.to + 1 } }).ok,
      ).toBe(false);
      expect(checkInclusion(line, { ...proof, keys: sampleKeys().map(({ record }) => record) }).ok).toBe(false);
    }
    fc.assert(fc.property(fc.jsonValue(), (proof) => !checkInclusion("{}", proof).ok));
  });
});

describe("signing keys", () => {
  const SECRET = "a secret of at least thirty-two characters";

  it("are sealed: only the same secret opens them, and only under their own id", () => {
    const { key } = createSigningKey({ atMs: 1 });
    const sealed = sealSigningKey(key, SECRET);
    expect(openSigningKey(key.id, sealed, SECRET).privateKey.equals(key.privateKey)).toBe(true);
    expect(() => openSigningKey(key.id, sealed, `${SECRET}.`)).toThrow("another TOLLGATE_SIGNING_SECRET");
    expect(() => openSigningKey("0".repeat(16), sealed, SECRET)).toThrow("another TOLLGATE_SIGNING_SECRET");
  });
});
