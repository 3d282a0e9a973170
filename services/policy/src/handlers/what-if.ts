import { unary } from "@tollgate/service";
import { type Dependencies, type Methods, notYet } from "./dependencies.ts";

/** What would be, under other policies. Nothing here changes what is. */
export function whatIfMethods({ log }: Dependencies): Methods<"testPolicies" | "whatIf"> {
  return {
    testPolicies: unary(log, notYet),
    whatIf: unary(log, notYet),
  };
}
