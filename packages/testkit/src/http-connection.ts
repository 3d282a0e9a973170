import { connect, type Socket } from "node:net";

/**
 * One kept-alive HTTP/1.1 connection that sends prepared requests, one at a time. A load generator shares the machine
 * with what it measures, so this does no more than is needed to check each reply.
 */
export interface HttpConnection {
  /** Resolves with the body. @throws {Error} `HTTP <status>: …` on any status but 200 */
  post(body: string): Promise<string>;
  close(): void;
}

const HEAD_END = "\r\n\r\n";
const LAST_CHUNK = "\r\n0\r\n\r\n";

export async function openHttpConnection(
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<HttpConnection> {
  const { hostname, port, pathname } = new URL(url);
  const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  const lines = Object.entries({ host: `${hostname}:${port}`, "content-type": "application/json", ...headers });
  const head = `POST ${pathname} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}`).join("\r\n")}\r\ncontent-length: `;

  let received = "";
  let waiting: { resolve: (body: string) => void; reject: (error: Error) => void } | undefined;

  const finish = (error: Error) => {
    waiting?.reject(error);
    waiting = undefined;
  };
  socket.on("error", finish);
  socket.on("close", () => finish(new Error("the connection was closed")));
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    const headEnd = received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const bodyStart = headEnd + HEAD_END.length;
    const bodyEnd = endOfBody(received, { headEnd, bodyStart });
    if (bodyEnd === undefined) return;
    const status = received.slice(9, 12);
    const body = received.slice(bodyStart, bodyEnd);
    received = received.slice(bodyEnd);
    const { resolve, reject } = waiting!;
    waiting = undefined;
    if (status === "200") resolve(body);
    else reject(new Error(`HTTP ${status}: ${body.slice(0, 300)}`));
  });

  return {
    post: (body) =>
      new Promise((resolve, reject) => {
        if (!socket.writable) return reject(new Error("the connection was closed"));
        waiting = { resolve, reject };
        socket.write(`${head}${body.length}${HEAD_END}${body}`, "latin1");
      }),
    close: () => socket.destroy(),
  };
}

/** Undefined as long as it is not all there. A body in chunks, as streams of events are, is left as it came. */
function endOfBody(
  received: string,
  { headEnd, bodyStart }: { readonly headEnd: number; readonly bodyStart: number },
): number | undefined {
  const length = /content-length: (\d+)/i.exec(received.slice(0, headEnd))?.[1];
  if (length !== undefined)
    return received.length - bodyStart < Number(length) ? undefined : bodyStart + Number(length);
  const lastChunk = received.indexOf(LAST_CHUNK, bodyStart);
  return lastChunk < 0 ? undefined : lastChunk + LAST_CHUNK.length;
}
