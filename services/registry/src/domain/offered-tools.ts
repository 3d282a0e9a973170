import type { registryV1, toolsV1 } from "@tollgate/contracts";
import type { DesiredToolPolicy } from "@tollgate/desired-state";
import { parseJson } from "@tollgate/mcp";
import { findingsIn, riskOf } from "./findings.ts";
import { mentionsIn, type NamedTool, shadowingAmong } from "./tool-shadowing.ts";
import { type Certification, standingOf } from "./tool-standing.ts";

/** They are parts of the catalogue, whose size is bounded: beyond it each tool has the worst of its own. */
const FINDINGS_PER_SERVER_MAX = 2_000;

type Tools = Pick<registryV1.Server, "tools" | "withheldTools">;

/** A server's tools as gateways get them. */
export interface OfferedTools {
  /** By themselves. */
  readonly own: Tools;
  /** As they are seen among all others, which is told with their names. */
  readonly named: ReadonlyMap<string, NamedTool>;
  /** With what is to be said of them among all others: the same object for as long as that is the same. */
  told: Tools;
}

export interface OfferedVersion {
  readonly version: number;
  readonly hash: string;
  readonly certification: Certification;
  readonly definition: string;
  readonly retrySafe: boolean;
}

/** A tool that a server lists, with what is known of it. */
export interface ListedTool {
  readonly server_id: string;
  readonly tool: string;
  readonly changes: DesiredToolPolicy["changes"];
  readonly required: DesiredToolPolicy["certification"];
  readonly removed_by: string;
  readonly first_seen: Date;
  readonly reported: OfferedVersion;
  /** Null where it is the one that is reported. */
  readonly served: OfferedVersion | null;
}

/** A server's, in its order. */
export function toOffered(rows: readonly ListedTool[]): OfferedTools {
  const own: Tools = { tools: [], withheldTools: [] };
  const named = new Map<string, NamedTool>();
  let findingsLeft = FINDINGS_PER_SERVER_MAX;
  for (const row of rows) {
    const { tool, parsed } = toTool(row, Math.max(1, findingsLeft));
    findingsLeft -= tool.findings.length;
    (tool.hold === "withheld" ? own.withheldTools : own.tools).push(tool);
    const { server_id: server, tool: name, first_seen: firstSeen } = row;
    named.set(name, { server, name, firstSeenMs: firstSeen.getTime(), mentions: mentionsIn(parsed) });
  }
  return { own, named, told: own };
}

function toTool(
  { tool: name, changes, required, removed_by: removedBy, reported, served }: ListedTool,
  findingsMax: number,
): { tool: registryV1.Tool; parsed: Record<string, unknown> } {
  const known = { reported, served: served ?? reported, removedBy };
  const { hold, reason } = standingOf(known, { changes, certification: required });
  const { version, hash, certification, definition, retrySafe } = hold === "held" ? known.served : reported;
  const parsed = parseJson(definition) as Record<string, unknown>;
  const findings = findingsIn(parsed).slice(0, findingsMax);
  const about = { name, definition, hash, version, certification, hold, holdReason: reason, findings };
  // What runs is what the server has now: it may run again only where both say so.
  return {
    tool: { ...about, retrySafe: retrySafe && reported.retrySafe, risk: raisedBy(certification, findings) },
    parsed,
  };
}

/** Whoever has approved of a definition has taken its findings as they are. */
function raisedBy(certification: string, findings: readonly toolsV1.Finding[]): string {
  return certification === "approved" ? "" : (riskOf(findings) ?? "");
}

/** Looks at all tools together: those of one server may mislead about those of another. */
export function tellShadowing(servers: ReadonlyMap<string, OfferedTools>): void {
  const all = [...servers.values()].flatMap(({ named }) => [...named.values()]);
  const shadowing = shadowingAmong(all);
  for (const offered of servers.values()) {
    const { own, named, told } = offered;
    const withFindings = (tool: registryV1.Tool): registryV1.Tool => {
      const others = shadowing.get(named.get(tool.name)!);
      if (others === undefined) return tool;
      const findings = [...tool.findings, ...others];
      return { ...tool, findings, risk: raisedBy(tool.certification, findings) };
    };
    const next = { tools: own.tools.map(withFindings), withheldTools: own.withheldTools.map(withFindings) };
    if (!isSameTold(told, next)) offered.told = next;
  }
}

/** Of the same server's tools, whose definitions are the same. */
function isSameTold(a: Tools, b: Tools): boolean {
  const findingsOf = ({ tools, withheldTools }: Tools): string =>
    JSON.stringify([...tools, ...withheldTools].map(({ findings }) => findings));
  return findingsOf(a) === findingsOf(b);
}
