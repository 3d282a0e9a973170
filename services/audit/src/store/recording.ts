import { chainName } from "@tollgate/evidence";
import type { PoolClient } from "pg";
import type { ChainedRecord, ChainEnd } from "../domain/chains.ts";
import { type AuditRecord, recordKey } from "../domain/record.ts";

const HASH_BYTES = 32;

/**
 * Texts without line breaks travel as one: an array literal would escape each of their quotes. Hashes travel as one
 * run of bytes, and policies as the JSON of their array.
 */
const INSERT = `
  INSERT INTO audit.events
    (time, sequence, id, tenant, kind, number, hash, outcome, principal, team, group_id, server, tool, decision, policies,
     trace, reason, event)
  SELECT to_timestamp(time_ms::float8 / 1000), sequence, id, tenant, kind, number,
         substring($7::bytea FROM (at::int - 1) * ${HASH_BYTES} + 1 FOR ${HASH_BYTES}), outcome, principal, team, group_id, server,
         tool, decision, policies::text[], trace, reason, event
  FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $8::text[], $9::text[],
              $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
              string_to_array($18, E'\\n'))
    WITH ORDINALITY
    AS given (time_ms, sequence, id, tenant, kind, number, outcome, principal, team, group_id, server, tool, decision,
              policies, trace, reason, event, at)
  ON CONFLICT DO NOTHING`;

/** Where the chains of these records end, for as long as the transaction lasts. A chain that is new is not among them. */
export async function readChainEnds(client: PoolClient, records: readonly AuditRecord[]): Promise<ChainEnd[]> {
  const chains = [...new Map(records.map((record) => [chainName(record), record])).values()];
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

/** Says how many were inserted: those that are there already are not. */
export async function insertEvents(client: PoolClient, given: readonly ChainedRecord[]): Promise<number> {
  const column = <T>(valueOf: (record: AuditRecord) => T): T[] => given.map(({ record }) => valueOf(record));
  const { rowCount } = await client.query({
    name: "insert-events",
    text: INSERT,
    values: [
      column((record) => record.timeMs),
      column((record) => record.sequence),
      column((record) => record.id),
      column((record) => record.tenant),
      column((record) => record.kind),
      given.map(({ number }) => number),
      Buffer.concat(
        given.map(({ hash }) => hash),
        given.length * HASH_BYTES,
      ),
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
      column((record) => record.line).join("\n"),
    ],
  });
  return rowCount ?? 0;
}

function arrayLiteral(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`;
}

/** The keys of those records that are stored already. */
export async function readKnown(client: PoolClient, records: readonly AuditRecord[]): Promise<Set<string>> {
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
  return new Set(rows.map(recordKey));
}
