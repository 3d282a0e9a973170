import {
  type Chain,
  type Checkpoint,
  checkpointHash,
  createSigningKey,
  type EvidenceLine,
  formatEvidenceLine,
  genesisHash,
  type KeyRecord,
  leafHash,
  merkleRoot,
  nextHash,
  signCheckpoint,
  signCut,
  signHeader,
  type SigningKey,
} from "../src/index.ts";

export interface Segment {
  readonly checkpoint: Checkpoint;
  readonly leaves: Buffer;
  readonly lines: readonly string[];
}

export interface Sample {
  readonly lines: string[];
  readonly keys: readonly KeyRecord[];
  readonly pairs: readonly { readonly record: KeyRecord; readonly key: SigningKey }[];
  readonly segments: ReadonlyMap<string, readonly Segment[]>;
}

/** Three keys that took over from each other. */
export function sampleKeys(): { record: KeyRecord; key: SigningKey }[] {
  const first = createSigningKey({ atMs: 1 });
  const second = createSigningKey({ atMs: 2, previous: first });
  return [first, second, createSigningKey({ atMs: 3, previous: second })];
}

/** The event with this number of a chain: its id says both. */
export function sampleLine({ tenant, kind }: Chain, number: number): string {
  return JSON.stringify({
    v: 1,
    kind,
    tenant,
    id: `${tenant}-${kind}-${number}`,
    reason: `"quoted" ünïcode \\ ${number}`,
  });
}

/**
 * A file of two chains, four segments of `size` events each, of which the second chain's first two were let go of; signed
 * by three keys.
 */
export function sampleEvidence(size = 3): Sample {
  const keys = sampleKeys();
  const chains: Chain[] = [
    { tenant: "acme", kind: "call" },
    { tenant: "acme", kind: "change" },
  ];
  const segments = new Map(chains.map((chain) => [chain.kind, sampleSegments(chain, size, keys)]));
  const records = keys.map(({ record }) => record);
  const body = chains.map((chain, at) => sectionOf(chain, segments.get(chain.kind)!, at === 0 ? 0 : 2, keys[2]!.key));
  const header = signHeader(
    { tenant: "acme", kind: "", fromMs: null, toMs: null, at: 9, chains: body.map(({ range }) => range) },
    keys[2]!.key,
  );
  const all: EvidenceLine[] = [
    { type: "evidence", header, keys: records },
    ...body.flatMap(({ lines }) => lines),
    { type: "total", chains: 2, checkpoints: 6, events: 6 * size },
  ];
  return { lines: all.map(formatEvidenceLine), keys: records, pairs: keys, segments };
}

function sampleSegments(chain: Chain, size: number, keys: readonly { key: SigningKey }[]): Segment[] {
  const segments: Segment[] = [];
  let hash = genesisHash(chain);
  let previous = "";
  for (let at = 0; at < 4; at++) {
    const from = at * size;
    const lines = Array.from({ length: size }, (_, next) => sampleLine(chain, from + 1 + next));
    const leaves = Buffer.concat(lines.map(leafHash));
    for (const line of lines) hash = nextHash(hash, leafHash(line));
    const checkpoint = signCheckpoint(
      {
        ...chain,
        from,
        to: from + size,
        root: merkleRoot(leaves).toString("hex"),
        hash: hash.toString("hex"),
        previous,
        at,
      },
      keys[Math.min(at, 2)]!.key,
    );
    previous = checkpointHash(checkpoint);
    segments.push({ checkpoint, leaves, lines });
  }
  return segments;
}

function sectionOf(chain: Chain, segments: readonly Segment[], cut: number, key: SigningKey) {
  const before = segments[cut - 1]?.checkpoint;
  const { to, hash: toHash } = segments.at(-1)!.checkpoint;
  const range = {
    ...chain,
    from: before?.to ?? 0,
    to,
    fromHash: before?.hash ?? genesisHash(chain).toString("hex"),
    toHash,
  };
  const { from: number, fromHash: hash } = range;
  const lines: EvidenceLine[] = [
    {
      type: "chain",
      chain: range,
      checkpoint: before ?? null,
      cut: before === undefined ? null : signCut({ ...chain, number, hash, at: 8 }, key),
    },
    ...segments
      .slice(cut)
      .flatMap(({ checkpoint, leaves, lines: events }): EvidenceLine[] => [
        { type: "checkpoint", checkpoint, leaves: leaves.toString("base64") },
        ...events.map((line, at): EvidenceLine => ({ type: "event", number: checkpoint.from + 1 + at, line })),
      ]),
    { type: "end", ...chain, number: to, hash: toHash },
  ];
  return { range, lines };
}
