import { createHash, hkdfSync, randomBytes } from "node:crypto";
import { type AnswerKey, type Bus, type KeptAnswer, openKeptAnswers } from "@tollgate/bus";
import { AppError, toProblem } from "@tollgate/errors";
import { openWith, sealWith } from "@tollgate/evidence";
import type { Log } from "@tollgate/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { sendProblem } from "./api-errors.ts";
import { checkBus } from "./api-options.ts";

/**
 * Idempotency keys (draft-ietf-httpapi-idempotency-key-header). A key is its principal's. Its first request takes it
 * with a mark, which is renewed for as long as that is under way, and puts its answer in the mark's place before the
 * client gets it; a repeat gets that answer, at any gateway. An answer that says that nothing was done (429) gives the
 * key back, as does what is streamed.
 *
 * Whether the change was made is not known where its answer is a 5xx, or its gateway dies in between: then the mark
 * stays. Repeats are told to come back for MARK_MAX_MS; by then what was under way elsewhere has been done or given up,
 * and the request is done anew.
 */
const MARK_MAX_MS = 60_000;
/** Of MARK_MAX_MS: a renewal may fail once. */
const RENEWALS = 3;
/** What has not ended by then, and was not even cut off, is not waited for. */
const RENEWED_MAX_MS = 3_600_000;
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
  readonly key: AnswerKey;
  readonly fingerprint: string;
  /** Of the mark. */
  revision: number;
  readonly renewing: NodeJS.Timeout;
  /** The last renewal. */
  renewed: Promise<void>;
}
/** What is kept, sealed: answers can hold new secrets. */
interface Entry {
  /** Of the request: the same key for another one is a mistake. */
  readonly fingerprint: string;
  readonly answer?: { status: number; headers: Record<string, string>; body: string | null };
  /** It was answered, and may have been done or not. */
  readonly unknown?: true;
}

/**
 * For every change that the API makes.
 * @param options.markMaxMs for how long a mark holds that is not renewed
 */
export async function keepAnswers(
  api: FastifyInstance,
  options: { bus: Bus; serviceKey: string; log: Log; markMaxMs?: number },
): Promise<void> {
  const { bus, markMaxMs = MARK_MAX_MS } = options;
  const sealed = await openSealed(options);

  function hold(key: AnswerKey, fingerprint: string, revision: number): Taken {
    const endsAt = Date.now() + RENEWED_MAX_MS;
    const renew = () => {
      if (Date.now() > endsAt) return clearInterval(renewing);
      taken.renewed = taken.renewed.then(async () => {
        // Another one may have taken it over: then nothing is renewed any more.
        taken.revision = (await sealed.write(key, { fingerprint }, taken.revision)) ?? taken.revision;
      });
    };
    const renewing = setInterval(renew, markMaxMs / RENEWALS).unref();
    const taken: Taken = { key, fingerprint, revision, renewing, renewed: Promise.resolve() };
    return taken;
  }
  /** Undefined where no key was taken, or it was let go already. */
  async function letGo(request: FastifyRequest): Promise<Taken | undefined> {
    const taken = request.idempotency;
    if (taken === null) return undefined;
    request.idempotency = null;
    clearInterval(taken.renewing);
    await taken.renewed;
    return taken;
  }

  api.decorateRequest("idempotency", null);
  api.addHook("preValidation", async (request, reply) => {
    const given = request.headers["idempotency-key"];
    if (given === undefined || !isChange(request)) return;
    checkBus(bus);
    const key = keyOf(request, given);
    const fingerprint = fingerprintOf(request);
    const { entry, kept } = await sealed.read(key);
    if (entry !== undefined && entry.fingerprint !== fingerprint) return answerOther(reply);
    if (entry?.answer !== undefined) return replay(reply, entry.answer);
    // A mark that is too old, or that was sealed by another key, is taken over.
    const leftMs = entry === undefined ? 0 : kept!.writtenAt + markMaxMs - Date.now();
    if (leftMs > 0) throw entry?.unknown ? notKnown(leftMs) : underWay();
    const revision = await sealed.write(key, { fingerprint }, kept?.revision ?? 0);
    if (revision === undefined) throw underWay();
    request.idempotency = hold(key, fingerprint, revision);
  });
  api.addHook("onSend", async (request, reply, payload) => {
    const taken = await letGo(request);
    if (taken === undefined) return payload;
    const { key, fingerprint, revision } = taken;
    const { statusCode: status } = reply;
    const isText = payload === null || payload === undefined || typeof payload === "string";
    if (status === 429 || !isText) await sealed.forget(key, revision);
    else if (status >= 500) await sealed.write(key, { fingerprint, unknown: true }, revision);
    else await sealed.write(key, entryOf(reply, taken, payload ?? null), revision);
    return payload;
  });
  // An answer that a handler has written by itself.
  api.addHook("onResponse", async (request) => {
    const taken = await letGo(request);
    if (taken !== undefined) await sealed.forget(taken.key, taken.revision);
  });
}

