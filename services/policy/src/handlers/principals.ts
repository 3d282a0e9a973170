import { unary } from "@tollgate/service";
import { type Dependencies, type Methods, notYet } from "./dependencies.ts";

/** Users and agents of whom something is kept here, and roles. */
export function principalMethods({
  log,
}: Dependencies): Methods<"listPrincipals" | "putPrincipal" | "deletePrincipal" | "listRoles" | "putRole"> {
  return {
    listPrincipals: unary(log, notYet),
    putPrincipal: unary(log, notYet),
    deletePrincipal: unary(log, notYet),
    listRoles: unary(log, notYet),
    putRole: unary(log, notYet),
  };
}
