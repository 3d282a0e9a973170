import { type Pool, withTransaction } from "@tollgate/service";
import { lockRevision, setRevision } from "./revision.ts";

/** Counts a restart of the server. Undefined when there is none of this id. */
export async function nextGeneration(
  pool: Pool,
  serverId: string,
): Promise<{ readonly generation: bigint; readonly revision: bigint } | "disabled" | undefined> {
  return withTransaction(pool, async (client) => {
    const revision = (await lockRevision(client)) + 1n;
    const { rows } = await client.query<{ enabled: boolean; generation: string }>(
      "UPDATE registry.servers SET generation = generation + enabled::integer WHERE id = $1 RETURNING enabled, generation",
      [serverId],
    );
    const row = rows[0];
    if (row === undefined) return undefined;
    if (!row.enabled) return "disabled";
    await setRevision(client, revision);
    return { generation: BigInt(row.generation), revision };
  });
}
