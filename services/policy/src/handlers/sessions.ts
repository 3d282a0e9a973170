import { unary } from "@tollgate/service";
import { type Dependencies, type Methods, notYet } from "./dependencies.ts";

/** Sessions that were ended by somebody else than their client. */
export function sessionMethods({ log }: Dependencies): Methods<"endSession"> {
  return {
    endSession: unary(log, notYet),
  };
}
