import { type Bus, followSession, followStream, type SessionStore } from "@tollgate/bus";
import { streamOwner } from "@tollgate/contracts";
import type { Log } from "@tollgate/service";
import { parseStreamEventId, streamEventId } from "./calls.ts";
import type { Channels, Wants } from "./channels.ts";
import type { OpenSession, Session } from "./legacy-sessions.ts";
import type { McpContext, Outlet } from "./mcp-exchange.ts";

const NOTHING: Wants = { tools: false, prompts: false, resources: false, uris: [] };
/** A resumed stream whose call does not end is let go after this long. */
const RESUME_MAX_MS = 15 * 60_000;
const SESSION_EVENT = /^s\.(\d{1,15})$/;

interface OpenStream {
  /** From then on nothing is missed. */
  readonly ready: Promise<unknown>;
  close(): void;
}

export interface SessionStreams {
  /**
   * What is said to a session outside of its calls, from now on or after the event that the client had last.
   * @returns undefined when there are too many streams
   */
  open(
    /** Without a session for as long as the client has not sent initialize. */
    open: { readonly id: string; readonly session: Session | undefined },
    options: StreamOptions & { lastEventId?: string | undefined },
  ): OpenStream | undefined;
  /** The rest of a call's stream; false when the event is not of a stream that is this session's. */
  resume(open: OpenSession, lastEventId: string, options: StreamOptions): Promise<OpenStream | undefined>;
  /** A session was changed or has ended, here or at another replica. */
  onSessionChange(id: string): void;
  /** Ends all streams. */
  close(): void;
}

interface StreamOptions {
  readonly context: McpContext;
  readonly outlet: Outlet;
}

interface Live extends OpenStream {
  readonly want: (wants: Wants) => void;
  /** Only of whoever has opened the stream, under whatever id. */
  readonly isFor: (session: Session) => boolean;
}

/** A session has one stream on a replica: a message must not come twice. A new one takes the place of the old. */
export function createSessionStreams(options: {
  bus: Bus;
  channels: Channels;
  /** Late bound: the store tells of changes to whom this makes. */
  sessions: () => SessionStore<Session>;
  log: Log;
}): SessionStreams {
  const { bus, channels, sessions, log } = options;
  const live = new Map<string, Live>();

  return {
    open({ id, session }, { context, outlet, lastEventId }) {
      live.get(id)?.close();
      const channel = channels.open({ context, session: id, wants: wantsOf(session), outlet });
      if (!channel) return undefined;
      const after = SESSION_EVENT.exec(lastEventId ?? "")?.[1];
      const following = followSession(bus, {
        session: id,
        after: after === undefined ? undefined : Number(after),
        onFrame: (frame, place) => channel.send(frame, `s.${place}`),
      });
      following.catch((error: unknown) => {
        log.warn({ err: error }, "a session's stream cannot be read");
        outlet.close();
      });
      const own: Live = {
        ready: following,
        want: (wants) => channel.want(wants),
        isFor: ({ tenant, principal }) => tenant === context.principal.tenant && principal === context.principal.id,
        close() {
          if (live.get(id) === own) live.delete(id);
          channel.close();
          void following.then((follower) => follower.stop()).catch(() => undefined);
          outlet.close();
        },
      };
      live.set(id, own);
      return own;
    },
    async resume({ id, session }, lastEventId, { context, outlet }) {
      const from = parseStreamEventId(lastEventId);
      const channel = from && channels.open({ context, session: id, wants: NOTHING, outlet });
      if (!channel) return undefined;
      const owner = streamOwner({ tenant: session.tenant, principal: session.principal, session: id });
      const following = followStream(bus, from.callId, ({ envelope, frame }) => {
        const { place, final } = envelope;
        // Another's stream stays silent: that it is there is nobody else's business.
        if (envelope.owner !== owner || place === undefined) return;
        if (place > from.place) channel.send(frame, streamEventId(from.callId, place));
        if (final) channel.end();
      });
      const late = setTimeout(() => outlet.close(), RESUME_MAX_MS).unref();
      const follower = await following;
      return {
        ready: following,
        close() {
          clearTimeout(late);
          channel.close();
          void follower.stop().catch(() => undefined);
        },
      };
    },
    onSessionChange(id) {
      const stream = live.get(id);
      if (!stream) return;
      sessions()
        .get(id)
        .then((session) => (session && stream.isFor(session) ? stream.want(wantsOf(session)) : stream.close()))
        .catch((error: unknown) => log.warn({ err: error }, "a changed session could not be read"));
    },
    close() {
      for (const each of live.values()) each.close();
    },
  };
}

function wantsOf(session: Session | undefined): Wants {
  return session ? { tools: true, prompts: true, resources: true, uris: session.subscriptions } : NOTHING;
}
