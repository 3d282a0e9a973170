import { type Bus, publishInterest, subscribeUpdates } from "@tollgate/bus";
import type { ResourceUpdate } from "@tollgate/contracts";
import { toAppError } from "@tollgate/errors";
import {
  changeStrings,
  findMembers,
  parseFrame,
  parseJson,
  prefixedUri,
  splice,
  splitUri,
  SUBSCRIPTION_ID_KEY,
} from "@tollgate/mcp";
import type { Life, Log } from "@tollgate/service";
import type { Policy } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { isWhole, serverIn } from "../domain/catalogue.ts";
import { LISTS } from "../domain/lists.ts";
import { subjectOf } from "../domain/targets.ts";
import { decide } from "./decisions.ts";
import { createHold, type Hold } from "./hold.ts";
import type { Lists } from "./lists.ts";
import type { McpContext, Outlet } from "./mcp-exchange.ts";

const LOOK_MS = 50;
/** Callers that are looked at at the same time. */
const LOOKS_MAX = 16;
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
  /** Something that is said to the client otherwise: it is held back as well while its caller is looked at. */
  send(frame: string, eventId?: string): void;
  /** Closes the outlet, after what has been held back. */
  end(): void;
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
  /** Policy's revision under which the caller was looked at last; -1 before that. */
  revision: number;
  /** Unix milliseconds at which what was found ends by itself; 0: it does not. */
  until: number;
  readonly hold: Hold;
}

