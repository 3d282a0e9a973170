import { createHash } from "node:crypto";
import { AppError, type Problem, toProblem } from "@tollgate/errors";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";

// RFC 9110 section 13. What has a version of its own has that as its ETag, and its service compares it in the transaction
// of the change. All else has a hash of what is shown as its ETag, and is compared here, before the change.

const TAG_MAX_CHARS = 128;

const ifMatch = z
  .string()
  .max(TAG_MAX_CHARS)
  .regex(/^(W\/)?"[\x21\x23-\x7e]*"$/, "has to be one ETag")
  .optional()
  .meta({ description: "The ETag of what is to be changed: 412 where it has changed meanwhile" });
const ifNoneMatch = z
  .literal("*", { error: "has to be *: only where there is none yet" })
  .optional()
  .meta({ description: "`*`: only where there is none yet; else 412" });

/** Headers of a PUT. Loose: other headers are somebody else's. */
export const putHeaders = z.looseObject({ "if-match": ifMatch, "if-none-match": ifNoneMatch });
/** Headers of a DELETE. */
export const deleteHeaders = z.looseObject({ "if-match": ifMatch });

/** What is shown, with its ETag: the version, or a hash where it has none. */
export function tagged<T extends object>(reply: FastifyReply, shown: T, version?: number): T {
  void reply.header("etag", tagOf(shown, version));
  return shown;
}

function tagOf(shown: object, version?: number): string {
  return version === undefined ? hashTag(JSON.stringify(shown)) : `"${version}"`;
}

function hashTag(text: string): string {
  return `"${createHash("sha256").update(text).digest("base64url")}"`;
}

/** For a service that compares versions: 0 is whatever there is. */
export function versionAsked({ headers }: Pick<FastifyRequest, "headers">): { ifVersion: bigint; createOnly: boolean } {
  const match = headers["if-match"];
  const createOnly = headers["if-none-match"] === "*";
  if (match === undefined) return { ifVersion: 0n, createOnly };
  const version = /^"([1-9]\d{0,14})"$/.exec(match)?.[1];
  // What is no version, or a weak ETag, is none that anything has: its service says which one is the present.
  return { ifVersion: BigInt(version ?? Number.MAX_SAFE_INTEGER), createOnly };
}

/**
 * For what no service compares.
 * @param present reads what is there now; undefined where there is nothing
 * @throws {AppError} failed_precondition; already_exists
 */
export async function checkUnchanged<T extends object>(
  { headers }: Pick<FastifyRequest, "headers">,
  present: () => Promise<T | undefined>,
  versionOf?: (shown: T) => number,
): Promise<void> {
  const match = headers["if-match"];
  const createOnly = headers["if-none-match"] === "*";
  if (match === undefined && !createOnly) return;
  const shown = await present();
  const etag = shown === undefined ? undefined : tagOf(shown, versionOf?.(shown));
  if (createOnly && etag !== undefined)
    throw new AppError("already_exists", "there is one already", { details: { etag } });
  if (match === undefined || match === etag) return;
  const reason = etag === undefined ? "there is none any more" : "somebody has changed it: look at what it is now";
  throw new AppError("failed_precondition", reason, { details: etag === undefined ? { version: 0 } : { etag } });
}

/** An error as a problem; with status 412 where it is that what If-Match or If-None-Match said is not so. */
export function problemFor({ headers }: FastifyRequest, error: AppError): Problem {
  const { version, etag = typeof version === "number" && version > 0 ? `"${version}"` : undefined } = error.details;
  const isChanged = headers["if-match"] !== undefined && (etag !== undefined || version !== undefined);
  const isThere = headers["if-none-match"] === "*" && error.code === "already_exists";
  const problem = toProblem(error);
  if (!isThere && !(isChanged && error.code === "failed_precondition")) return problem;
  return { ...problem, ...(etag === undefined ? {} : { etag }), status: 412, title: "Precondition failed" };
}

/** Every answer that is one text has an ETag; a caller who has it already gets 304 without it. */
export function answerUnchanged(api: FastifyInstance): void {
  api.addHook("onSend", async (request, reply, payload) => {
    if (request.method !== "GET" || reply.statusCode !== 200 || typeof payload !== "string") return payload;
    if (!reply.hasHeader("etag")) void reply.header("etag", hashTag(payload));
    const known = request.headers["if-none-match"];
    if (known === undefined || !listsTag(known, String(reply.getHeader("etag")))) return payload;
    void reply.code(304).removeHeader("content-type").removeHeader("content-length");
    return null;
  });
}

/** By weak comparison, as RFC 9110 section 13.1.2 wants it: proxies that compress make them weak. */
function listsTag(list: string, etag: string): boolean {
  return list.split(",").some((each) => ["*", etag].includes(each.trim().replace(/^W\//, "")));
}
