import { AppError } from "@tollgate/errors";
import {
  batchOf,
  type Era,
  type NotificationFrame,
  parseFrame,
  type RequestFrame,
  type ResponseFrame,
} from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { ProcessUsage } from "../containment/limits.ts";
import type { Heard, LostInfo, OutgoingCall, OutgoingFrame, Transport, TransportEvents } from "./transport.ts";

const STDERR_NOTE_LINES = 3;

/** A server's answer to one of our requests. */
export type Answer =
  | { readonly kind: "response"; readonly frame: ResponseFrame }
  /** It cannot come any more. */
  | ({ readonly kind: "lost"; readonly reason: string } & LostInfo);

/** A request of ours, as it stands in its text. */
export interface WireRequest {
  readonly id: number;
  readonly text: string;
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>> | undefined;
  readonly paramHeaders?: Readonly<Record<string, string>> | undefined;
  readonly call?: OutgoingCall | undefined;
}

/** JSON-RPC over one transport; our requests are told apart by ids of our own. */
export interface Wire {
  readonly pid: number;
  /** Why it ended, or undefined while it is there. */
  readonly ended: string | undefined;
  /** Messages that it has written: another number says that it is alive. */
  readonly heard: number;
  /** The last of its standard error, to be added to a reason; or "". */
  note(this: void): string;
  usage(this: void): ProcessUsage | undefined;
  readonly cpuMs: (() => number) | undefined;
  newId(): number;
  /** What the two sides speak from now on. */
  speak(era: Era, protocol: string): void;
  /** Legacy, after initialize: listens for what the server says unasked. */
  listen(): void;
  /** Sends a request that bears a new id. `onAnswer` is called once, unless the request is dropped before. */
  send(request: WireRequest, onAnswer: (answer: Answer) => void): void;
  /** Drops what may still be answered. False when nothing was awaited any more. */
  drop(id: number): boolean;
  notify(method: string, params?: object): void;
  /** A client's notification, as it stands. */
  pass(this: void, frame: NotificationFrame): void;
  /** Answers a request of the server. */
  respond(text: string): void;
  /** @throws {AppError} `unavailable` with the reason and the last of standard error */
  request(method: string, params: object, timeoutMs: number): Promise<ResponseFrame>;
  end(): Promise<void>;
}

export interface WireEvents {
  /** As of a transport. */
  readonly onApiRequest?: (id: number) => void;
  /** `during`: the id of our request on whose response stream it came, where the transport knows. */
  readonly onRequest: (frame: RequestFrame, during: number | undefined) => void;
  readonly onNotification: (frame: NotificationFrame, during: number | undefined) => void;
  readonly onEnd: (reason: string) => void;
}

export function openWire(options: {
  open: (events: TransportEvents) => Transport;
  events: WireEvents;
  log: Log;
}): Wire {
  const { events, log } = options;
  const pending = new Map<number, (answer: Answer) => void>();
  let nextId = 1;
  let ended: string | undefined;
  let messages = 0;
  let era: Era = "modern";
  let protocol = "";

  const transport = options.open({
    onApiRequest: (id) => events.onApiRequest?.(id),
    onMessage(text, during) {
      messages += 1;
      return receive(text, during);
    },
    onLost: (id, reason, info) => void settle(id, { kind: "lost", reason, ...info }),
    onEnd(reason) {
      ended = reason;
      // The pool first: whoever loses a call may ask it for another connection at once.
      events.onEnd(reason);
      const lost = [...pending.values()];
      pending.clear();
      for (const onAnswer of lost) onAnswer({ kind: "lost", reason, notDelivered: false });
    },
  });

  function settle(id: number, answer: Answer): Heard {
    const onAnswer = pending.get(id);
    if (!onAnswer) {
      log.debug({ id }, "an answer that nobody waits for");
      return "unasked";
    }
    pending.delete(id);
    onAnswer(answer);
    return "answer";
  }

  function receive(text: string, during: number | undefined): Heard {
    const parsed = parseFrame(text);
    if (!parsed.ok) {
      const batch = batchOf(text)?.map((each) => receiveOne(each, during));
      if (batch) return batch.find((heard) => heard === "answer") ?? "unasked";
      log.debug({ reason: parsed.reason }, "the server wrote what is no JSON-RPC message");
      return "garbage";
    }
    const { frame } = parsed;
    if (frame.kind === "response") return settle(Number(frame.id), { kind: "response", frame });
    if (frame.kind === "request") events.onRequest(frame, during);
    else events.onNotification(frame, during);
    return "unasked";
  }

  /** A batch within a batch is none. */
  function receiveOne(text: string, during: number | undefined): Heard {
    return text.startsWith("[") ? "garbage" : receive(text, during);
  }

  const put = (text: string, frame: OutgoingFrame, request?: WireRequest) =>
    transport.send({ text, frame, era, protocol, paramHeaders: request?.paramHeaders, call: request?.call });

  function send(request: WireRequest, onAnswer: (answer: Answer) => void): void {
    const { id, text, method, params } = request;
    pending.set(id, onAnswer);
    if (ended === undefined) return put(text, { kind: "request", id, method, params }, request);
    // The pool has heard of the end: whoever asks it again gets another connection.
    process.nextTick(() => settle(id, { kind: "lost", reason: ended!, notDelivered: true }));
  }

  function drop(id: number): boolean {
    if (!pending.delete(id)) return false;
    if (ended === undefined) transport.abort(id);
    return true;
  }

  return {
    pid: transport.pid,
    get ended() {
      return ended;
    },
    get heard() {
      return messages;
    },
    note: () => noteOf(transport.tail()),
    usage: () => transport.usage?.(),
    cpuMs: transport.cpuMs,
    newId: () => nextId++,
    speak(spokenEra, spokenProtocol) {
      era = spokenEra;
      protocol = spokenProtocol;
    },
    listen: () => transport.listen(),
    send,
    drop,
    pass({ text, method, params }) {
      if (ended === undefined) put(text, { kind: "notification", method, params });
    },
    notify(method, params) {
      const text = JSON.stringify({ jsonrpc: "2.0", method, params });
      if (ended === undefined) put(text, { kind: "notification", method, params: params as WireRequest["params"] });
    },
    respond(text) {
      if (ended === undefined) put(text, { kind: "response" });
    },
    async request(method, params, timeoutMs) {
      const id = nextId++;
      const answer = await new Promise<Answer>((resolve) => {
        const timer = setTimeout(() => {
          drop(id);
          resolve({ kind: "lost", reason: `did not answer ${method} within ${timeoutMs} ms`, notDelivered: false });
        }, timeoutMs);
        const text = JSON.stringify({ jsonrpc: "2.0", id, method, params });
        const request = { id, text, method, params: params as WireRequest["params"] };
        send(request, (got) => (clearTimeout(timer), resolve(got)));
      });
      if (answer.kind === "response") return answer.frame;
      throw new AppError("unavailable", `the server ${answer.reason}${noteOf(transport.tail())}`);
    },
    end: () => transport.end(),
  };
}

function noteOf(stderr: string): string {
  if (stderr === "") return "";
  return `; its standard error ends with: ${stderr.split("\n").slice(-STDERR_NOTE_LINES).join(" | ")}`;
}
