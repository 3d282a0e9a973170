import type { Certification } from "./tool-standing.ts";

export const DECISIONS = ["submit", "approve", "reject", "retire"] as const;
export type Decision = (typeof DECISIONS)[number];

/** The word of the record for each. */
export const CHANGE_OF = {
  submit: "submitted",
  approve: "approved",
  reject: "rejected",
  retire: "retired",
} as const satisfies Record<Decision, string>;

/** What a decision on a version has to be looked at with. */
export interface DecidedVersion {
  readonly version: number;
  readonly certification: Certification;
  readonly submittedBy: string;
  /** What the server says now, and what clients get. */
  readonly reported: number;
  readonly served: number;
}

export type Decided =
  | { readonly ok: true; readonly certification: Certification }
  | { readonly ok: false; readonly reason: string };

/**
 * draft ─submit─▶ submitted ─approve─▶ approved ─retire─▶ retired. Drafts and what was retired may be approved directly,
 * but where four eyes are asked for; what is rejected is a draft again. Only what the server says, or what is served, can
 * be approved: nobody could call another.
 */
export function decideOn(
  version: DecidedVersion,
  decision: Decision,
  by: { readonly actor: string; readonly fourEyes: boolean },
): Decided {
  const { certification, submittedBy, reported, served } = version;
  const name = `version ${version.version}`;
  switch (decision) {
    case "submit":
      if (certification === "draft" || certification === "retired") return to("submitted");
      return no(`${name} is ${certification} already`);
    case "approve":
      if (certification === "approved") return no(`${name} is approved already`);
      if (version.version !== reported && version.version !== served)
        return no(`${name} is not what the server says any more, which is version ${reported}`);
      if (by.fourEyes && certification !== "submitted")
        return no(`${name} has to be submitted first, by somebody else`);
      if (by.fourEyes && submittedBy === by.actor)
        return no(`${by.actor} has submitted ${name}; somebody else has to approve of it`);
      return to("approved");
    case "reject":
      if (certification === "draft" || certification === "submitted") return to("draft");
      return no(`${name} is ${certification}; only what is submitted or a draft can be rejected`);
    case "retire":
      if (certification === "retired") return no(`${name} is retired already`);
      return to("retired");
  }
}

function to(certification: Certification): Decided {
  return { ok: true, certification };
}

function no(reason: string): Decided {
  return { ok: false, reason };
}
