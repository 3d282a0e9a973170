import { parseJson } from "@tollgate/mcp";
import type { Certification, KnownTool } from "./tool-standing.ts";

/**
 * While servers are replaced one by one, runners with the old definition and with the new one report in any order: for so
 * long another runner's older version is no word on the newer one.
 */
const ROLLING_MS = 5 * 60_000;

/** A server that lists new tools again and again is let have so many that it does not list any more; they are all kept. */
export const UNLISTED_MAX = 8_000;
/** Who has taken the tools that are beyond that from everybody; somebody may offer them again. */
export const FLOODED = "the registry: too many of the server's tools have come and gone";

export interface ReportedTool extends KnownTool {
  readonly reporter: string;
  /** Unix milliseconds. */
  readonly reportedAtMs: number;
}

/** Whether a server gets no more new tools. Those that nobody was offered for that do not count: they are not kept. */
export function isFlooded(
  known: ReadonlyMap<string, Pick<KnownTool, "removedBy">>,
  listed: readonly { readonly key: string }[],
): boolean {
  const names = new Set(listed.map(({ key }) => key));
  const gone = [...known].filter(([name, { removedBy }]) => !names.has(name) && removedBy !== FLOODED);
  return gone.length >= UNLISTED_MAX;
}

/** What a tool's server has said now, as a version of the tool. */
export interface SaidVersion {
  readonly version: number;
  readonly certification: Certification;
}

/**
 * What is reported and served of a tool from now on; undefined where the report changes nothing. What is served moves only
 * where changes are accepted, or to what somebody has approved of.
 */
export function movedBy(
  tool: ReportedTool,
  said: SaidVersion,
  by: { readonly runner: string; readonly nowMs: number; readonly acceptsChanges: boolean },
): { readonly reported: number; readonly served: number } | undefined {
  const { reported, served, reporter, reportedAtMs } = tool;
  if (said.version === reported.version) return undefined;
  const isRolling = by.runner !== reporter && by.nowMs - reportedAtMs < ROLLING_MS;
  if (said.version < reported.version && isRolling) return undefined;
  const isServed = said.certification === "approved" || (by.acceptsChanges && said.certification !== "retired");
  return { reported: said.version, served: isServed ? said.version : served.version };
}

/** A definition as the record shows it; its text where it is nested too deeply for an event. */
export function recordable(version: number, definition: string): object {
  const value = parseJson(definition);
  try {
    JSON.stringify(value);
    return { version, definition: value };
  } catch {
    return { version, definition };
  }
}
