import { isDeepStrictEqual } from "node:util";
import type { EntryKey } from "@tollgate/desired-state";
import type { DeclaredResource } from "./changes.ts";

/** What is on the record before and after a change. */
export interface Sides {
  readonly before: readonly DeclaredResource[];
  readonly after: readonly DeclaredResource[];
  readonly toolsOf: (server: string) => number;
}

/** What follows from a change of an entry, for people; "" where nothing does. */
export function followUpOf({ kind, id }: EntryKey, sides: Sides): string {
  if (kind === "server") return followUpOfServer(id, sides);
  if (kind === "group") return followUpOfGroup(id, sides);
  const after = sides.after.find((each) => each.resource === kind && each.name === id);
  if (kind === "tenant") return `its calls go by the plan ${after ? String(after.value["plan"]) : "default"}`;
  return after === undefined ? `/mcp/sets/${id} leads nowhere any more` : "";
}

function followUpOfServer(id: string, { before, after, toolsOf }: Sides): string {
  const [was, is] = [before, after].map((all) => all.find((each) => each.resource === "server" && each.name === id));
  const [ran, runs] = [was, is].map((server) => server?.value["enabled"] === true);
  const tools = toolsOf(id) === 1 ? "1 tool is gone" : `${toolsOf(id)} tools are gone`;
  if (!runs) return ran ? `its processes are ended, ${tools}` : "it is not run";
  if (!ran) return "its processes are started";
  if (was!.unshown !== is!.unshown) return "its processes are replaced, new ones first";
  return "its processes go on";
}

/** Connectors are parts of their group's entry. */
function followUpOfGroup(id: string, { before, after, toolsOf }: Sides): string {
  const connectorsOf = (all: readonly DeclaredResource[]) =>
    all.filter(({ resource, group, value }) => resource === "server" && group === id && value["type"] === "connector");
  const was = connectorsOf(before);
  const is = connectorsOf(after);
  const gone = was.filter(({ name }) => !is.some((each) => each.name === name));
  const taken = is.filter((each) => !was.some((other) => isDeepStrictEqual(other, each)));
  const tools = gone.reduce((sum, { name }) => sum + toolsOf(name), 0);
  return [
    ...(taken.length === 0 ? [] : [`connectors taken anew: ${taken.map(({ name }) => name).join(", ")}`]),
    ...(gone.length === 0
      ? []
      : [`connectors that are gone: ${gone.map(({ name }) => name).join(", ")} (${tools} tools)`]),
  ].join("; ");
}
