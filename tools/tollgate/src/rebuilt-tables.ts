import type { Client } from "pg";

/** Messages of the stream, both inclusive. */
interface Span {
  readonly first: number;
  readonly last: number;
}

export interface ChainPart {
  readonly tenant: string;
  readonly kind: string;
  readonly events: number;
  /** Over the events and their order. */
  readonly digest: string;
  /** Of the last one: its number, and the chain's hash there. */
  readonly number: string;
  readonly hash: string;
}

export interface UsagePart {
  readonly tenant: string;
  readonly calls: number;
  readonly durationUs: string;
  readonly responseBytes: string;
  readonly cost: string;
}

/** How far the service of this schema has recorded the stream. */
export async function readPosition(client: Client, schema: "audit" | "metering"): Promise<number> {
  const { rows } = await client.query<{ sequence: string }>(`SELECT sequence FROM ${schema}.position`);
  return Number(rows[0]!.sequence);
}

/** The first message of which the table has an event; 0 where it is empty. */
export async function firstSequence(client: Client, table: "audit.events" | "metering.calls"): Promise<number> {
  const { rows } = await client.query<{ first: string | null }>(`SELECT min(sequence) AS first FROM ${table}`);
  return Number(rows[0]!.first ?? 0);
}

export async function readChains(client: Client, { first, last }: Span): Promise<ChainPart[]> {
  const { rows } = await client.query<ChainPart>(
    `WITH part AS (
       SELECT tenant, kind, number, event FROM audit.events WHERE sequence BETWEEN $1 AND $2
     ), ends AS (
       SELECT tenant, kind, min(number) AS first, max(number) AS last FROM part GROUP BY tenant, kind
     ), digests AS (
       SELECT tenant, kind, count(*)::integer AS events, last,
              bit_xor(hashtextextended(event, number - first))::text AS digest
       FROM part JOIN ends USING (tenant, kind) GROUP BY tenant, kind, last
     )
     SELECT tenant, kind, events, digest, last AS number, encode(stored.hash, 'hex') AS hash
     FROM digests JOIN audit.events AS stored USING (tenant, kind) WHERE stored.number = last
     ORDER BY tenant, kind`,
    [first, last],
  );
  return rows;
}

export async function readUsage(client: Client, { first, last }: Span): Promise<UsagePart[]> {
  const { rows } = await client.query<UsagePart>(
    `SELECT tenant, count(*)::integer AS calls, sum(duration_us)::text AS "durationUs",
            sum(response_bytes)::text AS "responseBytes", sum(cost)::text AS cost
     FROM metering.calls WHERE sequence BETWEEN $1 AND $2 GROUP BY tenant ORDER BY tenant`,
    [first, last],
  );
  return rows;
}

interface Comparison {
  readonly lines: readonly string[];
  readonly isEqual: boolean;
}

/** @param used as the installation has it */
export function compareChains(used: readonly ChainPart[], rebuilt: readonly ChainPart[]): Comparison {
  return compare(used, rebuilt, ({ tenant, kind }) => `${tenant}/${kind}`, {
    differences: (one, other) =>
      one.events === other.events && one.digest === other.digest ? [] : [`${one.events} events, now ${other.events}`],
    // Where the stream has lost its beginning, the numbers begin later and every hash is another.
    equal: (one, other) =>
      one.number === other.number && one.hash === other.hash
        ? `${one.events} events, the same; the chain's hash at ${one.number}, too`
        : `${one.events} events, the same; numbered anew`,
  });
}

/** @param used as the installation has it */
export function compareUsage(used: readonly UsagePart[], rebuilt: readonly UsagePart[]): Comparison {
  const fields = ["calls", "durationUs", "responseBytes", "cost"] as const;
  return compare(used, rebuilt, ({ tenant }) => `${tenant} usage`, {
    differences: (one, other) =>
      fields
        .filter((field) => one[field] !== other[field])
        .map((field) => `${field} ${one[field]}, now ${other[field]}`),
    equal: ({ calls, cost }) => `${calls} calls, cost ${cost}, the same`,
  });
}

function compare<T>(
  used: readonly T[],
  rebuilt: readonly T[],
  nameOf: (part: T) => string,
  say: { differences: (one: T, other: T) => string[]; equal: (one: T, other: T) => string },
): Comparison {
  const others = new Map(rebuilt.map((part) => [nameOf(part), part]));
  const lines: string[] = [];
  let isEqual = true;
  for (const part of used) {
    const name = nameOf(part);
    const other = others.get(name);
    others.delete(name);
    const differences = other === undefined ? ["not there"] : say.differences(part, other);
    if (differences.length > 0) isEqual = false;
    lines.push(`${name}: ${differences.length > 0 ? `DIFFERENT: ${differences.join("; ")}` : say.equal(part, other!)}`);
  }
  for (const name of others.keys()) lines.push(`${name}: DIFFERENT: only in the rebuilt tables`);
  return { lines, isEqual: isEqual && others.size === 0 };
}
