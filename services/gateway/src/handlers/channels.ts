import { type Bus, publishInterest, subscribeUpdates } from "@tollgate/bus";
import type { ResourceUpdate } from "@tollgate/contracts";
import { toAppError } from "@tollgate/errors";
import {
  changeStrings,
  findMembers,
  parseFrame,
  prefixedUri,
  splice,
  splitUri,
  SUBSCRIPTION_ID_KEY,
} from "@tollgate/mcp";
import type { Life, Log } from "@tollgate/service";
import type { Policy } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { serverIn } from "../domain/catalogue.ts";
import { LISTS } from "../domain/lists.ts";
import { subjectOf } from "../domain/targets.ts";
import { decide } from "./decisions.ts";
import type { Lists } from "./lists.ts";
import type { McpContext, Outlet } from "./mcp-exchange.ts";

const LOOK_MS = 200;
/** How often runners are told again what is wanted, and callers are looked at again. */
const RENEW_MS = 10_000;
const CHANNELS_MAX = 20_000;

/** What a client wants to hear of outside of its calls. */
export interface Wants {
  readonly tools: boolean;
  readonly prompts: boolean;
  readonly resources: boolean;
  /** Resources whose updates it wants, as it names them. */
  readonly uris: readonly string[];
}

export interface ChannelOptions {
  readonly context: McpContext;
  readonly session?: string;
  readonly wants: Wants;
  /** Where messages go; each is passed through `tag` first. */
  readonly outlet: Outlet;
  readonly tag?: (frame: string) => string;
}

export interface Channel {
  want(wants: Wants): void;
  close(): void;
}

export interface Channels {
  /** Undefined when there are too many. */
  open(options: ChannelOptions): Channel | undefined;
  /** Ends all streams. */
  close(): void;
}

interface Entry {
  context: McpContext;
  readonly options: ChannelOptions;
  wants: Wants;
  /** Those of them that it may read: server → its own uri → the client's. */
  uris: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** What its client has seen of each list. */
  seen: Map<string, string>;
}

/**
 * The open streams of this replica. When the catalogue or the policies change, each client is told which of its lists
 * have changed, and whoever may not be here any more is cut off (invariant 2). Updates of resources come from runners;
 * what is wanted is said to them again and again, so that nothing has to be cleaned up after a crash.
 */
