import { setImmediate as otherWork } from "node:timers/promises";
import type { Registry } from "../clients/registry.ts";
import type { Catalogue } from "../domain/catalogue.ts";
import { createToolIndex, type FoundTool } from "../domain/tool-index.ts";

/** Search over the whole catalogue: built when somebody searches, and brought up to date by what has changed. */
export interface ToolSearch {
  /** Best first; without a text all tools. */
  find(text: string): Promise<FoundTool[]>;
}

export function createToolSearch(registry: Registry): ToolSearch {
  const index = createToolIndex();
  let taken: Catalogue | undefined;
  let taking: Promise<void> | undefined;

  async function take(catalogue: Catalogue): Promise<void> {
    for (const server of index.outdated(catalogue)) {
      index.put(server);
      // Calls do not wait for thousands of tools.
      await otherWork();
    }
    taken = catalogue;
  }

  return {
    async find(text) {
      // What is under way may be of an older catalogue: then once more.
      for (let turn = 0; turn < 2 && taken !== registry.catalogue; turn++)
        await (taking ??= take(registry.catalogue).finally(() => (taking = undefined)));
      return index.find(text);
    },
  };
}