/**
 * The open streams of this replica. When the catalogue or the policies change, each client is told which of its lists
 * have changed, and whoever may not be here any more is cut off. Updates of resources come from runners; what is wanted
 * is said to them again and again, so that nothing has to be cleaned up after a crash.
 *
 * Invariant 2: a stream says something only while its caller was looked at under the revision that holds now. From the
 * moment at which a new revision is taken, and while policy is not heard from, everything is held back; after the look it
 * goes out as far as it may still be told.
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
    const { revision } = policy;
    entry.context = { ...entry.context, principal: await entry.context.authenticate(), revision };
    const { uris, until } = await readableUris(entry);
    Object.assign(entry, { uris, until });
    // What was found is of this revision only if it still holds; otherwise the next look decides.
    if (policy.revision === revision) entry.revision = revision;
    entry.hold.release();
    for (const { member, ...list } of Object.values(LISTS)) {
      if (!entry.wants[list.capability]) continue;
      const text = await lists.seen({ member, ...list }, entry.context);
      const before = entry.seen.get(member);
      entry.seen.set(member, text);
      if (before === undefined || before === text || !entries.has(entry)) continue;
      const changed = tag(`{"jsonrpc":"2.0","method":"notifications/${list.capability}/list_changed"}`);
      entry.hold.pass(changed.length, () => outlet.send(changed));
    }
  }

  /** Nothing is heard of what may not be read, or not any more. */
  async function readableUris({ context, wants }: Entry): Promise<Pick<Entry, "uris" | "until">> {
    const allowed = new Map<string, Map<string, string>>();
    let until = 0;
    for (const [server, own] of urisOf(context, wants)) {
      const { catalogue } = registry;
      const found = serverIn(catalogue, context.scope, server);
      if (found === undefined || !isWhole(catalogue, context.scope, found)) continue;
      const names = [...own.keys()];
      const subjects = names.map((name) => subjectOf(found, name));
      const { rulings } = await decide(policy, context, "resources/read", { subjects });
      const ends = rulings.map(({ validUntilMs }) => validUntilMs).filter((end) => end !== 0);
      if (ends.length > 0) until = Math.min(until || Infinity, ...ends);
      const kept = names.filter((_name, i) => rulings[i]!.decision.allow);
      if (kept.length > 0) allowed.set(server, new Map(kept.map((name) => [name, own.get(name)!])));
    }
    return { uris: allowed, until };
  }

  function cut(entry: Entry): void {
    if (entries.delete(entry)) entry.options.outlet.close();
  }

  /** Whoever may not be here any more is cut off. */
  async function lookOrCut(entry: Entry): Promise<void> {
    try {
      await look(entry);
    } catch (error) {
      const { code, message } = toAppError(error);
      // Policy is away for a moment: nothing new is let in, and the next look decides.
      if (code === "unavailable") return void (lookedAt = "");
      log.info({ reason: message }, "a stream's caller may not be here any more");
      cut(entry);
    }
  }

  async function lookAtAll(): Promise<void> {
    const left = [...entries].values();
    const lookAtRest = async (): Promise<void> => {
      for (const entry of left) if (entries.has(entry)) await lookOrCut(entry);
    };
    await Promise.all(Array.from({ length: LOOKS_MAX }, lookAtRest));
  }

  let lookedAt = "";
  let looking = Promise.resolve();
  function lookIfChanged(): void {
    const now = `${registry.catalogue.revision}\n${policy.revision}`;
    if (now === lookedAt || policy.problem() !== undefined) return;
    lookedAt = now;
    looking = looking.then(lookAtAll);
  }
  registry.onCatalogue(lookIfChanged);
  const timer = setInterval(() => {
    if (policy.problem() !== undefined) return;
    for (const entry of entries) {
      if (entry.until === 0 || Date.now() < entry.until) entry.hold.release();
      else if (entry.revision >= 0) {
        entry.revision = -1;
        void lookOrCut(entry);
      }
    }
    lookIfChanged();
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

  policy.onRevision((ended) => {
    if (ended.size === 0) return;
    for (const entry of entries) if (ended.has(entry.options.session ?? "")) cut(entry);
  });

  subscribeUpdates(bus, ({ envelope, frame }) => {
    for (const entry of entries) {
      if (!concerns(entry, envelope)) continue;
      entry.hold.pass(frame.length, () => {
        // The caller may have been looked at since.
        const text = concerns(entry, envelope) ? updateFor(entry, envelope, frame) : undefined;
        if (text !== undefined) entry.options.outlet.send((entry.options.tag ?? unmarked)(text));
      });
    }
  });

  return {
    open(channel) {
      if (entries.size >= CHANNELS_MAX) return undefined;
      const { context, wants, outlet } = channel;
      const isOpen = () => policy.holds(entry.revision) && (entry.until === 0 || Date.now() < entry.until);
      const hold = createHold({ isOpen, onOverflow: () => cut(entry) });
      const nothing = { uris: new Map(), seen: new Map(), revision: -1, until: 0 };
      const entry: Entry = { context, options: channel, wants, ...nothing, hold };
      const begin = () => void lookOrCut(entry).then(() => interestsOf(entry));
      entries.add(entry);
      begin();
      return {
        want(changed) {
          entry.wants = changed;
          begin();
        },
        send: (frame, eventId) => hold.pass(frame.length, () => outlet.send(frame, eventId)),
        end: () => hold.pass(0, () => outlet.close()),
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
  const others = parseJson(frame.slice(meta.start, meta.end)) as Record<string, unknown>;
  delete others[SUBSCRIPTION_ID_KEY];
  return splice(frame, [{ ...meta, text: JSON.stringify(others) }]);
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

/** Whether its client wants to hear of it, and may. */
function concerns({ context, options, uris }: Entry, { tenant, server, uri, session }: ResourceUpdate): boolean {
  if (tenant !== context.principal.tenant || (session !== undefined && session !== options.session)) return false;
  return uris.get(server)?.has(uri) === true;
}

function updateFor({ context }: Entry, { server }: ResourceUpdate, frame: string): string | undefined {
  if (context.scope.server !== undefined) return frame;
  const parsed = parseFrame(frame);
  if (!parsed.ok) return undefined;
  return splice(
    frame,
    changeStrings(frame, [["params", "uri"]], (own) => prefixedUri(server, own)),
  );
}
