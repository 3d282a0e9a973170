import { connect, type Socket } from "node:net";

/** Just enough of the NATS protocol to see that a server works, with no client of the project's own in between. */
export interface NatsClient {
  /** Sends a request and gives the reply's payload. */
  request(subject: string, payload: string): Promise<string>;
  close(): void;
}

const replyWithinMs = 10_000;

function nextMatch(socket: Socket, buffered: { text: string }, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => finish(new Error(`no ${pattern} in ${buffered.text}`)), replyWithinMs);
    const finish = (outcome: Error | RegExpExecArray): void => {
      clearTimeout(timer);
      socket.off("data", look).off("close", onClose);
      if (outcome instanceof Error) return reject(outcome);
      buffered.text = buffered.text.slice(outcome.index + outcome[0].length);
      resolve(outcome);
    };
    const look = (): void => {
      const found = pattern.exec(buffered.text);
      if (found) finish(found);
    };
    const onClose = (): void => finish(new Error(`closed after ${buffered.text}`));
    socket.on("data", look).on("close", onClose);
    look();
  });
}

/** Connects, logs in and waits for PONG; rejects with what the server said instead. */
export async function connectNats(url: string): Promise<NatsClient> {
  const { hostname, port, username, password } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  const buffered = { text: "" };
  socket.setEncoding("utf8").on("data", (chunk: string) => void (buffered.text += chunk));
  socket.on("error", () => undefined);
  await nextMatch(socket, buffered, /INFO .*\r\n/);
  const login = {
    verbose: false,
    user: decodeURIComponent(username),
    pass: decodeURIComponent(password),
  };
  socket.write(`CONNECT ${JSON.stringify(login)}\r\nPING\r\nSUB reply 1\r\n`);
  await nextMatch(socket, buffered, /PONG\r\n/);
  return {
    async request(subject, payload) {
      socket.write(`PUB ${subject} reply ${Buffer.byteLength(payload)}\r\n${payload}\r\n`);
      const found = await nextMatch(socket, buffered, /MSG reply 1 \d+\r\n(.*)\r\n/);
      return found[1] ?? "";
    },
    close: () => socket.destroy(),
  };
}