/** Kept answers, sealed. */
async function openSealed({ bus, serviceKey, log }: { bus: Bus; serviceKey: string; log: Log }) {
  const answers = await openKeptAnswers(bus);
  const secret = Buffer.from(hkdfSync("sha256", serviceKey, "", "answers to requests with an idempotency key", 32));
  const labelOf = ({ tenant, principal, id }: AnswerKey) => `${tenant}.${principal}.${id}`;
  const open = (key: AnswerKey, { text }: KeptAnswer): Entry | undefined => {
    const opened = openWith(secret, labelOf(key), text);
    return opened === undefined ? undefined : (JSON.parse(opened.toString()) as Entry);
  };
  // It is done, and its client is told so, whether that can be kept or not.
  const unkept = (error: unknown) => {
    log.warn({ err: error }, "an answer could not be kept for its repeats");
    return undefined;
  };
  return {
    async read(key: AnswerKey): Promise<{ entry: Entry | undefined; kept: KeptAnswer | undefined }> {
      const kept = await answers.get(key);
      return { kept, entry: kept === undefined ? undefined : open(key, kept) };
    },
    /** @throws {AppError} overloaded, of what is not there yet */
    write(key: AnswerKey, entry: Entry, before: number): Promise<number | undefined> {
      const text = sealWith(secret, labelOf(key), JSON.stringify(entry), randomBytes);
      const written = answers.write(key, text, before);
      return before === 0 ? written : written.catch(unkept);
    },
    forget: (key: AnswerKey, before: number): Promise<void> => answers.forget(key, before).catch(unkept),
  };
}

/** Reads that are sent with a body may come again as they are. */
function isChange({ method, routeOptions: { config } }: FastifyRequest): boolean {
  return CHANGES.includes(method) && !config.reads && !config.action?.endsWith("/read");
}

/** @throws {AppError} invalid_argument */
function keyOf({ caller }: FastifyRequest, given: string | string[]): AnswerKey {
  if (typeof given !== "string" || !KEY.test(given))
    throw new AppError("invalid_argument", "Idempotency-Key: has to be 1 to 255 visible characters of ASCII");
  const { tenant, id } = caller!.principal;
  return { tenant: hashOf([tenant]), principal: hashOf([tenant, id]), id: hashOf([tenant, id, given]) };
}

function fingerprintOf({ method, url, body, headers }: FastifyRequest): string {
  const { "if-match": match, "if-none-match": noneMatch } = headers;
  return hashOf([method, url, body ?? null, match ?? null, noneMatch ?? null]);
}

function hashOf(values: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(values)).digest("base64url");
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

function notKnown(leftMs: number): AppError {
  const details = { retryAfterSeconds: Math.ceil(leftMs / 1_000) };
  const reason =
    "whether the first request with this Idempotency-Key was done is not known; look, or send it again later: it is done anew then";
  return new AppError("failed_precondition", reason, { details });
}
