import { changeEvent, type policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, unary } from "@tollgate/service";
import { endSession } from "../store/sessions.ts";
import { changes } from "./authority.ts";
import { checkActor, type Dependencies, type Methods } from "./dependencies.ts";

const SESSION = /^[A-Za-z0-9_-]{1,128}$/;

/** Sessions that were ended by somebody else than their client. */
export function sessionMethods(dependencies: Dependencies): Methods<"endSession"> {
  return { endSession: unary(dependencies.log, (request) => end(dependencies, request)) };
}

async function end(
  { authority, metrics, log }: Dependencies,
  request: policyV1.EndSessionRequest,
): Promise<policyV1.EndSessionResponse> {
  const { session, tenant } = request;
  if (!SESSION.test(session)) throw new AppError("invalid_argument", "session: is not a session's id");
  const actor = checkActor(request.actor);
  const { revision } = await authority.change(actor, async (client) => {
    const isEnded = await endSession(client, session, actor);
    const about = { tenant, resource: "session", name: session, principal: actor } as const;
    if (isEnded) await enqueueEvents(client, "policy", [changeEvent({ ...about, change: "deleted" }, Date.now())]);
    return changes("sessions", isEnded);
  });
  metrics.changes.inc({ kind: "end_session" });
  log.info({ actor, revision }, "a session was ended");
  return { revision: BigInt(revision) };
}
