import { changeEvent } from "@tollgate/contracts";
import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import { lockRevision, setRevision } from "./revision.ts";

/** Counts a restart of the server, as asked for by this author. Undefined when there is none of this id. */
export async function nextGeneration(
  pool: Pool,
  { serverId, ...author }: { readonly serverId: string; readonly principal: string; readonly address?: string },
): Promise<{ readonly generation: bigint; readonly revision: bigint } | "disabled" | undefined> {
  return withTransaction(pool, async (client) => {
    const revision = (await lockRevision(client)) + 1n;
    const { rows } = await client.query<{ enabled: boolean; generation: string; group_id: string }>(
      "UPDATE registry.servers SET generation = generation + enabled::integer WHERE id = $1 RETURNING enabled, generation, group_id",
      [serverId],
    );
    const row = rows[0];
    if (row === undefined) return undefined;
    if (!row.enabled) return "disabled";
    await setRevision(client, revision);
    const about = { tenant: "", resource: "server", name: serverId, server: serverId, group: row.group_id } as const;
    const event = changeEvent({ ...about, change: "restarted", ...author }, Date.now());
    await enqueueEvents(client, "registry", [event]);
    return { generation: BigInt(row.generation), revision };
  });
}
