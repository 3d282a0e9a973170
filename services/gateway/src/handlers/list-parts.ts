import { hash } from "node:crypto";
import type { Ruling } from "../clients/policy.ts";
import type { Item, Server } from "../domain/catalogue.ts";

/** What somebody sees of one server's tools, prompts, resources or templates. */
export interface Part {
  readonly id: number;
  readonly items: readonly Item[];
  /** Another text means that it is not the same list any more; of parts of other servers it says nothing. */
  digest(): string;
}

/** A part, for as long as it may be taken for granted. */
export interface SeenPart {
  readonly part: Part;
  /** Unix milliseconds at which one of its rulings ends; 0: none does before the revision. */
  readonly untilMs: number;
}

export interface ListParts {
  /**
   * The very same part for all of one tenant that see the same.
   * @param of.offered that policy was asked about, in the order of the rulings
   */
  partOf(server: Server, of: { tenant: string; offered: readonly Item[]; rulings: readonly Ruling[] }): SeenPart;
}

export function createListParts(): ListParts {
  const known = new WeakMap<Server, Map<string, Part>>();
  let lastId = 0;

  function toPart(items: readonly Item[]): Part {
    let digest: string | undefined;
    const made = () => hash("sha256", items.map(({ definition }) => definition).join("\n"), "base64");
    return { id: (lastId += 1), items, digest: () => (digest ??= made()) };
  }

  return {
    partOf(server, { tenant, offered, rulings }) {
      const items = offered.filter((_item, i) => rulings[i]!.decision.allow);
      const parts = known.get(server) ?? new Map<string, Part>();
      known.set(server, parts);
      // Which they are is said by their kind and names: the server is given.
      const key = JSON.stringify([tenant, ...items.map(({ kind, name }) => [kind, name])]);
      const part = parts.get(key) ?? toPart(items);
      parts.set(key, part);
      const ends = rulings.map(({ validUntilMs }) => validUntilMs).filter((end) => end !== 0);
      return { part, untilMs: ends.length === 0 ? 0 : Math.min(...ends) };
    },
  };
}
