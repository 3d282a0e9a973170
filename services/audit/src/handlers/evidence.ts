import { type auditV1, isCallId, NAME_PATTERN, timeOfId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import {
  chainName,
  type ChainRange,
  type Checkpoint,
  type Cut,
  type EvidenceLine,
  formatEvidenceLine,
  genesisHash,
  parseCheckpoint,
  proveInclusion,
  signHeader,
} from "@tollgate/evidence";
import { type Log, type Pool, serverStream, unary } from "@tollgate/service";
import { findEvent, readLines } from "../store/chain-events.ts";
import {
  checkpointOver,
  lastCheckpoint,
  nextCheckpoint,
  rangeOfTime,
  readChains,
  readCuts,
} from "../store/checkpoints.ts";
import { coverChain, isBroken, register } from "./checkpoints.ts";
import { readGround } from "./ground.ts";
import type { Signing } from "./signing.ts";

const EXPORTS_MAX = 4;
const RETRY_AFTER_SECONDS = 10;
const MESSAGE_MAX_CHARS = 256 * 1024;
/** Nobody has so many events that are not covered: they are signed every half minute. */
const SEGMENTS_MAX = 10_000;

interface EvidenceOptions {
  /** For signing the tails. */
  readonly pool: Pool;
  readonly readPool: Pool;
  readonly signing: Signing;
  readonly log: Log;
}

export function createEvidenceHandlers(
  options: EvidenceOptions,
): Pick<auditV1.AuditServiceServer, "getEvent" | "listChains" | "exportEvidence"> {
  const { readPool, signing, log } = options;
  return {
    getEvent: unary(log, async ({ tenant, id }: auditV1.GetEventRequest): Promise<auditV1.GetEventResponse> => {
      const event = isCallId(id) ? await findEvent(readPool, { tenant, id, timeMs: timeOfId(id) }) : undefined;
      if (event === undefined) throw new AppError("not_found", "there is no such event in the record");
      const { number, line } = event;
      const covering = await checkpointOver(readPool, event, number);
      const keys = await signing.records(readPool);
      return {
        event: line,
        proof: covering === undefined ? "" : JSON.stringify(proveInclusion({ ...covering, number, line, keys })),
      };
    }),
    listChains: unary(log, async ({ tenant }: auditV1.ListChainsRequest): Promise<auditV1.ListChainsResponse> => {
      const chains = (await readChains(readPool, { tenant })).map((chain) => ({
        tenant: chain.tenant,
        kind: chain.kind,
        firstNumber: BigInt(chain.firstNumber),
        lastNumber: BigInt(chain.number),
        hash: chain.hash.toString("hex"),
        checkpointNumber: BigInt(chain.checkpoint?.to ?? 0),
        checkpointAtMs: BigInt(chain.checkpoint?.at ?? 0),
      }));
      return { chains };
    }),
    exportEvidence: serverStream(log, createEvidenceExport(options)),
  };
}

function createEvidenceExport(options: EvidenceOptions) {
  let running = 0;
  return async function* (request: auditV1.ExportEvidenceRequest): AsyncGenerator<auditV1.ExportEvidenceResponse> {
    const asked = parseRequest(request);
    if (running >= EXPORTS_MAX)
      throw new AppError("overloaded", "as many exports of evidence as may run at a time are running", {
        details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
      });
    running += 1;
    try {
      let lines: string[] = [];
      let size = 0;
      for await (const line of evidenceOf(options, asked)) {
        const text = formatEvidenceLine(line);
        lines.push(text);
        size += text.length;
        if (size < MESSAGE_MAX_CHARS) continue;
        yield { lines };
        [lines, size] = [[], 0];
      }
      yield { lines };
    } finally {
      running -= 1;
    }
  };
}

interface Asked {
  readonly tenant: string;
  readonly kind: string;
  /** Unix milliseconds; 0 means no bound. */
  readonly fromMs: number;
  readonly toMs: number;
}

function parseRequest({ tenant, kind, fromMs, toMs }: auditV1.ExportEvidenceRequest): Asked {
  if (tenant !== "" && !NAME_PATTERN.test(tenant)) throw new AppError("invalid_argument", "tenant is not a name");
  if (toMs !== 0n && toMs <= fromMs) throw new AppError("invalid_argument", "the time ends before it begins");
  return { tenant, kind, fromMs: Number(fromMs), toMs: Number(toMs) };
}

/** What was recorded when it began, signed to the last event. */
async function* evidenceOf(options: EvidenceOptions, asked: Asked): AsyncGenerator<EvidenceLine, void, undefined> {
  const { pool, readPool, signing, log } = options;
  const ground = await readGround(pool, signing);
  for (const chain of await readChains(pool, { ...asked, uncoveredMin: 1 })) {
    const cover = coverChain(pool, chain, { ground, signing, withTail: true, segmentsMax: SEGMENTS_MAX });
    await cover.catch((error: unknown) => {
      if (!isBroken(error)) throw error;
      // What was signed of it is evidence all the same, and may show what was done to it.
      log.error({ err: error, tenant: chain.tenant, kind: chain.kind }, "given without its end: it cannot be signed");
    });
  }
  await register(pool, signing);

  const found = await readRanges(readPool, asked);
  const { tenant, kind } = asked;
  const [fromMs, toMs] = [asked.fromMs || null, asked.toMs || null];
  const chains = found.map(({ range }) => range);
  const header = signHeader({ tenant, kind, fromMs, toMs, at: Date.now(), chains }, await signing.key(pool));
  yield { type: "evidence", header, keys: await signing.records(readPool) };
  const total = { chains: 0, checkpoints: 0, events: 0 };
  for (const { range, checkpoint, cut } of found) {
    total.chains++;
    yield { type: "chain", chain: range, checkpoint, cut };
    for await (const line of segmentsOf(readPool, range)) {
      if (line.type === "checkpoint") total.checkpoints++;
      else total.events++;
      yield line;
    }
    yield { type: "end", tenant: range.tenant, kind: range.kind, number: range.to, hash: range.toHash };
  }
  yield { type: "total", ...total };
}

interface Found {
  readonly range: ChainRange;
  readonly checkpoint: Checkpoint | null;
  readonly cut: Cut | null;
}

async function readRanges(pool: Pool, asked: Asked): Promise<Found[]> {
  const ranges: Found[] = [];
  const cuts = await readCuts(pool);
  for (const { tenant, kind } of await readChains(pool, asked)) {
    const chain = { tenant, kind };
    const numbers = await rangeOfTime(pool, chain, asked);
    if (numbers === undefined) continue;
    const { from } = numbers;
    const last = await lastCheckpoint(pool, chain, numbers);
    if (last === undefined) continue;
    const before = from === 0 ? undefined : await checkpointOver(pool, chain, from);
    const fromHash = before?.checkpoint.hash ?? genesisHash(chain).toString("hex");
    const stored = cuts.find((each) => chainName(each) === chainName(chain))?.cut;
    const cut = stored?.number === from ? stored : null;
    const range = { ...chain, from, to: last.to, fromHash, toHash: last.hash };
    ranges.push({ range, checkpoint: before?.checkpoint ?? null, cut });
  }
  return ranges;
}

async function* segmentsOf(pool: Pool, range: ChainRange): AsyncGenerator<EvidenceLine, void, undefined> {
  for (let from = range.from; from < range.to;) {
    const segment = await nextCheckpoint(pool, range, from);
    if (segment === undefined) return;
    const checkpoint = parseCheckpoint(segment.checkpoint);
    if (checkpoint !== undefined) yield { type: "checkpoint", checkpoint, leaves: segment.leaves.toString("base64") };
    for await (const page of readLines(pool, range, segment.from, segment.to))
      for (const { number, line } of page) yield { type: "event", number, line };
    from = segment.to;
  }
}
