import { type Era, RPC } from "@tollgate/mcp";
import type { Answer } from "./wire.ts";

/** Of a request without a session, as legacy servers refuse it. */
const LEGACY_REFUSALS = [400, 404, 405];

/** Which era a server is of, for a while: a verdict that is out of date fails without a word. */
export interface EraMemory {
  readonly era: Era | undefined;
  remember(era: Era): void;
  forget(): void;
}

export function createEraMemory(knownMs: number): EraMemory {
  let known: { era: Era; until: number } | undefined;
  return {
    get era() {
      return known !== undefined && known.until > Date.now() ? known.era : undefined;
    },
    remember(era) {
      known = { era, until: Date.now() + knownMs };
    },
    forget() {
      known = undefined;
    },
  };
}

/** Whether a server answers as one of the other era does: it was replaced meanwhile. */
export function smellsOfOtherEra(era: Era, answer: Answer): boolean {
  if (answer.kind === "lost") return era === "modern" && LEGACY_REFUSALS.includes(answer.status ?? 0);
  const { error } = answer.frame;
  if (error === undefined || typeof error.message !== "string") return false;
  if (era === "modern") return /not (yet )?initiali[sz]ed|no valid session/i.test(error.message);
  const { code, message } = error;
  if (code === RPC.unsupportedProtocolVersion || code === RPC.headerMismatch) return true;
  return code === RPC.invalidParams && message.includes("_meta");
}
