import { chainName, leafHash } from "@tollgate/evidence";
import { arrayLiteral } from "@tollgate/service";
import type { PoolClient } from "pg";
import type { ChainEnd, Link } from "../domain/chains.ts";
import type { AuditRecord } from "../domain/record.ts";

const HASH_BYTES = 32;

/**
 * Lines hold no line break, so they travel as one text: an array would have to escape each of their quotes. Hashes
 * travel as one run of bytes, and a row's policies as the text of an array.
 */
const INSERT = `
  INSERT INTO audit.events
    (time, sequence, id, tenant, kind, outcome, principal, team, group_id, server, tool, decision, policies, trace, reason,
     event, number, hash)
  SELECT to_timestamp(time_ms::float8 / 1000), sequence, id, tenant, kind, outcome, principal, team, group_id, server, tool,
         decision, policies::text[], trace, reason, event, number,
         substring($18::bytea FROM (at::int - 1) * ${HASH_BYTES} + 1 FOR ${HASH_BYTES})
  FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
              $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
              string_to_array($16, E'\\n'), $17::bigint[])
    WITH ORDINALITY
    AS given (time_ms, sequence, id, tenant, kind, outcome, principal, team, group_id, server, tool, decision, policies,
              trace, reason, event, number, at)`;

/** Records in the form in which PostgreSQL takes them, but for their places in their chains. */
export interface PreparedRecords {
  readonly records: readonly AuditRecord[];
  readonly links: readonly Link[];
  /** The parameters of INSERT that no chain is needed for, in its order. */
  readonly columns: readonly string[];
}

export function prepareRecords(records: readonly AuditRecord[]): PreparedRecords {
  const column = (valueOf: (record: AuditRecord) => string | number | null): string =>
    arrayLiteral(records.map(valueOf));
  return {
    records,
    links: records.map(({ tenant, kind, line }) => ({
      tenant,
      kind,
      name: chainName({ tenant, kind }),
      leaf: leafHash(line),
    })),
    columns: [
      column((record) => record.timeMs),
      column((record) => record.sequence),
      column((record) => record.id),
      column((record) => record.tenant),
      column((record) => record.kind),
      column((record) => record.outcome),
      column((record) => record.principal),
      column((record) => record.team),
      column((record) => record.group),
      column((record) => record.server),
      column((record) => record.tool),
      column((record) => record.decision),
      column((record) => record.policies && arrayLiteral(record.policies)),
      column((record) => record.trace),
      column((record) => record.reason),
      records.map((record) => record.line).join("\n"),
    ],
  };
}

/** Where the chains of these events end, for as long as the transaction lasts. A chain that is new is not among them. */
export async function readChainEnds(client: PoolClient, links: readonly Link[]): Promise<ChainEnd[]> {
  const chains = [...new Map(links.map((link) => [link.name, link])).values()];
  const { rows } = await client.query<{ tenant: string; kind: string; number: string; hash: Buffer }>({
    name: "chain-ends",
    text: `SELECT tenant, kind, number, hash FROM audit.chains
           WHERE (tenant, kind) IN (SELECT * FROM unnest($1::text[], $2::text[])) FOR UPDATE`,
    values: [chains.map(({ tenant }) => tenant), chains.map(({ kind }) => kind)],
  });
  return rows.map((row) => ({ ...row, number: Number(row.number) }));
}

export async function writeChainEnds(client: PoolClient, ends: readonly ChainEnd[]): Promise<void> {
  await client.query({
    name: "write-chain-ends",
    text: `INSERT INTO audit.chains (tenant, kind, number, hash)
           SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[])
           ON CONFLICT (tenant, kind) DO UPDATE SET number = EXCLUDED.number, hash = EXCLUDED.hash`,
    values: [
      ends.map((end) => end.tenant),
      ends.map((end) => end.kind),
      ends.map((end) => end.number),
      ends.map((end) => end.hash),
    ],
  });
}

/** @throws {DatabaseError} of a unique key, where one of them is there already */
export async function insertEvents(
  client: PoolClient,
  { columns }: PreparedRecords,
  { numbers, hashes }: { numbers: readonly number[]; hashes: readonly Uint8Array[] },
): Promise<void> {
  const values = [...columns, arrayLiteral(numbers), Buffer.concat(hashes, hashes.length * HASH_BYTES)];
  await client.query({ name: "insert-events", text: INSERT, values });
}

/** Those of the records that are stored already. */
export async function readKnown(
  client: PoolClient,
  records: readonly AuditRecord[],
): Promise<{ tenant: string; id: string }[]> {
  const { rows } = await client.query<{ tenant: string; id: string }>({
    name: "known-events",
    text: `SELECT e.tenant, e.id
           FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS given (tenant, time_ms, id)
           JOIN audit.events e ON e.tenant = given.tenant AND e.time = to_timestamp(given.time_ms::float8 / 1000) AND e.id = given.id`,
    values: [
      records.map((record) => record.tenant),
      records.map((record) => record.timeMs),
      records.map((record) => record.id),
    ],
  });
  return rows;
}
