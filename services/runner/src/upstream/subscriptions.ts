import { MODERN_META, type Handshake } from "./handshake.ts";
import type { Log } from "@tollgate/service";
import { parseJson } from "@tollgate/mcp";
import type { Wire } from "./wire.ts";

const ANSWER_TIMEOUT_MS = 10_000;
const RELISTEN_MIN_MS = 1_000;
const RELISTEN_MAX_MS = 60_000;

/** What one connection is to hear of beside answers. */
export interface Subscriptions {
  /** The resources whose updates are wanted: these, and no others. */
  want(this: void, uris: ReadonlySet<string>): void;
  close(): void;
}

interface Capabilities {
  readonly [list: string]: { readonly listChanged?: unknown; readonly subscribe?: unknown } | undefined;
}

export function createSubscriptions(wire: Wire, options: { handshake: Handshake; log: Log }): Subscriptions {
  const { era, capabilities } = options.handshake;
  const offered = (parseJson(capabilities) ?? {}) as Capabilities;
  return era === "legacy" ? subscribeEach(wire, offered, options.log) : listenToAll(wire, offered, options.log);
}

/** A legacy server is told of each resource by itself; that its lists change it says anyway. */
function subscribeEach(wire: Wire, offered: Capabilities, log: Log): Subscriptions {
  const subscribed = new Set<string>();
  const tell = (method: string, uri: string) => wire.request(method, { uri }, ANSWER_TIMEOUT_MS);

  async function subscribe(uri: string): Promise<void> {
    subscribed.add(uri);
    const { error } = await tell("resources/subscribe", uri);
    if (error === undefined) return;
    // Tried again when it is next asked for.
    subscribed.delete(uri);
    log.debug({ uri, reason: error.message }, "a resource cannot be subscribed to");
  }

  return {
    want(uris) {
      if (offered["resources"]?.subscribe !== true) return;
      const failed = (error: unknown) => log.debug({ err: error }, "a subscription could not be changed");
      for (const uri of uris) if (!subscribed.has(uri)) subscribe(uri).catch(failed);
      for (const uri of subscribed)
        if (!uris.has(uri) && subscribed.delete(uri)) tell("resources/unsubscribe", uri).catch(failed);
    },
    close: () => undefined,
  };
}

/**
 * A modern server says what changes to whoever listens: one request that stays open, and is made anew when what is
 * wanted changes or the server ends it.
 */
function listenToAll(wire: Wire, offered: Capabilities, log: Log): Subscriptions {
  const lists = ["tools", "prompts", "resources"].filter((name) => offered[name]?.listChanged === true);
  const changes = Object.fromEntries(lists.map((name) => [`${name}ListChanged`, true]));
  let wanted: readonly string[] = [];
  let listening: number | undefined;
  let backoffMs = RELISTEN_MIN_MS;
  let retry: NodeJS.Timeout | undefined;
  let closed = false;

  function stop(id: number): void {
    wire.notify("notifications/cancelled", { requestId: id, _meta: MODERN_META });
    wire.drop(id);
  }

  function listen(): void {
    clearTimeout(retry);
    const before = listening;
    listening = undefined;
    const resources = wanted.length === 0 ? {} : { resourceSubscriptions: wanted };
    const notifications = { ...changes, ...resources };
    if (!closed && wire.ended === undefined && Object.keys(notifications).length > 0) {
      const id = wire.newId();
      const method = "subscriptions/listen";
      const params = { notifications, _meta: MODERN_META };
      listening = id;
      wire.send({ id, method, params, text: JSON.stringify({ jsonrpc: "2.0", id, method, params }) }, () => {
        if (listening === id) listenLater();
      });
    }
    // The new one first: nothing is missed between.
    if (before !== undefined) stop(before);
  }

  function listenLater(): void {
    listening = undefined;
    if (closed || wire.ended !== undefined) return;
    log.debug({ retryMs: backoffMs }, "the server ended what it was listened to with");
    retry = setTimeout(listen, backoffMs);
    backoffMs = Math.min(backoffMs * 2, RELISTEN_MAX_MS);
  }

  listen();
  return {
    want(uris) {
      const next = [...uris].toSorted();
      if (offered["resources"]?.subscribe !== true || JSON.stringify(next) === JSON.stringify(wanted)) return;
      wanted = next;
      listen();
    },
    close() {
      closed = true;
      clearTimeout(retry);
    },
  };
}
