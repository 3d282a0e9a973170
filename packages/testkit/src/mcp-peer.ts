import { eventually } from "./eventually.ts";
import {
  httpLink,
  type Link,
  type LinkEvents,
  type Place,
  type ProgramOptions,
  programLink,
  sseLink,
  webSocketLink,
} from "./mcp-links.ts";
import type { McpClientOptions } from "./mcp-client.ts";

export const REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] as const;
export type Revision = (typeof REVISIONS)[number];
const MODERN: Revision = "2026-07-28";
const META = "io.modelcontextprotocol/";

const ANSWER_TIMEOUT_MS = 25_000;
const ROUNDS_MAX = 20;

type Params = Readonly<Record<string, unknown>>;

/** A frame as it came. */
export interface Received {
  readonly text: string;
  readonly message: any;
  readonly place: Place;
  readonly eventId: string | undefined;
}

export interface PeerOptions {
  readonly revision: Revision;
  /** Where, and by which transport. Streamable HTTP unless it says something else. */
  readonly to: (McpClientOptions & { readonly transport?: "http" | "sse" | "websocket" }) | ProgramOptions;
  readonly capabilities?: Params;
  /** What this client answers to what a server asks, by method: a result, or what it throws as an error. */
  readonly answers?: Readonly<Record<string, (params: any) => unknown>>;
  readonly info?: Params;
  /** 2026-07-28: from this level on it wants to have logs. */
  readonly logLevel?: string;
  /** False: it does not open the stream for what comes unasked. */
  readonly listens?: boolean;
}

