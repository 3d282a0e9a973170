import { createHash } from "node:crypto";
import type { CallFacts } from "@tollgate/contracts";
import { type Era, parseJson } from "@tollgate/mcp";

/** A tool's result, as its server wrote it. */
export interface KeptResult {
  /** JSON. */
  readonly text: string;
  readonly era: Era;
  /** Unix milliseconds at which it came. */
  readonly at: number;
}

/** Results of tools that may be given once more when the tool cannot be reached. Of too many the one used longest ago goes. */
export interface ResultCache {
  keep(key: string, result: KeptResult): void;
  /** Undefined when there is none, or it came before `since`. */
  find(key: string, since: number): KeptResult | undefined;
}

interface Entry {
  /** Bytes instead of a string, which would keep all that it was cut out of. */
  readonly bytes: Buffer;
  readonly era: Era;
  readonly at: number;
}

export function createResultCache({ max, maxBytes }: { max: number; maxBytes: number }): ResultCache {
  /** Used longest ago first. */
  const entries = new Map<string, Entry>();
  let size = 0;

  function remove(key: string): void {
    size -= entries.get(key)?.bytes.length ?? 0;
    entries.delete(key);
  }

  return {
    keep(key, { text, era, at }) {
      const bytes = Buffer.from(text);
      remove(key);
      if (bytes.length > maxBytes) return;
      entries.set(key, { bytes, era, at });
      size += bytes.length;
      while (entries.size > max || size > maxBytes) remove(entries.keys().next().value!);
    },
    find(key, since) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.at < since) {
        remove(key);
        return undefined;
      }
      entries.delete(key);
      entries.set(key, entry);
      return { text: entry.bytes.toString(), era: entry.era, at: entry.at };
    },
  };
}

/** Whose result it is, of what, in which settings of the server. `args` is a JSON text, whose members may be in any order. */
export function resultKey(
  { tenant, principal, server, tool }: Pick<CallFacts, "tenant" | "principal" | "server" | "tool">,
  specHash: string,
  args: string | undefined,
): string {
  const key = JSON.stringify([tenant, principal, server, tool, specHash, canonical(args ?? "{}")]);
  return createHash("sha256").update(key).digest("base64");
}

/** Numbers as they were written: two that a server tells apart may be one here. */
function canonical(json: string): string {
  return JSON.stringify(parseJson(json, Symbol), (_key, each: unknown) => {
    if (typeof each === "symbol") return { number: each.description };
    if (typeof each !== "object" || each === null || Array.isArray(each)) return each;
    return { members: Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)) };
  });
}
