import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Log, Pool } from "@tollgate/service";
import type { PolicyMetrics } from "../metrics.ts";
import type { SealedArguments } from "../store/sealed-arguments.ts";
import type { AccessTokens } from "./access-tokens.ts";
import type { Authority } from "./authority.ts";
import type { Opa } from "./opa.ts";
import type { TokenUses } from "./token-uses.ts";
import type { Permits } from "./limits.ts";
import type { WatchHub } from "./watch.ts";

export interface Dependencies {
  /** For what is no part of the state; all else is read and changed through the authority. */
  readonly pool: Pool;
  readonly authority: Authority;
  readonly accessTokens: AccessTokens;
  readonly tokenUses: TokenUses;
  readonly sealed: SealedArguments;
  readonly hub: WatchHub;
  readonly permits: Permits;
  readonly opa: Opa;
  readonly metrics: PolicyMetrics;
  readonly log: Log;
}

/** Some of the methods of PolicyService. */
export type Methods<Name extends keyof policyV1.PolicyServiceServer> = Pick<policyV1.PolicyServiceServer, Name>;

const ACTOR_MAX_CHARS = 200;

export function checkActor(actor: string): string {
  if (actor === "" || actor.length > ACTOR_MAX_CHARS) {
    throw new AppError("invalid_argument", `actor: has to be 1 to ${ACTOR_MAX_CHARS} characters long`);
  }
  return actor;
}
