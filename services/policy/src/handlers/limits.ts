import { unary } from "@tollgate/service";
import { type Dependencies, type Methods, notYet } from "./dependencies.ts";

/** Permits that gateways use up among them. */
export function limitMethods({ log }: Dependencies): Methods<"leaseLimits"> {
  return {
    leaseLimits: unary(log, notYet),
  };
}
