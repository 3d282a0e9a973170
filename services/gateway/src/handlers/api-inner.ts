import { randomBytes } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Caller } from "./callers.ts";

/** Holds a key that is valid for one request, inside of this process only. */
const HEADER = "x-tollgate-inner";
const SHOWN_HEADERS = ["content-type", "etag", "location", "retry-after", "idempotency-replayed"];

export interface InnerRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

export interface InnerAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/**
 * What the API asks of itself for a caller, for batches and GraphQL: the same routes, which decide, check and record as
 * if the caller had sent each request alone.
 */
export interface InnerRequests {
  send(caller: Caller, asked: InnerRequest): Promise<InnerAnswer>;
  /** Undefined for a request that has come from outside. */
  callerOf(request: FastifyRequest): Caller | undefined;
}

export function createInnerRequests(api: FastifyInstance): InnerRequests {
  const callers = new Map<string, Caller>();
  return {
    async send(caller, { method, path, headers = {}, body }) {
      const key = randomBytes(24).toString("base64url");
      callers.set(key, caller);
      const json = body === undefined ? {} : { "content-type": "application/json" };
      const payload = body === undefined ? {} : { payload: JSON.stringify(body) };
      try {
        const answer = await api.inject({
          method,
          url: path,
          headers: { ...headers, ...json, [HEADER]: key },
          ...payload,
        });
        const shown = SHOWN_HEADERS.flatMap((name) => {
          const value = answer.headers[name];
          return value === undefined ? [] : [[name, String(value)] as const];
        });
        return { status: answer.statusCode, headers: Object.fromEntries(shown), text: answer.payload };
      } finally {
        callers.delete(key);
      }
    },
    callerOf({ headers }) {
      const key = headers[HEADER];
      return typeof key === "string" ? callers.get(key) : undefined;
    },
  };
}
