import { type Frame, rawId } from "./frame.ts";
import { isObject } from "./rpc-error.ts";

/** The request whose answer is a stream of news (2026-07-28). */
export const LISTEN = "subscriptions/listen";
export const ACKNOWLEDGED = "notifications/subscriptions/acknowledged";
export const SUBSCRIPTION_ID_KEY = "io.modelcontextprotocol/subscriptionId";

const LIST_CHANGES = {
  toolsListChanged: "notifications/tools/list_changed",
  promptsListChanged: "notifications/prompts/list_changed",
  resourcesListChanged: "notifications/resources/list_changed",
} as const;

/** The answer by which a server ends a subscription in good order. */
export function endOfSubscription(listen: Frame): string {
  const id = rawId(listen);
  return `{"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete","_meta":{"${SUBSCRIPTION_ID_KEY}":${id}}}}`;
}

/**
 * What a client is told after its subscription was lost for a while: that everything it subscribed to may have changed,
 * as nobody knows whether it has. `acknowledged` is what the gateway said when it took the subscription again.
 */
export function missedNews(listen: Frame, acknowledged: Readonly<Record<string, unknown>>): string[] {
  const { params } = acknowledged;
  const granted = isObject(params) && isObject(params["notifications"]) ? params["notifications"] : {};
  const meta = `"_meta":{"${SUBSCRIPTION_ID_KEY}":${rawId(listen)}}`;
  const uris: unknown[] = Array.isArray(granted["resourceSubscriptions"]) ? granted["resourceSubscriptions"] : [];
  return [
    ...Object.entries(LIST_CHANGES)
      .filter(([key]) => granted[key] === true)
      .map(([, method]) => `{"jsonrpc":"2.0","method":"${method}","params":{${meta}}}`),
    ...uris
      .filter((uri) => typeof uri === "string")
      .map(
        (uri) =>
          `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":${JSON.stringify(uri)},${meta}}}`,
      ),
  ];
}
