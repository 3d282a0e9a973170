import { policyV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import type { RunningPolicy } from "./running-policy.ts";

/** What an administrator asks about tokens, principals and roles; and a gateway about certificates. */
export function identityCalls({ client, metadata }: RunningPolicy) {
  const unary = { metadata, timeoutMs: 10_000, service: "policy" };
  const actor = "tester";
  return {
    authenticate: (request: Partial<policyV1.AuthenticateRequest>) =>
      callUnary(client.authenticate.bind(client), { token: "", certificate: undefined, ...request }, unary),
    createToken: (token: Partial<policyV1.Token>) =>
      callUnary(
        client.createToken.bind(client),
        policyV1.CreateTokenRequest.fromPartial({ token: { tenant: "acme", ...token }, actor }),
        unary,
      ),
    rotateToken: (name: string, rest: { overlapMs?: number; expiresAtMs?: bigint } = {}) =>
      callUnary(
        client.rotateToken.bind(client),
        policyV1.RotateTokenRequest.fromPartial({ name, actor, ...rest }),
        unary,
      ),
    putPrincipal: (principal: Partial<policyV1.KnownPrincipal>) =>
      callUnary(
        client.putPrincipal.bind(client),
        policyV1.PutPrincipalRequest.fromPartial({ principal: { tenant: "acme", ...principal }, actor }),
        unary,
      ),
    deletePrincipal: (id: string, tenant = "acme") =>
      callUnary(client.deletePrincipal.bind(client), { tenant, id, actor }, unary),
    listPrincipals: (tenant = "") => callUnary(client.listPrincipals.bind(client), { tenant }, unary),
    putRole: (role: Partial<policyV1.Role>) =>
      callUnary(
        client.putRole.bind(client),
        policyV1.PutRoleRequest.fromPartial({ role: { tenant: "acme", ...role }, actor }),
        unary,
      ),
    listRoles: () => callUnary(client.listRoles.bind(client), {}, unary),
  };
}
