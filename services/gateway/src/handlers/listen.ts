import { insertMembers, findMembers, type RequestFrame, RPC, splice, SUBSCRIPTION_ID_KEY } from "@tollgate/mcp";
import type { Channels, Wants } from "./channels.ts";
import { invalidParams, type McpAnswer, type McpContext } from "./mcp-exchange.ts";
import { resultText } from "./call-response.ts";

const URIS_MAX = 1_000;

/** `subscriptions/listen` (MCP 2026-07-28): acknowledged first; every message says which subscription it is for. */
export function listen(frame: RequestFrame, context: McpContext, channels: Channels): McpAnswer {
  const filter = frame.params?.["notifications"] as Record<string, unknown> | null | undefined;
  if (typeof filter !== "object" || filter === null)
    return invalidParams(frame, '"params.notifications" has to be an object');
  const uris = filter["resourceSubscriptions"] ?? [];
  if (!Array.isArray(uris) || uris.length > URIS_MAX || uris.some((uri) => typeof uri !== "string"))
    return invalidParams(frame, `"params.notifications.resourceSubscriptions" has to be at most ${URIS_MAX} uris`);
  const wants: Wants = {
    tools: filter["toolsListChanged"] === true,
    prompts: filter["promptsListChanged"] === true,
    resources: filter["resourcesListChanged"] === true,
    uris: uris as string[],
  };
  const agreed = {
    ...(wants.tools ? { toolsListChanged: true } : {}),
    ...(wants.prompts ? { promptsListChanged: true } : {}),
    ...(wants.resources ? { resourcesListChanged: true } : {}),
    ...(uris.length > 0 ? { resourceSubscriptions: uris } : {}),
  };
  const tag = tagger(frame);
  return {
    kind: "stream",
    open(outlet) {
      outlet.send(tag(acknowledgement(agreed)));
      const channel = channels.open({
        context,
        wants,
        tag,
        outlet: {
          send: (text) => outlet.send(text),
          close() {
            outlet.send(tag(resultText(frame.id, '{"resultType":"complete"}')));
            outlet.close();
          },
        },
      });
      if (channel) return channel;
      const error = { code: RPC.internalError, message: "too many streams are open; try again later" };
      outlet.send(JSON.stringify({ jsonrpc: "2.0", id: frame.id, error }));
      outlet.close();
      return { close: () => undefined };
    },
  };
}

function acknowledgement(notifications: object): string {
  return JSON.stringify({
    jsonrpc: "2.0",
    method: "notifications/subscriptions/acknowledged",
    params: { notifications },
  });
}

/** Puts the subscription's id, which is that of its request, into `_meta` of `params` or `result`. */
function tagger({ id }: RequestFrame): (frame: string) => string {
  const tag = { [SUBSCRIPTION_ID_KEY]: id };
  return (text) => {
    const message = findMembers(text, 0, ["params", "result"])!;
    const holder = message.spans["params"] ?? message.spans["result"];
    const members = holder && findMembers(text, holder.start, ["_meta"]);
    if (!members) return splice(text, insertMembers(message, [["params", { _meta: tag }]]));
    const meta = members.spans["_meta"];
    const known = meta && findMembers(text, meta.start, [SUBSCRIPTION_ID_KEY]);
    if (!known) return splice(text, insertMembers(members, [["_meta", tag]]));
    const given = known.spans[SUBSCRIPTION_ID_KEY];
    // A modern server's own mark: of the subscription that the runner has there.
    if (given) return splice(text, [{ ...given, text: JSON.stringify(id) }]);
    return splice(text, insertMembers(known, Object.entries(tag)));
  };
}
