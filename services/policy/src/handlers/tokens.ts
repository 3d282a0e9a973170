import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { isLastAdmin, type TokenRecord } from "../domain/token.ts";
import { readTokens, revokeToken } from "../store/tokens.ts";
import { checkActor, type Dependencies, type Methods, notYet } from "./dependencies.ts";

export function tokenMethods(
  dependencies: Dependencies,
): Methods<"listTokens" | "createToken" | "rotateToken" | "revokeToken"> {
  const { authority, log } = dependencies;
  return {
    listTokens: unary(log, () => ({ tokens: [...authority.current().tokens.byName.values()].map(toToken) })),
    createToken: unary(log, notYet),
    rotateToken: unary(log, notYet),
    revokeToken: unary(log, (request) => revoke(dependencies, request)),
  };
}

async function revoke(
  { authority, metrics, log }: Dependencies,
  request: policyV1.RevokeTokenRequest,
): Promise<policyV1.RevokeTokenResponse> {
  const { name } = request;
  const actor = checkActor(request.actor);
  const state = await authority.change(async (client) => {
    const tokens = await readTokens(client);
    const token = tokens.find((each) => each.name === name);
    if (token === undefined) throw new AppError("not_found", `there is no token named ${JSON.stringify(name)}`);
    if (token.revokedAtMs !== undefined) return [];
    if (isLastAdmin(tokens, name, Date.now())) {
      throw new AppError(
        "failed_precondition",
        `"${name}" is the last token with the permission admin: add another one first`,
      );
    }
    await revokeToken(client, token, actor);
    return ["tokens"];
  });
  metrics.changes.inc({ kind: "revoke_token" });
  log.info({ tokenName: name, actor, revision: state.revision }, "token revoked");
  return { revision: BigInt(state.revision) };
}

function toToken(token: TokenRecord): policyV1.Token {
  return {
    name: token.name,
    tenant: token.tenant,
    team: token.team,
    roles: [...token.roles],
    permissions: [...token.permissions],
    createdAtMs: BigInt(token.createdAtMs),
    revokedAtMs: BigInt(token.revokedAtMs ?? 0),
    expiresAtMs: BigInt(token.expiresAtMs ?? 0),
    lastUsedAtMs: 0n,
    agent: "",
    source: token.source,
    createdBy: "",
    previousUntilMs: 0n,
  };
}
