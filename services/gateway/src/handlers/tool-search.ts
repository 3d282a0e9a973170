import { setImmediate as otherWork } from "node:timers/promises";
import { AppError } from "@tollgate/errors";
import type { Registry } from "../clients/registry.ts";
import type { Catalogue } from "../domain/catalogue.ts";
import { createPlaces } from "../domain/places.ts";
import { createToolIndex, type FoundTool } from "../domain/tool-index.ts";

/** Under way or waiting for their turn: each keeps the gateway from calls for a while. */
const SEARCHES_MAX = 16;
const SEARCHES_PER_TENANT_MAX = 8;
const RETRY_AFTER_SECONDS = 1;

/** Search over the whole catalogue: built when somebody searches, and brought up to date by what has changed. */
export interface ToolSearch {
  /**
   * Best first; without a text all tools. Those that ask at the same time have their turns.
   * @param tenant of whoever asks: others are not refused for what one tenant's ask
   * @throws {AppError} overloaded
   */
  find(text: string, tenant: string): Promise<FoundTool[]>;
}

export function createToolSearch(registry: Pick<Registry, "catalogue">): ToolSearch {
  const index = createToolIndex();
  const places = createPlaces({ max: SEARCHES_MAX, perTenantMax: SEARCHES_PER_TENANT_MAX });
  let taken: Catalogue | undefined;
  /** Ends when the next may search. */
  let turn: Promise<unknown> = Promise.resolve();

  async function take(catalogue: Catalogue): Promise<void> {
    for (const server of index.outdated(catalogue)) {
      index.put(server);
      // Calls do not wait for thousands of tools.
      await otherWork();
    }
    taken = catalogue;
  }

  async function findNow(text: string): Promise<FoundTool[]> {
    // While one is taken there may be a newer one: then once more.
    for (let time = 0; time < 2 && taken !== registry.catalogue; time++) await take(registry.catalogue);
    return index.find(text);
  }

  return {
    async find(text, tenant) {
      const release = places.take(tenant);
      if (release === undefined)
        throw new AppError("overloaded", "as many searches as may run at a time are running", {
          details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
        });
      const found = turn.then(() => findNow(text)).finally(release);
      // Calls do not wait for more than one search.
      turn = found.catch(() => undefined).then(() => otherWork());
      return found;
    },
  };
}
