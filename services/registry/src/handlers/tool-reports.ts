import { type AuditEvent, changeEvent, INSTALLATION_TENANT, newCallId, RISKS } from "@tollgate/contracts";
import { parseJson } from "@tollgate/mcp";
import { findingsIn, riskOf } from "../domain/findings.ts";
import type { Item } from "../domain/item.ts";
import { FLOODED, isFlooded, movedBy, recordable, type SaidVersion } from "../domain/tool-report.ts";
import { standingOf } from "../domain/tool-standing.ts";
import type { Queryable } from "../store/revision.ts";
import { forgetVersions } from "../store/tool-memory.ts";
import {
  type KnownRow,
  markUnlisted,
  readKnown,
  readVersions,
  type ToolsReport,
  versionKey,
  type VersionRow,
  type Written,
  writeTools,
  writeVersions,
} from "../store/tool-reports.ts";

/**
 * Compares what a server says of its tools with what is known of them, and keeps what is new.
 * @returns whether anything differs, and what to put on the record of it
 */
export async function recordTools(
  client: Queryable,
  report: ToolsReport,
): Promise<{ readonly changed: boolean; readonly events: readonly AuditEvent[] }> {
  const { serverId, tools } = report;
  const known = await readKnown(client, serverId);
  const others = tools.filter(({ key, canonicalHash }) => {
    const row = known.get(key);
    return row === undefined || row.unlisted || row.hash !== canonicalHash;
  });
  const versions = await readVersions(
    client,
    serverId,
    others.filter(({ key }) => known.has(key)),
  );
  const told: Told = { changes: [], held: [], suspicious: [], flooding: [] };
  const removedBy = isFlooded(known, tools) ? FLOODED : "";
  const written = others.flatMap((item) =>
    compare(item, { report, known: known.get(item.key), versions, removedBy, told }),
  );
  if (written.length > 0) {
    await writeTools(client, report, written);
    await writeVersions(
      client,
      report,
      written.filter(({ isNew }) => isNew),
    );
  }
  const unlisted = await markUnlisted(client, serverId, tools);
  if (written.length + unlisted > 0) await forgetVersions(client, serverId, FLOODED);
  return { changed: written.length + unlisted > 0, events: eventsOf(report, told) };
}

interface Told {
  readonly changes: AuditEvent[];
  readonly held: string[];
  readonly suspicious: string[];
  readonly flooding: string[];
}

function compare(
  item: Item,
  options: {
    readonly report: ToolsReport;
    readonly known: KnownRow | undefined;
    readonly versions: ReadonlyMap<string, VersionRow>;
    /** What a new one gets. */
    readonly removedBy: string;
    readonly told: Told;
  },
): Written[] {
  const { report, known, versions, removedBy, told } = options;
  const tellSuspicion = (): void => {
    const risk = riskOf(findingsIn(parseJson(item.definition) as Record<string, unknown>));
    if (risk !== undefined && RISKS.indexOf(risk) >= RISKS.indexOf("HIGH")) told.suspicious.push(item.key);
  };
  if (known === undefined) {
    tellSuspicion();
    if (removedBy !== "") told.flooding.push(item.key);
    return [{ item, served: 1, reported: 1, newest: 1, isNew: true, removedBy }];
  }
  const found = versions.get(versionKey(item.key, item.canonicalHash));
  const said: SaidVersion = found ?? { version: known.newest + 1, certification: "draft" };
  const { runner, nowMs, policy } = report;
  const moved = movedBy(known, said, { runner, nowMs, acceptsChanges: policy.changes === "accept" });
  const { served, reported } = moved ?? { served: known.served.version, reported: known.reported.version };
  const newest = Math.max(known.newest, said.version);
  if (moved !== undefined) {
    if (found === undefined) tellSuspicion();
    tellChange(item, { ...options, known, said, isServed: served === said.version });
  }
  if (moved === undefined && !known.unlisted) return [];
  const isNew = found === undefined && reported === said.version;
  return [{ item, served, reported, newest, isNew, removedBy: "" }];
}

/** The record says what the server has changed, and what became of it. */
function tellChange(
  item: Item,
  options: {
    readonly report: ToolsReport;
    readonly known: KnownRow;
    readonly versions: ReadonlyMap<string, VersionRow>;
    readonly said: SaidVersion;
    readonly isServed: boolean;
    readonly told: Told;
  },
): void {
  const { report, known, versions, said, isServed, told } = options;
  const served = isServed ? said : known.served;
  const standing = standingOf({ served, reported: said, removedBy: known.removedBy }, report.policy);
  const before = [...versions.values()].find(
    ({ tool, version }) => tool === item.key && version === known.reported.version,
  );
  const { serverId, group, nowMs } = report;
  const takenBack = said.version === known.served.version ? "its server has taken the change back" : "";
  const reason = standing.reason || takenBack;
  const event = changeEvent(
    {
      tenant: "",
      resource: "tool",
      change: standing.hold === "" ? "updated" : "held",
      name: `${serverId}:${item.key}`,
      principal: `server:${serverId}`,
      group,
      server: serverId,
      tool: item.key,
      ...(before === undefined ? {} : { before: recordable(before.version, before.definition) }),
      after: recordable(said.version, item.definition),
      ...(reason === "" ? {} : { reason }),
    },
    nowMs,
  );
  told.changes.push(event);
  if (standing.hold !== "" && known.removedBy === "") told.held.push(item.key);
}

function eventsOf(
  { serverId, group, nowMs }: ToolsReport,
  { changes, held, suspicious, flooding }: Told,
): AuditEvent[] {
  const alert = (code: "tool_changed" | "suspicious_tool", tools: readonly string[], what: string): AuditEvent[] => {
    const [tool] = tools;
    if (tool === undefined) return [];
    const more = tools.length === 1 ? "" : `, as have ${tools.length - 1} more of its tools`;
    const about = {
      tenant: INSTALLATION_TENANT,
      group,
      server: serverId,
      tool,
      reason: `${serverId}:${tool} ${what}${more}`,
    };
    return [{ v: 1, kind: "alert", id: newCallId(nowMs), endedAt: nowMs, code, ...about }];
  };
  return [
    ...changes,
    ...alert("tool_changed", held, "has another definition, which waits for approval"),
    ...alert("suspicious_tool", suspicious, "has a definition that could mislead a model"),
    ...alert("suspicious_tool", flooding, "is withheld: too many of its server's tools have come and gone"),
  ];
}
