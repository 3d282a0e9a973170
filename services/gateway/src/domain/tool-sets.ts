import type { registryV1 } from "@tollgate/contracts";
import { matchesGlob } from "./glob.ts";

/** What a route says instead of a set's id: the repository that is worked on. */
const REPOSITORY_MARK = "~";
const WHOLE_GROUP = "group:";

/** Whose something is. */
interface Owner {
  readonly group: string;
  readonly server: string;
}

/** Some of the catalogue's tools, for a project. */
export interface ToolSet {
  readonly id: string;
  /** Anything of the server. */
  hasSome(owner: Owner): boolean;
  /** Everything of the server, its prompts and resources among it. */
  hasWhole(owner: Owner): boolean;
  hasTool(owner: Owner, tool: string): boolean;
}

/** What a route of sets leads to: a set, or everything where no set is for the repository. */
export type FoundSet = { readonly set: ToolSet } | "everything" | "unknown";

export interface ToolSets {
  readonly ids: readonly string[];
  /** @param named a set's id, or `~` and a repository such as `~github.com/acme/shop` */
  find(named: string): FoundSet;
}

export function toToolSets(given: readonly registryV1.ToolSet[]): ToolSets {
  const sets = new Map(given.map((each) => [each.id, toToolSet(each)]));
  return {
    ids: [...sets.keys()],
    find(named) {
      if (!named.startsWith(REPOSITORY_MARK)) return found(sets.get(named), "unknown");
      return found(sets.get(setFor(given, named.slice(REPOSITORY_MARK.length)) ?? ""), "everything");
    },
  };
}

function found(set: ToolSet | undefined, otherwise: "everything" | "unknown"): FoundSet {
  return set === undefined ? otherwise : { set };
}

/** The set that names the repository itself, else the one whose pattern says most of it. Hosts do not tell case apart. */
function setFor(given: readonly registryV1.ToolSet[], repository: string): string | undefined {
  const text = repository.toLowerCase();
  let best: { readonly id: string; readonly said: number } | undefined;
  for (const { id, repositories } of given)
    for (const pattern of repositories) {
      if (!matchesGlob(pattern.toLowerCase(), text)) continue;
      const said = pattern.includes("*") ? pattern.replaceAll("*", "").length : Infinity;
      if (best === undefined || said > best.said) best = { id, said };
    }
  return best?.id;
}

function toToolSet({ id, tools }: registryV1.ToolSet): ToolSet {
  const groups = tools.filter((each) => each.startsWith(WHOLE_GROUP)).map((each) => each.slice(WHOLE_GROUP.length));
  const others = tools.filter((each) => !each.startsWith(WHOLE_GROUP)).map(splitAtColon);
  const hasWhole = ({ group, server }: Owner): boolean =>
    groups.includes(group) || others.some((each) => each.tool === "*" && matchesGlob(each.server, server));
  return {
    id,
    hasWhole,
    hasSome: (owner) => hasWhole(owner) || others.some((each) => matchesGlob(each.server, owner.server)),
    hasTool: (owner, tool) =>
      hasWhole(owner) || others.some((each) => matchesGlob(each.server, owner.server) && matchesGlob(each.tool, tool)),
  };
}

/** Names of tools may hold colons, ids of servers do not. */
function splitAtColon(text: string): { readonly server: string; readonly tool: string } {
  const at = text.indexOf(":");
  return { server: text.slice(0, at), tool: text.slice(at + 1) };
}
