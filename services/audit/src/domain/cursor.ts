import { isCallId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";

const ID_BYTES = 16;

/**
 * Where the next page goes on. An event's id begins with its time, so the id of a page's last event says it all; it
 * grants nothing, since each page asks for its own tenant and filters.
 */
export function encodeCursor(id: string): string {
  return Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url");
}

/** @throws {AppError} invalid_argument when no page of ours ended there */
export function decodeCursor(cursor: string): string {
  const bytes = Buffer.from(cursor, "base64url");
  const hex = bytes.toString("hex");
  const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  // Written back it has to be the same text: decoding skips over what is no base64url.
  if (bytes.length !== ID_BYTES || !isCallId(id) || encodeCursor(id) !== cursor) {
    throw new AppError("invalid_argument", "cursor: not a next_cursor of an earlier page");
  }
  return id;
}
