import { createInbox, headers, type Msg, type NatsConnection } from "@nats-io/transport-node";

const SWEEP_MS = 100;
const MESSAGE_ID = "Nats-Msg-Id";
const NO_RESPONDERS = 503;

/**
 * Publishing to streams and hearing that they have it, on one subscription for all. The client's own way makes an
 * error, a promise race and a timer for each message, which is the dearest part of a call.
 */
export interface Acknowledgements {
  /** Resolves when a stream has the message. @throws {Error} with the server's own words, or that no answer came */
  publish(message: { subject: string; payload: string; id: string; timeoutMs: number }): Promise<void>;
}

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** Monotonic milliseconds. */
  readonly until: number;
}

export function openAcknowledgements(connection: NatsConnection): Acknowledgements {
  const inbox = createInbox();
  const pending = new Map<string, Pending>();
  let sent = 0;
  let sweeping: NodeJS.Timeout | undefined;

  connection.subscribe(`${inbox}.*`, {
    callback: (error, message) => {
      const token = message.subject.slice(inbox.length + 1);
      const waiting = pending.get(token);
      if (!waiting) return;
      pending.delete(token);
      const problem = error?.message ?? problemOf(message);
      if (problem === undefined) waiting.resolve();
      else waiting.reject(new Error(problem));
    },
  });

  function sweep(): void {
    const now = performance.now();
    const closed = connection.isClosed();
    for (const [token, { until, reject }] of pending) {
      if (until > now && !closed) continue;
      pending.delete(token);
      reject(new Error(closed ? "the NATS connection is closed" : "timeout"));
    }
    if (pending.size > 0) return;
    clearInterval(sweeping);
    sweeping = undefined;
  }

  return {
    publish: ({ subject, payload, id, timeoutMs }) =>
      new Promise((resolve, reject) => {
        const token = (sent += 1).toString(36);
        const about = headers();
        about.set(MESSAGE_ID, id);
        connection.publish(subject, payload, { reply: `${inbox}.${token}`, headers: about });
        pending.set(token, { resolve, reject, until: performance.now() + timeoutMs });
        sweeping ??= setInterval(sweep, SWEEP_MS);
      }),
  };
}

function problemOf(message: Msg): string | undefined {
  if (message.headers?.code === NO_RESPONDERS) return "no stream takes it";
  const text = message.string();
  if (text.startsWith('{"stream":') && !text.includes('"error"')) return undefined;
  try {
    const { error } = JSON.parse(text) as { error?: { description?: string } };
    return error === undefined ? undefined : (error.description ?? "refused");
  } catch {
    return "an acknowledgement that is none";
  }
}
