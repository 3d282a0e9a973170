import type { StreamedEvent } from "@tollgate/bus";
import type { Partitions } from "@tollgate/service";
import type { PoolClient } from "pg";
import { chain } from "../domain/chains.ts";
import { recordKey, toRecord, withoutDuplicates } from "../domain/record.ts";
import {
  insertEvents,
  type PreparedRecords,
  prepareRecords,
  readChainEnds,
  readKnown,
  writeChainEnds,
} from "../store/recording.ts";

export function prepareEvents(events: readonly StreamedEvent[]): PreparedRecords {
  return prepareRecords(withoutDuplicates(events.map(toRecord)));
}

/**
 * What stores a batch of the stream, in the transaction that it is given: the events that are not stored yet, each with
 * its place in its chain. Says how many they were.
 */
export function createEventStore(
  partitions: Partitions,
): (client: PoolClient, prepared: PreparedRecords) => Promise<number> {
  return async (client, prepared) => {
    const { records } = prepared;
    try {
      await partitions.ensure(records.map((record) => record.timeMs));
      await client.query("SAVEPOINT before_events");
      if (await append(client, prepared)) return records.length;
      // Some were stored already, which is rare: after a stream was made anew, or where it says a thing twice.
      await client.query("ROLLBACK TO SAVEPOINT before_events");
      const known = await readKnown(client, records);
      const fresh = records.filter((record) => !known.has(recordKey(record)));
      if (fresh.length > 0 && !(await append(client, prepareRecords(fresh))))
        throw new Error("somebody else stores events");
      return fresh.length;
    } catch (error) {
      partitions.forget();
      throw error;
    }
  };
}

/** False when some of them were there: numbers have no holes, so none of them counts then. */
async function append(client: PoolClient, prepared: PreparedRecords): Promise<boolean> {
  const { links } = prepared;
  const places = chain(links, await readChainEnds(client, links));
  if ((await insertEvents(client, prepared, places)) < links.length) return false;
  await writeChainEnds(client, places.ends);
  return true;
}
