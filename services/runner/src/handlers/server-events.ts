import type { EventPublisher } from "@tollgate/bus";
import {
  hideSecrets,
  INSTALLATION_TENANT,
  newCallId,
  type SecretEvent,
  type ServerEvent,
  type ServerSecrets,
} from "@tollgate/contracts";
import type { Log } from "@tollgate/service";
import type { ServerSpec } from "../domain/server-spec.ts";
import type { ServerNews } from "../pool/pool.ts";

/** Of one server, so many events a minute are written down each; what comes beyond that is counted together. */
const EVENTS_MAX = 30;
const WINDOW_MS = 60_000;
/** Kinds of events of one server that are counted apart. */
const FOLDED_MAX = 1_000;
const WAITING_MAX = 10_000;
const RETRY_MS = 500;
const REASON_MAX_CHARS = 500;

type Subject = Pick<ServerSpec, "serverId" | "group" | "secretNames"> & ServerSecrets;
type News = Pick<ServerEvent, "state" | "tenant"> & { readonly reason: string | undefined };

/** What becomes of servers, and when their secrets are read, on AUDIT. */
export interface ServerEvents {
  of(this: void, spec: Subject): ServerNews;
  /** Writes down what is counted and what waits. */
  close(): Promise<void>;
}

export function createServerEvents(options: { runner: string; events: EventPublisher; log: Log }): ServerEvents {
  const { runner, events, log } = options;
  const waiting: (ServerEvent | SecretEvent)[] = [];
  /** Of each server the newest; what one that it has replaced still says is soon over. */
  const flushes = new Map<string, () => void>();
  let writing: Promise<void> | undefined;
  let dropped = 0;

  function write(event: ServerEvent | SecretEvent): void {
    if (waiting.length >= WAITING_MAX) {
      dropped += 1;
      if (dropped === 1)
        log.error({ max: WAITING_MAX }, "too many events of servers wait for the stream; more are lost");
      return;
    }
    waiting.push(event);
    writing ??= writeAll().finally(() => (writing = undefined));
  }

  /** In their order, however long the stream takes. */
  async function writeAll(): Promise<void> {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      try {
        await events.publish(next);
        waiting.shift();
        dropped = 0;
      } catch (error) {
        log.warn({ err: error, waiting: waiting.length }, "an event of a server is not on the stream yet");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  function newsOf(spec: Subject): ServerNews {
    const { serverId: server, group } = spec;
    const folding = createFolding(({ tenant, state, reason }, count) => {
      const text = reason === undefined ? {} : { reason: hideSecrets(reason, spec).slice(0, REASON_MAX_CHARS) };
      const more = { ...text, ...(count === 1 ? {} : { count }) };
      write({ ...base(tenant), kind: "server", state, group, server, runner, ...more });
    });
    flushes.get(server)?.();
    flushes.set(server, folding.flush);
    return {
      tell: (state, tenant, reason) => folding.add({ state, tenant: tenant || INSTALLATION_TENANT, reason }),
      secretsRead(tenant) {
        const about = { purpose: "server_start", principal: `runner:${runner}`, group, server } as const;
        for (const secret of spec.secretNames)
          write({ ...base(tenant || INSTALLATION_TENANT), kind: "secret", secret, ...about });
      },
    };
  }

  return {
    of: newsOf,
    async close() {
      for (const flush of flushes.values()) flush();
      await writing;
    },
  };
}

function base(tenant: string): Pick<ServerEvent, "v" | "id" | "tenant" | "endedAt"> {
  const endedAt = Date.now();
  return { v: 1, id: newCallId(endedAt), tenant, endedAt };
}

interface Folded {
  news: News;
  count: number;
}

/** Passes on the first of a window, and at its end the others, counted by what they say. */
function createFolding(write: (news: News, count: number) => void): { add(news: News): void; flush(this: void): void } {
  let left = EVENTS_MAX;
  let folded = new Map<string, Folded>();
  let window: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(window);
    window = undefined;
    left = EVENTS_MAX;
    const all = folded;
    folded = new Map();
    for (const { news, count } of all.values()) write(news, count);
  }

  function fold(news: News): void {
    const key = `${news.state} ${news.tenant}`;
    const same = folded.get(key);
    if (same === undefined && folded.size >= FOLDED_MAX && news.tenant !== INSTALLATION_TENANT)
      return fold({ ...news, tenant: INSTALLATION_TENANT });
    // The newest reason says most.
    folded.set(key, { news, count: (same?.count ?? 0) + 1 });
  }

  return {
    add(news) {
      window ??= setTimeout(flush, WINDOW_MS).unref();
      if (left <= 0) return fold(news);
      left -= 1;
      write(news, 1);
    },
    flush,
  };
}
