import { chainName, genesisHash, leafHash, nextHash } from "@tollgate/evidence";
import { type Infrastructure, testLog } from "@tollgate/testkit";
import type pg from "pg";
import { expect } from "vitest";
import { configSchema } from "../src/config.ts";
import { type AuditService, startAudit } from "../src/service.ts";

export function startRecorder(infra: Infrastructure, checkpointMs = 200): Promise<AuditService> {
  const config = configSchema.parse({
    serviceKey: infra.serviceKey,
    httpPort: 0,
    grpcPort: 0,
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    databaseUrl: infra.databaseUrl("audit"),
    signingSecret: infra.signingSecret,
    batchWaitMs: 20,
    checkpointMs,
  });
  return startAudit(config, testLog);
}

type Queries = Pick<pg.ClientBase, "query">;

/** Every column of every row, so that two databases can be compared; a hash is hexadecimal. */
export async function readRecord(client: Queries): Promise<Record<string, unknown[]>> {
  const rows = async (table: string, order: string): Promise<unknown[]> =>
    (await client.query(`SELECT to_jsonb(t) AS row FROM audit.${table} t ORDER BY ${order}`)).rows.map(
      ({ row }) => row,
    );
  return {
    events: await rows("events", "tenant, kind, number"),
    chains: await rows("chains", "tenant, kind"),
    position: await rows("position", "singleton"),
  };
}

/** Fails unless each chain has every number from 1 on, and the hashes that its lines make. */
export async function expectChainsToHold(client: Queries): Promise<void> {
  const { rows: chains } = await client.query<{ tenant: string; kind: string; number: string; hash: Buffer }>(
    "SELECT tenant, kind, number, hash FROM audit.chains",
  );
  const ends = new Map<string, string>();
  const { rows } = await client.query<{ tenant: string; kind: string; number: string; hash: Buffer; event: string }>(
    "SELECT tenant, kind, number, hash, event FROM audit.events ORDER BY tenant, kind, number",
  );
  let last: { name: string; number: number; hash: Buffer } | undefined;
  for (const row of rows) {
    const name = chainName(row);
    const before: { number: number; hash: Buffer } = last?.name === name ? last : { number: 0, hash: genesisHash(row) };
    expect(Number(row.number)).toBe(before.number + 1);
    expect(row.hash).toEqual(nextHash(before.hash, leafHash(row.event)));
    last = { name, number: before.number + 1, hash: row.hash };
    ends.set(name, `${row.number} ${row.hash.toString("hex")}`);
  }
  expect(new Map(chains.map((row) => [chainName(row), `${row.number} ${row.hash.toString("hex")}`]))).toEqual(ends);
}
