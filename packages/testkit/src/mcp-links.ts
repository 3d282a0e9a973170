import { spawn } from "node:child_process";
import { once } from "node:events";
import type { McpClientOptions } from "./mcp-client.ts";

/** Where a frame came: on the response to a request (its id), or "standing", on what is open beside. */
export type Place = string | number;

export interface LinkEvents {
  readonly onFrame: (text: string, place: Place, eventId: string | undefined) => void;
}

export interface Outgoing {
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of the request, whose response the answer comes on; undefined for anything else. */
  readonly id: string | number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One client's side of a transport: frames as texts, both ways. */
export interface Link {
  /** Settles when the transport is done with it: over HTTP with the end of the response. Gives the HTTP status. */
  send(outgoing: Outgoing): Promise<number | undefined>;
  /** A stream for what comes unasked, where the transport has it apart. */
  listen(headers: Readonly<Record<string, string>>, lastEventId?: string): Promise<number>;
  /** What the server gave with its answer to initialize. */
  readonly session: string | undefined;
  close(): Promise<void>;
}

interface SseEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** The events of a stream as they come (WHATWG, server-sent events), until it ends or is left. */
async function readEvents(response: Response, onEvent: (event: SseEvent) => void): Promise<void> {
  let rest = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).split(/\r?\n\r?\n/);
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = block.split(/\r?\n/).map((line) => /^(\w+): ?([^]*)$/.exec(line) ?? []);
      const valuesOf = (name: string) => fields.filter(([, field]) => field === name).map(([, , value]) => value!);
      onEvent({ event: valuesOf("event")[0] ?? "message", data: valuesOf("data").join("\n"), id: valuesOf("id")[0] });
    }
  }
}

function isEventStream(response: Response): boolean {
  return response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
}

function authorization({ token }: McpClientOptions): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/** Left on purpose: no failure. */
function unlessLeft(signal: AbortSignal) {
  return (error: unknown) => {
    if (!signal.aborted) throw error;
  };
}

export function httpLink(options: McpClientOptions, { onFrame }: LinkEvents): Link {
  const closing = new AbortController();
  const standing: Promise<void>[] = [];
  let session: string | undefined;
  const common = (): Record<string, string> => ({
    ...authorization(options),
    ...(session === undefined ? {} : { "mcp-session-id": session }),
  });

  return {
    get session() {
      return session;
    },
    async send({ text, headers, id = "standing", signal = closing.signal }) {
      const accept = "application/json, text/event-stream";
      const response = await fetch(options.url, {
        method: "POST",
        headers: { "content-type": "application/json", accept, ...common(), ...headers },
        body: text,
        signal: AbortSignal.any([signal, closing.signal]),
      });
      session ??= response.headers.get("mcp-session-id") ?? undefined;
      if (isEventStream(response)) {
        const read = readEvents(response, ({ data, id: eventId }) => data !== "" && onFrame(data, id, eventId));
        await read.catch(unlessLeft(AbortSignal.any([signal, closing.signal])));
      } else {
        const body = await response.text();
        if (body !== "") onFrame(body, id, undefined);
      }
      return response.status;
    },
    async listen(headers, lastEventId) {
      const last = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
      const response = await fetch(options.url, {
        headers: { accept: "text/event-stream", ...common(), ...headers, ...last },
        signal: closing.signal,
      });
      if (!isEventStream(response)) {
        await response.text();
        return response.status;
      }
      const read = readEvents(response, ({ data, id }) => data !== "" && onFrame(data, "standing", id));
      standing.push(read.catch(unlessLeft(closing.signal)));
      return response.status;
    },
    async close() {
      if (session !== undefined) await fetch(options.url, { method: "DELETE", headers: common() });
      closing.abort();
      await Promise.all(standing);
    },
  };
}

/** The transport of 2024-11-05: `url` is that of the stream, which says where to post. */
export async function sseLink(options: McpClientOptions, { onFrame }: LinkEvents): Promise<Link> {
  const closing = new AbortController();
  const headers = { accept: "text/event-stream", ...authorization(options) };
  const response = await fetch(options.url, { headers, signal: closing.signal });
  if (!isEventStream(response)) throw new Error(`no event stream: ${response.status} ${await response.text()}`);
  const endpoint = Promise.withResolvers<string>();
  const reading = readEvents(response, ({ event, data, id }) => {
    if (event === "endpoint") endpoint.resolve(data);
    else if (data !== "") onFrame(data, "standing", id);
  }).catch(unlessLeft(closing.signal));
  const url = new URL(await endpoint.promise, options.url);
  return {
    session: undefined,
    async send({ text, headers: own }) {
      const posted = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...authorization(options), ...own },
        body: text,
      });
      await posted.text();
      return posted.status;
    },
    listen: () => Promise.resolve(200),
    async close() {
      closing.abort();
      await reading;
    },
  };
}

/** Node's own WebSocket takes headers, which those of browsers do not; the types know only of browsers. */
interface NodeWebSocketInit {
  readonly protocols: string[];
  readonly headers: Record<string, string>;
}

export async function webSocketLink(options: McpClientOptions, { onFrame }: LinkEvents): Promise<Link> {
  const init: NodeWebSocketInit = { protocols: ["mcp"], headers: authorization(options) };
  const socket = new WebSocket(options.url.replace(/^http/, "ws"), init);
  socket.addEventListener("message", ({ data }) => onFrame(String(data), "standing", undefined));
  const failed = new Promise<never>((_resolve, reject) =>
    socket.addEventListener("error", () => reject(new Error(`no WebSocket at ${options.url}`))),
  );
  failed.catch(() => undefined);
  await Promise.race([once(socket, "open"), failed]);
  return {
    session: undefined,
    async send({ text }) {
      socket.send(text);
      return undefined;
    },
    listen: () => Promise.resolve(200),
    async close() {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}

export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A program that speaks MCP on its standard input and output, as clients start it: the bridge, or a server itself. */
export function programLink({ command, args, env }: ProgramOptions, { onFrame }: LinkEvents): Link {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
  // By line feeds alone: readline takes U+2028 for a line's end, too, which may stand in a JSON string.
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) onFrame(line, "standing", undefined);
  });
  const exited = once(child, "exit");
  return {
    session: undefined,
    send: async ({ text }) => void child.stdin.write(`${text}\n`),
    listen: () => Promise.resolve(200),
    async close() {
      child.stdin.end();
      await exited;
    },
  };
}
