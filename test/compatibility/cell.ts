import { type Peer, REVISIONS, type Revision } from "@tollgate/testkit";

/** One client revision and one server revision, and what a check works with. */
export interface Cell {
  readonly client: Revision;
  readonly server: Revision;
  /** Through the gateway, without capabilities: servers have nothing to ask it. */
  readonly plain: Peer;
  /** Through the gateway, with every capability that its revision knows, and answers to match. */
  readonly able: Peer;
  /** Through the gateway, on the route where all servers are, each with its names prefixed. */
  readonly among: Peer;
  /** The server itself, without a gateway between. */
  readonly direct: Peer;
  /** The server's id in the gateway. */
  readonly serverId: string;
}

export interface Feature {
  readonly name: string;
  /** Why the protocol cannot have it in this cell. */
  readonly impossible?: (cell: Pick<Cell, "client" | "server">) => string | undefined;
  /**
   * Looked at while nobody else uses the server, since it changes the server for all; and logs: a server on stdio does not
   * say for which call they are, so that they reach a client only where no other client's call is under way.
   */
  readonly alone?: true;
  readonly check: (cell: Cell) => Promise<void>;
  /** What happens where it is impossible: an answer all the same. */
  readonly otherwise?: (cell: Cell) => Promise<void>;
}

export const MODERN: Revision = "2026-07-28";

export function isModern(revision: Revision): boolean {
  return revision === MODERN;
}

/** Revisions are dates: the older is the smaller. */
export function older({ client, server }: Pick<Cell, "client" | "server">): Revision {
  return client < server ? client : server;
}

/** For a feature that came with a revision: older ones on either side have no place for it. */
export function since(revision: Revision): NonNullable<Feature["impossible"]> {
  return (cell) => (older(cell) < revision ? `came with ${revision}` : undefined);
}

/** What 2026-07-28 wants in every result, and where it allows keeping, beside what the server has said. */
const MODERN_MEMBERS = new Set(["resultType", "ttlMs", "cacheScope"]);
const SERVER_INFO = "io.modelcontextprotocol/serverInfo";

/** A result without what only says which era it is of. @throws for an error */
export function contentOf(answer: { result?: Record<string, unknown>; error?: unknown }): Record<string, unknown> {
  if (answer.result === undefined) throw new Error(`an error: ${JSON.stringify(answer.error)}`);
  const entries = Object.entries(answer.result).filter(([key]) => !MODERN_MEMBERS.has(key));
  const { _meta, ...result } = Object.fromEntries(entries);
  const meta = Object.entries((_meta as object | undefined) ?? {}).filter(([key]) => key !== SERVER_INFO);
  return meta.length === 0 ? result : { ...result, _meta: Object.fromEntries(meta) };
}

/** The text that a tool has answered. */
export function textOf(answer: any): string {
  return (contentOf(answer)["content"] as { text: string }[])[0]!.text;
}

/** A list whole, as a client reads it that follows the cursors. */
export async function readList(peer: Peer, method: string, member: string): Promise<unknown[]> {
  const items: unknown[] = [];
  let cursor: string | undefined;
  do {
    const answer = await peer.request(method, cursor === undefined ? {} : { cursor });
    const result = contentOf(answer);
    items.push(...(result[member] as unknown[]));
    cursor = result["nextCursor"] as string | undefined;
  } while (cursor !== undefined);
  return items;
}

/** What a client of this revision can offer. */
export function capabilitiesOf(revision: Revision): Record<string, unknown> {
  const elicitation = revision < "2025-11-25" ? {} : { form: {}, url: {} };
  return {
    sampling: {},
    roots: { listChanged: true },
    ...(revision < "2025-06-18" ? {} : { elicitation }),
    ...(isModern(revision) ? { extensions: { "io.modelcontextprotocol/tasks": {} } } : {}),
  };
}

export function cellsOf(): { client: Revision; server: Revision }[] {
  return REVISIONS.flatMap((client) => REVISIONS.map((server) => ({ client, server })));
}
