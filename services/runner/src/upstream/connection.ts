import { type NotificationFrame, type RequestFrame, rewriteRequest, RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { ProcessUsage } from "../containment/limits.ts";
import { canBeAsked } from "../domain/client-capabilities.ts";
import { type CpuShare, createCpuShare } from "../domain/cpu-share.ts";
import { listOffer, type Offer } from "./discovery.ts";
import { smellsOfOtherEra } from "./era-memory.ts";
import { createSubscriptions } from "./subscriptions.ts";
import { createLogLevel } from "./log-level.ts";
import { type Handshake, type LegacyClient, MODERN_META, shakeHands } from "./handshake.ts";
import { createServerQuestions, type Question, type ServerQuestions } from "./server-questions.ts";
import type { OutgoingCall, Transport, TransportEvents } from "./transport.ts";
import { type Answer, openWire, type Wire } from "./wire.ts";

export interface CallHandle {
  /** From now on another one waits for the call. */
  handTo(sink: CallSink): void;
  /** Tells the server that nobody waits any more, and drops what it may still answer. */
  cancel(reason: string): void;
}

/** What a server says to a client beside answers. */
export interface Listener {
  readonly onNotice: (frame: NotificationFrame) => void;
  readonly onQuestion: (question: Question) => void;
}

/** Whoever waits for a call. */
export interface CallSink extends Listener {
  /** Whose call it is (`streamOwner`). */
  readonly owner: string;
  /** Of connectors: their API is asked, once more. */
  readonly onApiRequest?: () => void;
  /** The server wanted to ask its client this, who cannot be asked. */
  readonly onCannotAsk: (method: string) => void;
  /** Once, unless the call is cancelled before. */
  readonly onAnswer: (answer: Answer) => void;
}

/** What goes into a request's `_meta` (see `rewriteRequest`), into its headers, and with it. */
export interface CallExtras {
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly owned?: Readonly<Record<string, unknown>>;
  readonly paramHeaders?: Readonly<Record<string, string>> | undefined;
  readonly call?: OutgoingCall;
}

/** One MCP connection to a running server; many calls at the same time, told apart by ids of our own. */
export interface Connection extends Handshake {
  readonly pid: number;
  /** Calls that are not answered yet. */
  readonly inFlight: number;
  /** Why it ended, or undefined while it runs. */
  readonly ended: string | undefined;
  /** Of stdio: what its process uses. */
  usage(this: void): ProcessUsage | undefined;
  /** What it uses of the processors, by calls; undefined for remote servers. */
  readonly cpu: CpuShare | undefined;
  /** Messages that it has written: another number says that it is alive. */
  readonly heard: number;
  /** The last of its standard error, to be added to a reason; or "". */
  note(this: void): string;
  /** Asks whether anybody is there. False when no answer comes, whichever it is. */
  check(timeoutMs: number): Promise<boolean>;
  listOffer(): Promise<Offer>;
  call(frame: RequestFrame, sink: CallSink, extras?: CallExtras): CallHandle;
  /** What its client tells a legacy server unasked, such as that its roots have changed. */
  pass(this: void, frame: NotificationFrame): void;
  /** Has a legacy server log from this level on. Undefined when there is nothing to wait for. */
  setLogLevel(this: void, level: string): Promise<unknown> | undefined;
  /** The resources whose updates are wanted here: these, and no others. */
  hearOf(this: void, uris: ReadonlySet<string>): void;
  end(): Promise<void>;
}

export interface ConnectionOptions {
  readonly open: (events: TransportEvents) => Transport;
  readonly client: LegacyClient;
  /** Known from before: saves the probe of a legacy server. */
  readonly era: Handshake["era"] | undefined;
  readonly startupTimeoutMs: number;
  /** Ends a server that is still starting. */
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly events: ConnectionEvents;
}

export interface ConnectionEvents {
  readonly onEnd: (reason: string) => void;
  /** Its tools, prompts or resources have changed. */
  readonly onListChanged: () => void;
  readonly onResourceUpdated: (frame: NotificationFrame) => void;
  /** It answers as one of the other era would. */
  readonly onOtherEra: () => void;
  /**
   * Undefined where many clients share the connection: then nobody can be asked, and what is for one call cannot
   * always be told. Else the one client, for what comes while it waits for nothing.
   */
  readonly client: Listener | undefined;
}

/**
 * Starts a server and shakes hands.
 * @throws {AppError} `unavailable` with the reason and the last of its standard error
 */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const { startupTimeoutMs, signal, events, log } = options;
  const calls = new Map<number, CallSink>();
  let onEnded: (() => void) | undefined;
  const questions: ServerQuestions = createServerQuestions((text) => wire.respond(text));
  const wire: Wire = openWire({
    open: options.open,
    log,
    events: {
      onApiRequest: (id) => calls.get(id)?.onApiRequest?.(),
      onRequest(frame, during) {
        const question = questions.receive(frame);
        if (!question) return;
        if (!events.client || !canBeAsked(options.client.capabilities, frame.method)) {
          certainCall(calls, during)?.onCannotAsk(frame.method);
          return refuse(question);
        }
        if (during === undefined) question.mayBeOfAnother = () => calls.size > 0;
        (addressee(calls, during, events.client) ?? events.client).onQuestion(question);
      },
      onNotification: (frame, during) => notify({ frame, during, calls, questions, events, log }),
      onEnd(reason) {
        events.onEnd(reason);
        questions.close();
        onEnded?.();
      },
    },
  });
  const stop = () => void wire.end();
  signal.addEventListener("abort", stop);
  try {
    const handshake = await shakeHands(wire, options);
    const subscriptions = createSubscriptions(wire, { handshake, log });
    onEnded = () => subscriptions.close();
    return {
      ...handshake,
      pid: wire.pid,
      get inFlight() {
        return calls.size;
      },
      get ended() {
        return wire.ended;
      },
      usage: wire.usage,
      cpu: wire.cpuMs && createCpuShare(wire.cpuMs),
      get heard() {
        return wire.heard;
      },
      note: wire.note,
      check: (timeoutMs) => isAnswered(wire, handshake, timeoutMs),
      listOffer: () => listOffer(wire, handshake, { timeoutMs: startupTimeoutMs, log }),
      call: (frame, sink, extras = {}) => handOver({ wire, handshake, calls, events }, frame, sink, extras),
      pass: wire.pass,
      setLogLevel: createLogLevel(wire, { handshake, shared: events.client === undefined }),
      hearOf: subscriptions.want,
      end: () => wire.end(),
    };
  } catch (error) {
    await wire.end();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Modern servers know no `ping`. */
async function isAnswered(wire: Wire, { era }: Handshake, timeoutMs: number): Promise<boolean> {
  const asked =
    era === "legacy"
      ? wire.request("ping", {}, timeoutMs)
      : wire.request("server/discover", { _meta: MODERN_META }, timeoutMs);
  return asked.then(
    () => true,
    () => false,
  );
}

function refuse(question: Question): void {
  question.refuse(RPC.methodNotFound, `the client of this connection does not support ${question.frame.method}`);
}

interface Notice {
  readonly frame: NotificationFrame;
  readonly during: number | undefined;
  readonly calls: ReadonlyMap<number, CallSink>;
  readonly questions: ServerQuestions;
  readonly events: ConnectionEvents;
  readonly log: Log;
}

function notify({ frame, during, calls, questions, events, log }: Notice): void {
  switch (frame.method) {
    case "notifications/progress": {
      // Ours are numbers; a server may have made strings of them.
      const token = frame.params?.["progressToken"];
      if (typeof token === "number" || typeof token === "string") calls.get(Number(token))?.onNotice(frame);
      return;
    }
    case "notifications/tools/list_changed":
    case "notifications/prompts/list_changed":
    case "notifications/resources/list_changed":
      return events.onListChanged();
    case "notifications/resources/updated":
      return events.onResourceUpdated(frame);
    case "notifications/cancelled":
      return questions.withdraw(frame);
    case "notifications/subscriptions/acknowledged":
      return;
    default: {
      const listener = addressee(calls, during, events.client) ?? events.client;
      if (listener) return listener.onNotice(frame);
      // It may hold what only one of them may see.
      log.debug({ method: frame.method }, "a notification that is for one of several clients is dropped");
    }
  }
}

/**
 * For which call something is: that on whose response it came; else the newest, where all that are in flight are of
 * one client.
 */
function addressee(
  calls: ReadonlyMap<number, CallSink>,
  during: number | undefined,
  client: Listener | undefined,
): CallSink | undefined {
  const known = during === undefined ? undefined : calls.get(during);
  if (known) return known;
  let newest: CallSink | undefined;
  for (const each of calls.values()) {
    if (client === undefined && newest !== undefined && newest.owner !== each.owner) return undefined;
    newest = each;
  }
  return newest;
}

/** The call that something belongs to beyond doubt. */
function certainCall(calls: ReadonlyMap<number, CallSink>, during: number | undefined): CallSink | undefined {
  if (during !== undefined) return calls.get(during);
  const [only, ...others] = calls.values();
  return others.length === 0 ? only : undefined;
}

interface Line {
  readonly wire: Wire;
  readonly handshake: Handshake;
  readonly calls: Map<number, CallSink>;
  readonly events: ConnectionEvents;
}

function handOver(line: Line, frame: RequestFrame, sink: CallSink, extras: CallExtras): CallHandle {
  const { wire, handshake, calls, events } = line;
  const id = wire.newId();
  const { text } = rewriteRequest(frame, { id, ...extras });
  const { paramHeaders, call } = extras;
  calls.set(id, sink);
  const { method, params } = frame;
  wire.send({ id, text, method, params, paramHeaders, call }, (answer) => {
    const waiting = calls.get(id) ?? sink;
    calls.delete(id);
    if (smellsOfOtherEra(handshake.era, answer)) events.onOtherEra();
    waiting.onAnswer(answer);
  });
  return {
    handTo: (next) => void (calls.has(id) && calls.set(id, next)),
    cancel(reason) {
      if (!calls.delete(id)) return;
      const modern = handshake.era === "modern" ? { _meta: MODERN_META } : {};
      wire.notify("notifications/cancelled", { requestId: id, reason, ...modern });
      wire.drop(id);
    },
  };
}
