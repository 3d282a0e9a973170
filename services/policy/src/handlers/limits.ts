import { unary } from "@tollgate/service";
import { type Dependencies, type Methods, notYet } from "./dependencies.ts";

/** Permits that gateways use up among them. */
export function limitMethods({
  log,
}: Dependencies): Methods<"leaseLimits" | "listLimits" | "putLimit" | "deleteLimit"> {
  return {
    leaseLimits: unary(log, notYet),
    listLimits: unary(log, notYet),
    putLimit: unary(log, notYet),
    deleteLimit: unary(log, notYet),
  };
}