export function createChannels(options: {
  bus: Bus;
  policy: Policy;
  registry: Registry;
  lists: Lists;
  life: Life;
  log: Log;
}): Channels {
  const { bus, policy, registry, lists, life, log } = options;
  const entries = new Set<Entry>();

  function interestsOf({ context, uris, options: { session } }: Entry): void {
    const { tenant } = context.principal;
    for (const [server, own] of uris) {
      const found = serverIn(registry.catalogue, context.scope, server);
      const interest = { tenant, server, uris: [...own.keys()], ...(session === undefined ? {} : { session }) };
      if (found) publishInterest(bus, found.info.group, interest);
    }
  }

  async function look(entry: Entry): Promise<void> {
    const { outlet, tag = same } = entry.options;
    entry.context = { ...entry.context, ...(await resolve(entry.context, policy)) };
    entry.uris = await readableUris(entry);
    for (const { member, ...list } of Object.values(LISTS)) {
      if (!entry.wants[list.capability]) continue;
      const text = await lists.seen({ member, ...list }, entry.context);
      const before = entry.seen.get(member);
      entry.seen.set(member, text);
      if (before === undefined || before === text || !entries.has(entry)) continue;
      outlet.send(tag(`{"jsonrpc":"2.0","method":"notifications/${list.capability}/list_changed"}`));
    }
  }

  /** Nothing is heard of what may not be read, or not any more. */
  async function readableUris({ context, wants }: Entry): Promise<Entry["uris"]> {
    const allowed = new Map<string, Map<string, string>>();
    for (const [server, own] of urisOf(context, wants)) {
      const found = registry.catalogue.servers.get(server);
      if (found === undefined) continue;
      const names = [...own.keys()];
      const subjects = names.map((name) => subjectOf(found, name));
      const { rulings } = await decide(policy, context, "resources/read", { subjects });
      const kept = names.filter((_name, i) => rulings[i]!.decision.allow);
      if (kept.length > 0) allowed.set(server, new Map(kept.map((name) => [name, own.get(name)!])));
    }
    return allowed;
  }

  async function lookAtAll(): Promise<void> {
    for (const entry of entries) {
      await look(entry).catch((error: unknown) => {
        const { code, message } = toAppError(error);
        // Policy is away for a moment: nothing new is let in, and the next look decides.
        if (code === "unavailable") return void (lookedAt = "");
        log.info({ reason: message }, "a stream's caller may not be here any more");
        entries.delete(entry);
        entry.options.outlet.close();
      });
    }
  }

  let lookedAt = "";
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    const now = `${registry.catalogue.revision}\n${policy.revision}`;
    if (now === lookedAt || policy.problem() !== undefined) return;
    lookedAt = now;
    looking = looking.then(lookAtAll);
  }, LOOK_MS);
  const renewing = setInterval(() => {
    entries.forEach(interestsOf);
    // Tokens expire without a change of policy.
    if (policy.problem() === undefined) looking = looking.then(lookAtAll);
  }, RENEW_MS);
  life.onClose("stream timers", 1_000, () => {
    clearInterval(timer);
    clearInterval(renewing);
  });

  subscribeUpdates(bus, ({ envelope, frame }) => {
    for (const entry of entries) {
      const text = updateFor(entry, envelope, frame);
      if (text !== undefined) entry.options.outlet.send((entry.options.tag ?? unmarked)(text));
    }
  });

  return {
    open(channel) {
      if (entries.size >= CHANNELS_MAX) return undefined;
      const { context, wants } = channel;
      const entry: Entry = { context, options: channel, wants, uris: new Map(), seen: new Map() };
      const begin = () =>
        look(entry).then(
          () => interestsOf(entry),
          (error: unknown) => log.warn({ err: error }, "a stream's lists could not be read"),
        );
      entries.add(entry);
      void begin();
      return {
        want(changed) {
          entry.wants = changed;
          void begin();
        },
        close: () => void entries.delete(entry),
      };
    },
    close() {
      for (const { options: each } of entries) each.outlet.close();
      entries.clear();
    },
  };
}

const same = (frame: string) => frame;

/** A modern server marks what it says with the id of the runner's own subscription, which no legacy client has made. */
function unmarked(frame: string): string {
  const params = findMembers(frame, 0, ["params"])?.spans["params"];
  const meta = params && findMembers(frame, params.start, ["_meta"])?.spans["_meta"];
  if (!meta || !findMembers(frame, meta.start, [SUBSCRIPTION_ID_KEY])?.spans[SUBSCRIPTION_ID_KEY]) return frame;
  const others = JSON.parse(frame.slice(meta.start, meta.end)) as Record<string, unknown>;
  delete others[SUBSCRIPTION_ID_KEY];
  return splice(frame, [{ ...meta, text: JSON.stringify(others) }]);
}

async function resolve(context: McpContext, policy: Policy) {
  const { revision } = policy;
  return { principal: await context.authenticate(), revision };
}

function urisOf({ scope }: McpContext, { uris }: Wants): Entry["uris"] {
  const servers = new Map<string, Map<string, string>>();
  for (const uri of uris) {
    const split = scope.server === undefined ? splitUri(uri) : { server: scope.server, own: uri };
    if (!split) continue;
    const own = servers.get(split.server) ?? new Map<string, string>();
    servers.set(split.server, own.set(split.own, uri));
  }
  return servers;
}

function updateFor(entry: Entry, update: ResourceUpdate, frame: string): string | undefined {
  const { context, options } = entry;
  const { tenant, server, uri, session } = update;
  if (tenant !== context.principal.tenant || (session !== undefined && session !== options.session)) return undefined;
  if (!entry.uris.get(server)?.has(uri)) return undefined;
  if (context.scope.server !== undefined) return frame;
  const parsed = parseFrame(frame);
  if (!parsed.ok) return undefined;
  return splice(
    frame,
    changeStrings(frame, [["params", "uri"]], (own) => prefixedUri(server, own)),
  );
}
