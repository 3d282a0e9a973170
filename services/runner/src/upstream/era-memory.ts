import type { Era } from "@tollgate/mcp";

const UNSUPPORTED_VERSION = -32022;
const HEADER_MISMATCH = -32020;

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

/** Whether a server's error says that it is of the other era than was thought: it was replaced meanwhile. */
export function smellsOfOtherEra(
  era: Era,
  { code, message }: { readonly code?: unknown; readonly message?: unknown },
): boolean {
  if (typeof message !== "string") return false;
  if (era === "modern") return /not (yet )?initiali[sz]ed|initialize first|no valid session/i.test(message);
  return (
    code === UNSUPPORTED_VERSION ||
    code === HEADER_MISMATCH ||
    (code === -32602 && /_meta|protocolVersion/.test(message))
  );
}
