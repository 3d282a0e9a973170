import type { DesiredToolPolicy } from "@tollgate/desired-state";

export type Certification = "draft" | "submitted" | "approved" | "retired";

/** What is known of a tool. */
export interface KnownTool {
  /** What clients get, as far as its certification lets them. */
  readonly served: KnownVersion;
  /** What the server says now. */
  readonly reported: KnownVersion;
  /** Who has taken it from everybody; empty: nobody. */
  readonly removedBy: string;
}

interface KnownVersion {
  readonly version: number;
  readonly certification: Certification;
}

/** What clients get of a tool, and why it is not what its server says. */
export type Standing =
  | { readonly hold: ""; readonly shown: "reported"; readonly reason: "" }
  | { readonly hold: "held"; readonly shown: "served"; readonly reason: string }
  /** It is in nobody's list. */
  | { readonly hold: "withheld"; readonly shown: undefined; readonly reason: string };

const OFFERED: Standing = { hold: "", shown: "reported", reason: "" };

/**
 * Invariants: a version that is retired is served to nobody; where certification is required, none that is not approved;
 * and none but the first that a tool has had, unless somebody approved of it or the server's changes are accepted.
 */
export function standingOf(tool: KnownTool, policy: Pick<DesiredToolPolicy, "changes" | "certification">): Standing {
  const { served, reported, removedBy } = tool;
  if (removedBy !== "") return withheld(`removed by ${removedBy}`);
  if (reported.certification === "approved") return OFFERED;
  const isChanged = reported.version !== served.version;
  const waits = `version ${reported.version} waits for approval`;
  const why = isChanged ? `its definition has changed; ${waits}` : waits;
  if (policy.certification === "required") {
    const keepsOld = policy.changes !== "withhold" && isChanged && served.certification === "approved";
    if (keepsOld) return { hold: "held", shown: "served", reason: why };
    return withheld(reported.certification === "retired" ? retired(reported) : `not certified: ${why}`);
  }
  if (reported.certification === "retired" && !isChanged) return withheld(retired(reported));
  if (!isChanged) return OFFERED;
  if (policy.changes === "accept" && reported.certification !== "retired") return OFFERED;
  if (policy.changes === "withhold" || served.certification === "retired") return withheld(why);
  return { hold: "held", shown: "served", reason: why };
}

function withheld(reason: string): Standing {
  return { hold: "withheld", shown: undefined, reason };
}

function retired({ version }: KnownVersion): string {
  return `version ${version} is retired`;
}
