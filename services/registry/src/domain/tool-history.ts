import type { toolsV1 } from "@tollgate/contracts";
import type { DesiredToolPolicy } from "@tollgate/desired-state";
import { parseJson } from "@tollgate/mcp";
import { findingsIn, riskOf } from "./findings.ts";
import { differenceBetween } from "./tool-difference.ts";
import { type Certification, standingOf } from "./tool-standing.ts";

/** One version, beside what is the same for all of the tool. */
export interface KeptVersion {
  readonly changes: DesiredToolPolicy["changes"];
  readonly required: DesiredToolPolicy["certification"];
  readonly served: number;
  readonly reported: number;
  readonly removedBy: string;
  readonly version: number;
  readonly hash: string;
  readonly definition: string;
  readonly certification: Certification;
  readonly firstSeen: Date;
  readonly submittedBy: string;
  readonly decidedBy: string;
  readonly decidedAt: Date | null;
  readonly comment: string;
}

type Shown = Omit<toolsV1.ToolVersion, "serverId" | "tool">;

/** @param versions of one tool, newest first */
export function toVersions(versions: readonly KeptVersion[]): Shown[] {
  return versions.map((row, at) => toVersion(row, { rows: versions, older: versions[at + 1] }));
}

function toVersion(
  row: KeptVersion,
  { rows, older }: { rows: readonly KeptVersion[]; older: KeptVersion | undefined },
): Shown {
  const { version, hash, definition, certification, submittedBy, decidedBy, comment, served, reported } = row;
  const of = (number: number) => rows.find((each) => each.version === number) ?? row;
  const { removedBy, changes, required } = row;
  const known = { reported: of(reported), served: of(served), removedBy };
  const { hold, shown } = standingOf(known, { changes, certification: required });
  const held = version === reported && hold !== "" && removedBy === "";
  // What waits is looked at beside what is served meanwhile.
  const before = held && served !== version ? of(served) : older;
  const parsed = parse(definition);
  const findings = findingsIn(parsed);
  return {
    version,
    hash,
    definition,
    certification,
    served: shown !== undefined && version === known[shown].version,
    held,
    findings,
    risk: certification === "approved" ? "" : (riskOf(findings) ?? ""),
    firstSeenMs: BigInt(row.firstSeen.getTime()),
    submittedBy,
    decidedBy,
    decidedAtMs: BigInt(row.decidedAt?.getTime() ?? 0),
    comment,
    difference: before === undefined ? "" : differenceBetween(parse(before.definition), parsed),
  };
}

function parse(definition: string): Record<string, unknown> {
  return parseJson(definition) as Record<string, unknown>;
}
