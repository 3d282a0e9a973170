import type { Asked, CedarEngine } from "./cedar-engine.ts";
import { MFA, type Subject, type Target } from "./cedar-question.ts";

/** What a user's client has to ask the issuer for (RFC 9470). */
export interface StepUp {
  /** One of these is enough. */
  readonly acrValues: readonly string[];
  /** Seconds; 0: any age. */
  readonly maxAge: number;
}

/** Of those that policies ask for; each is a decision more. */
const ACRS_TRIED_MAX = 8;

/** The weakest sign-in that would be enough, where a sign-in is all that is missing. */
export function missingSignIn(
  engine: CedarEngine,
  subject: Subject,
  on: { readonly action: string; readonly target: Target },
  asked: Asked,
): StepUp | undefined {
  if (subject.kind !== "user") return undefined;
  const { mfa, acrs, ages } = engine.wantedSignIns(subject, on.action);
  const { amr, acr, atMs } = asked.signIn;
  const isEnough = (given: { acr: string; isMfa: boolean; isFresh: boolean }): boolean => {
    const signIn = {
      amr: given.isMfa ? [...amr, MFA] : amr,
      acr: given.acr,
      atMs: given.isFresh ? asked.nowMs : atMs,
    };
    return engine.decide(subject, on, { ...asked, signIn }).allow;
  };
  const levels = [acr, ...acrs.slice(0, ACRS_TRIED_MAX)];
  for (const isFresh of ages.length > 0 ? [false, true] : [false]) {
    for (const isMfa of mfa ? [false, true] : [false]) {
      const enough = levels.filter((level) => isEnough({ acr: level, isMfa, isFresh }));
      if (enough.length === 0) continue;
      const maxAge = isFresh ? Math.min(...ages) : 0;
      if (!enough.includes(acr)) return { acrValues: enough, maxAge };
      return { acrValues: isMfa ? [MFA] : [], maxAge };
    }
  }
  return undefined;
}
