import { type Recordable, RECORDABLE } from "@tollgate/contracts";
import type { Settings } from "./settings.ts";
import type { PolicyRecord } from "./policy.ts";

interface RecordingState {
  readonly policies: readonly Pick<PolicyRecord, "id" | "record">[];
  readonly settings: Pick<Settings, "riskLevels">;
}

/** What of an allowed call has to be kept whole: whatever one of the policies that decided, or its risk, asks for. */
export function recorder({
  policies,
  settings,
}: RecordingState): (policyIds: readonly string[], risk: string) => readonly Recordable[] {
  const asking = policies.filter(({ record }) => record.length > 0);
  const levels: Readonly<Record<string, { readonly record?: readonly Recordable[] }>> = settings.riskLevels.levels;
  return (policyIds, risk) => {
    // One that was written down by an earlier version has none.
    const ofRisk = levels[risk]?.record ?? NOTHING;
    const deciding = asking.length === 0 ? [] : asking.filter(({ id }) => policyIds.includes(id));
    if (deciding.length === 0) return ofRisk;
    return RECORDABLE.filter((each) => ofRisk.includes(each) || deciding.some(({ record }) => record.includes(each)));
  };
}

const NOTHING: readonly Recordable[] = [];
