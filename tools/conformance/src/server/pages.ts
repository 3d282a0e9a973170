import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";

/** One page of a list, and where the next one begins. Cursors are opaque to clients: a gateway must not read them. */
export type PageOf = <T>(items: readonly T[], cursor: string | undefined) => { page: T[]; nextCursor?: string };

/** Without a size everything is on one page. */
export function pagesOf(size = Number.POSITIVE_INFINITY): PageOf {
  return (items, cursor) => {
    const start = cursor === undefined ? 0 : offsetOf(cursor, items.length);
    const end = start + size;
    const page = items.slice(start, end);
    if (end >= items.length) return { page };
    return { page, nextCursor: Buffer.from(`from:${end}`).toString("base64") };
  };
}

function offsetOf(cursor: string, length: number): number {
  const [, digits] = /^from:(\d+)$/.exec(Buffer.from(cursor, "base64").toString()) ?? [];
  const offset = Number(digits);
  if (Number.isNaN(offset) || offset > length)
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, "Invalid cursor");
  return offset;
}