export interface RequestOptions {
  readonly id?: string | number;
  readonly signal?: AbortSignal;
  /** False: `input_required` is given as it came, instead of being answered. */
  readonly rounds?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Waiting {
  readonly resolve: (answer: any) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A client of any revision that reads nothing into what it gets: it keeps every frame as it came, answers what it is
 * asked by given functions, and checks nothing. For tests that have to see what really is on the wire.
 */
export async function openPeer(options: PeerOptions): Promise<Peer> {
  const peer = new Peer(options);
  await peer.connect();
  return peer;
}

export class Peer {
  /** What the server said of itself: the result of initialize or server/discover. */
  opened: any;
  /** Every frame in the order in which it came. */
  readonly received: Received[] = [];
  /** What it was asked: by a legacy server in requests, by a modern one in results. */
  readonly asked: { readonly method: string; readonly params: any }[] = [];
  readonly #options: PeerOptions;
  readonly #modern: boolean;
  readonly #waiting = new Map<string | number, Waiting>();
  #link!: Link;
  #nextId = 1;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#modern = options.revision === MODERN;
  }

  async connect(): Promise<void> {
    const { revision, capabilities = {}, info = { name: "peer", version: "1.0" }, listens } = this.#options;
    this.#link = await openLink(this.#options, {
      onFrame: (text, place, eventId) => this.#receive(text, place, eventId),
    });
    if (this.#modern) {
      this.opened = resultOf(await this.request("server/discover", {}));
      return;
    }
    const about = { protocolVersion: revision, capabilities, clientInfo: info };
    this.opened = resultOf(await this.request("initialize", about));
    await this.notify("notifications/initialized");
    if (listens !== false) await this.listen();
  }

  get session(): string | undefined {
    return this.#link.session;
  }

  /** The answer, with `result` or `error`. */
  async request(method: string, params?: Params, more: RequestOptions = {}): Promise<any> {
    let answered = await this.#requestOnce(method, params, more);
    for (let round = 1; more.rounds !== false && answered.result?.resultType === "input_required"; round++) {
      if (round > ROUNDS_MAX) throw new Error(`${method} wanted input more than ${ROUNDS_MAX} times`);
      const { inputRequests = {}, requestState } = answered.result;
      const entries = Object.entries<any>(inputRequests).map(async ([key, each]) => {
        return [key, await this.#answerTo(each.method, each.params)];
      });
      const inputResponses = Object.fromEntries(await Promise.all(entries)) as Params;
      const state = requestState === undefined ? {} : { requestState };
      const { id: _id, ...others } = more;
      answered = await this.#requestOnce(method, { ...params, inputResponses, ...state }, others);
    }
    return answered;
  }

  /** Gives the HTTP status, where there is one. */
  notify(method: string, params?: Params): Promise<number | undefined> {
    const text = frameText({ method, params: this.#withMeta(params) });
    return this.#link.send({ text, headers: this.#headers(method, params), id: undefined });
  }

  /** Sends a text as it is. */
  send(text: string, { id, signal, headers }: RequestOptions = {}): Promise<number | undefined> {
    return this.#link.send({ text, headers: { ...this.#headers(), ...headers }, id, signal });
  }

  /** 2026-07-28: opens a subscription; settles when it is acknowledged, and gives how to end it. */
  async subscribe(notifications: Params): Promise<() => void> {
    const leaving = new AbortController();
    const id = this.#nextId++;
    const method = "subscriptions/listen";
    const text = frameText({ id, method, params: this.#withMeta({ notifications }) });
    const sent = this.#link.send({ text, headers: this.#headers(method), id, signal: leaving.signal });
    sent.catch(() => undefined);
    await eventually(() => {
      const answers = this.received.map(({ message }) => message);
      const refused = answers.find((each) => each.id === id && each.error !== undefined);
      const acknowledged = this.notices("notifications/subscriptions/acknowledged");
      if (refused === undefined && !acknowledged.some(({ params }) => params._meta[`${META}subscriptionId`] === id))
        throw new Error(`${method} was not acknowledged`);
    });
    return () => leaving.abort();
  }

  /** The notifications of this method so far. */
  notices(method: string): any[] {
    return this.received.map(({ message }) => message).filter((each) => each.method === method);
  }

  /** Opens the stream for what comes unasked, or goes on with one. Gives the HTTP status. */
  listen(lastEventId?: string): Promise<number> {
    return this.#link.listen(this.#headers(), lastEventId);
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  #receive(text: string, place: Place, eventId: string | undefined): void {
    const parsed = JSON.parse(text) as unknown;
    const messages: any[] = Array.isArray(parsed) ? parsed : [parsed];
    for (const message of messages) {
      this.received.push({ text, message, place, eventId });
      if (!("method" in message)) this.#waiting.get(message.id ?? place)?.resolve(message);
      else if ("id" in message) void this.#answer(message);
    }
  }

  async #answer({ id, method, params }: any): Promise<void> {
    const reply = await this.#answerTo(method, params).then(
      (result) => ({ result }),
      (error: Error & { code?: number }) => ({ error: { code: error.code ?? -32603, message: error.message } }),
    );
    await this.#link.send({ text: frameText({ id, ...reply }), headers: this.#headers(), id: undefined });
  }

  /** @throws what the given function throws */
  async #answerTo(method: string, params: unknown): Promise<unknown> {
    this.asked.push({ method, params });
    const give = this.#options.answers?.[method];
    if (!give) throw Object.assign(new Error(`this client knows no ${method}`), { code: -32601 });
    return await give(params);
  }

  async #requestOnce(method: string, params: Params | undefined, more: RequestOptions): Promise<any> {
    const { signal } = more;
    const id = more.id ?? this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<any>();
    const late = () => reject(new Error(`no answer to ${method} within ${ANSWER_TIMEOUT_MS} ms`));
    const timer = setTimeout(late, ANSWER_TIMEOUT_MS);
    this.#waiting.set(id, { resolve, reject });
    signal?.addEventListener("abort", () => reject(new Error("aborted")));
    const headers = { ...this.#headers(method, params), ...more.headers };
    const text = frameText({ id, method, params: this.#withMeta(params) });
    this.#link.send({ text, headers, id, signal }).catch(reject);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  #headers(method?: string, params: Params = {}): Record<string, string> {
    const { revision } = this.#options;
    if (!this.#modern) return this.#link.session === undefined ? {} : { "mcp-protocol-version": revision };
    const name = params["name"] ?? params["uri"] ?? params["taskId"];
    const named = typeof name === "string" ? { "mcp-name": name } : {};
    return { "mcp-protocol-version": revision, ...(method === undefined ? {} : { "mcp-method": method }), ...named };
  }

  #withMeta(params: Params | undefined): Params | undefined {
    if (!this.#modern) return params;
    const { revision, capabilities = {}, info, logLevel } = this.#options;
    const meta = {
      [`${META}protocolVersion`]: revision,
      [`${META}clientCapabilities`]: capabilities,
      ...(info === undefined ? {} : { [`${META}clientInfo`]: info }),
      ...(logLevel === undefined ? {} : { [`${META}logLevel`]: logLevel }),
    };
    return { ...params, _meta: { ...meta, ...(params?.["_meta"] as object | undefined) } };
  }
}

function frameText(members: object): string {
  return JSON.stringify({ jsonrpc: "2.0", ...members });
}

function resultOf(answer: any): any {
  if (answer.error !== undefined) throw new Error(`no connection: ${JSON.stringify(answer.error)}`);
  return answer.result;
}

async function openLink({ to }: PeerOptions, events: LinkEvents): Promise<Link> {
  if ("command" in to) return programLink(to, events);
  if (to.transport === "sse") return sseLink(to, events);
  if (to.transport === "websocket") return webSocketLink(to, events);
  return httpLink(to, events);
}
