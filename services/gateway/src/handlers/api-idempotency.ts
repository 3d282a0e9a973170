import { createHash, hkdfSync, randomBytes } from "node:crypto";
import { type Bus, type KeptAnswer, openKeptAnswers } from "@tollgate/bus";
import { AppError, toProblem } from "@tollgate/errors";
import { openWith, sealWith } from "@tollgate/evidence";
import type { Log } from "@tollgate/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { sendProblem } from "./api-errors.ts";
import { checkBus } from "./api-options.ts";

/**
 * Idempotency keys (draft-ietf-httpapi-idempotency-key-header). A key is its principal's. Its first request takes it
 * with a mark, and puts its answer in the mark's place before the client gets it; a repeat gets that answer, at any
 * gateway. Answers that say that it may be tried again (429, 5xx) give the key back, as does what is streamed.
 *
 * A gateway that dies in between leaves its mark: whether the change was made is not known then. Repeats are told to
 * come back for UNDER_WAY_MAX_MS; after that the request is done anew.
 */
const UNDER_WAY_MAX_MS = 60_000;
const RETRY_AFTER_SECONDS = 1;
const KEPT_BODY_MAX_BYTES = 256 * 1024;
const KEY = /^[\x21-\x7e]{1,255}$/;
const CHANGES = ["POST", "PUT", "PATCH", "DELETE"];
const KEPT_HEADERS = ["content-type", "location", "etag", "cache-control", "www-authenticate"];

declare module "fastify" {
  interface FastifyRequest {
    /** The key that it has taken. */
    idempotency: Taken | null;
  }
}
interface Taken {
  readonly id: string;
  readonly fingerprint: string;
  readonly revision: number;
}
/** What is kept, sealed: answers can hold new secrets. */
interface Entry {
  /** Of the request: the same key for another one is a mistake. */
  readonly fingerprint: string;
  readonly answer?: { status: number; headers: Record<string, string>; body: string | null };
}

/** For every change that the API makes. */
export async function keepAnswers(
  api: FastifyInstance,
  { bus, serviceKey, log }: { bus: Bus; serviceKey: string; log: Log },
): Promise<void> {
  const answers = await openKeptAnswers(bus);
  const key = Buffer.from(hkdfSync("sha256", serviceKey, "", "answers to requests with an idempotency key", 32));
  const seal = (id: string, entry: Entry) => sealWith(key, id, JSON.stringify(entry), randomBytes);
  const open = (id: string, { text }: KeptAnswer): Entry | undefined => {
    const opened = openWith(key, id, text);
    return opened === undefined ? undefined : (JSON.parse(opened.toString()) as Entry);
  };

  // It is done, and its client is told so, whether that can be kept or not.
  const unkept = (error: unknown) => log.warn({ err: error }, "an answer could not be kept for its repeats");
  const keep = ({ id, revision }: Taken, entry: Entry) => answers.write(id, seal(id, entry), revision).catch(unkept);
  const forget = ({ id, revision }: Taken) => answers.forget(id, revision).catch(unkept);

  api.decorateRequest("idempotency", null);
  api.addHook("preValidation", async (request, reply) => {
    const given = request.headers["idempotency-key"];
    if (given === undefined || !CHANGES.includes(request.method)) return;
    checkBus(bus);
    const id = idOf(request, given);
    const fingerprint = fingerprintOf(request);
    const kept = await answers.get(id);
    const entry = kept === undefined ? undefined : open(id, kept);
    if (entry !== undefined && entry.fingerprint !== fingerprint) return answerOther(reply);
    if (entry?.answer !== undefined) return replay(reply, entry.answer);
    const isUnderWay = entry !== undefined && kept!.writtenAt + UNDER_WAY_MAX_MS > Date.now();
    // A mark that is too old, or that was sealed by another key, is taken over.
    const revision = isUnderWay ? undefined : await answers.write(id, seal(id, { fingerprint }), kept?.revision ?? 0);
    if (revision === undefined) throw underWay();
    request.idempotency = { id, fingerprint, revision };
  });
  api.addHook("onSend", async (request, reply, payload) => {
    const taken = request.idempotency;
    if (taken === null) return payload;
    request.idempotency = null;
    const { statusCode: status } = reply;
    const isText = payload === null || payload === undefined || typeof payload === "string";
    const isKept = status < 500 && status !== 429 && isText;
    await (isKept ? keep(taken, entryOf(reply, taken, payload ?? null)) : forget(taken));
    return payload;
  });
  // An answer that a handler has written by itself.
  api.addHook("onResponse", async ({ idempotency }) => {
    if (idempotency !== null) await forget(idempotency);
  });
}

/** @throws {AppError} invalid_argument */
function idOf({ caller }: FastifyRequest, given: string | string[]): string {
  if (typeof given !== "string" || !KEY.test(given))
    throw new AppError("invalid_argument", "Idempotency-Key: has to be 1 to 255 visible characters of ASCII");
  const { tenant, id } = caller!.principal;
  return createHash("sha256")
    .update(JSON.stringify([tenant, id, given]))
    .digest("base64url");
}

function fingerprintOf({ method, url, body, headers }: FastifyRequest): string {
  const { "if-match": match, "if-none-match": noneMatch } = headers;
  const text = JSON.stringify([method, url, body ?? null, match ?? null, noneMatch ?? null]);
  return createHash("sha256").update(text).digest("base64url");
}

function entryOf(reply: FastifyReply, { fingerprint }: Taken, body: string | null): Entry {
  const sent = KEPT_HEADERS.flatMap((name) => (reply.hasHeader(name) ? [[name, String(reply.getHeader(name))]] : []));
  const headers = Object.fromEntries(sent) as Record<string, string>;
  if (body === null || Buffer.byteLength(body) <= KEPT_BODY_MAX_BYTES)
    return { fingerprint, answer: { status: reply.statusCode, headers, body } };
  const reason = `it was done before, and answered with ${reply.statusCode}; the answer was too large to be kept`;
  const problem = toProblem(new AppError("failed_precondition", reason));
  const type = { "content-type": "application/problem+json" };
  return { fingerprint, answer: { status: problem.status, headers: type, body: JSON.stringify(problem) } };
}

function replay(reply: FastifyReply, { status, headers, body }: NonNullable<Entry["answer"]>): FastifyReply {
  return reply
    .code(status)
    .headers({ ...headers, "idempotency-replayed": "true" })
    .serializer(String)
    .send(body);
}

function answerOther(reply: FastifyReply): FastifyReply {
  const reason = "Idempotency-Key: was used for another request; each request has a key of its own";
  const problem = toProblem(new AppError("failed_precondition", reason));
  return sendProblem(reply, { ...problem, status: 422, title: "Unprocessable content" });
}

function underWay(): AppError {
  const details = { retryAfterSeconds: RETRY_AFTER_SECONDS };
  return new AppError("failed_precondition", "the first request with this Idempotency-Key is under way", { details });
}
