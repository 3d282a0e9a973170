import type { StreamedEvent } from "@tollgate/bus";
import type { Partitions } from "@tollgate/service";
import { DatabaseError, type PoolClient } from "pg";
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

const UNIQUE_VIOLATION = "23505";

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
      await client.query("ROLLBACK TO SAVEPOINT before_events");
      const known = new Set((await readKnown(client, records)).map(recordKey));
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

/**
 * False, and the savepoint has to be gone back to, when some were stored already. That is rare: after a stream was made
 * anew, or where it says a thing twice. To look for them each time would cost every event a search.
 */
async function append(client: PoolClient, prepared: PreparedRecords): Promise<boolean> {
  const { links } = prepared;
  const places = chain(links, await readChainEnds(client, links));
  try {
    await insertEvents(client, prepared, places);
  } catch (error) {
    if (error instanceof DatabaseError && error.code === UNIQUE_VIOLATION) return false;
    throw error;
  }
  await writeChainEnds(client, places.ends);
  return true;
}
