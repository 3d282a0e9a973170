import { randomUUID } from "node:crypto";
import { type Bus, connectBus } from "@tollgate/bus";
import { AppError } from "@tollgate/errors";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { fastify, type FastifyInstance, type FastifyReply } from "fastify";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { setErrors } from "../src/handlers/api-errors.ts";
import { keepAnswers } from "../src/handlers/api-idempotency.ts";
import type { Caller } from "../src/handlers/callers.ts";
import { principal } from "./controlled-policy.ts";

const infra = useInfrastructure();
const MARK_MAX_MS = 1_500;
let bus: Bus;
let api: FastifyInstance;
let other: FastifyInstance;
/** What a change does. */
let change: (reply: FastifyReply) => Promise<unknown>;
let done = 0;

/** An API with a change and a read, as one gateway has it. */
async function startApi(markMaxMs: number): Promise<FastifyInstance> {
  const app = fastify();
  app.decorateRequest("caller", null);
  app.addHook("onRequest", async (request) => {
    request.caller = { principal: principal() } as Caller;
  });
  setErrors(app, testLog);
  await keepAnswers(app, { bus, serviceKey: infra.serviceKey, log: testLog, markMaxMs });
  const act = async (_request: unknown, reply: FastifyReply) => {
    done += 1;
    return change(reply);
  };
  app.post("/change", { config: { action: "admin/servers/write" } }, act);
  app.post("/plan", { config: { action: "admin/state/read" } }, act);
  app.post("/graphql", { config: { action: "own", reads: true } }, act);
  await app.ready();
  return app;
}

beforeAll(async () => {
  const { natsUrl: url, busPrefix: prefix } = infra;
  bus = await connectBus({ url, prefix, name: "test", log: testLog, signal: new AbortController().signal });
  api = await startApi(MARK_MAX_MS);
  other = await startApi(MARK_MAX_MS);
});
afterAll(async () => {
  await api.close();
  await other.close();
  await bus.jsm.streams.delete(`KV_${bus.subjects.keptAnswersBucket}`);
  await bus.drain();
});
beforeEach(() => {
  done = 0;
  change = async () => ({ done });
});

async function post(key: string, { at = api, path = "/change" } = {}) {
  const {
    statusCode: status,
    headers,
    body,
  } = await at.inject({
    method: "POST",
    url: path,
    headers: { "idempotency-key": key },
  });
  return { status, body, replayed: headers["idempotency-replayed"], retryAfter: Number(headers["retry-after"]) };
}

describe("a change with a key", () => {
  test("that takes longer than a mark holds is done once", async () => {
    const key = randomUUID();
    let finish = () => {};
    change = () => new Promise((resolve) => (finish = () => resolve({ done })));
    const first = post(key);
    await eventually(() => expect(done).toBe(1));
    const endMs = Date.now() + 2 * MARK_MAX_MS;
    while (Date.now() < endMs) expect(await post(key, { at: other })).toMatchObject({ status: 409, retryAfter: 1 });
    finish();
    expect((await first).status).toBe(200);
    expect(await post(key, { at: other })).toMatchObject({ status: 200, body: '{"done":1}', replayed: "true" });
    expect(done).toBe(1);
  });

  test.each(["unavailable", "deadline_exceeded", "outcome_unknown", "internal"] as const)(
    "that may have been done all the same is not repeated at once: %s",
    async (code) => {
      const key = randomUUID();
      change = async () => {
        throw new AppError(code, "no answer in time");
      };
      const brief = await startApi(100);
      const held = await startApi(60_000);
      expect((await post(key, { at: brief })).status).toBeGreaterThanOrEqual(500);
      const told = await post(key, { at: held });
      expect(told).toMatchObject({ status: 409, body: expect.stringContaining("is not known") });
      expect(told.retryAfter).toBeGreaterThan(1);
      expect(done).toBe(1);
      change = async () => ({ done });
      const again = () => post(key, { at: brief });
      await eventually(async () => expect(await again()).toMatchObject({ status: 200, body: '{"done":2}' }));
      await Promise.all([brief.close(), held.close()]);
    },
  );

  test("that was refused as too much can be sent again at once", async () => {
    const key = randomUUID();
    change = async () => {
      throw new AppError("overloaded", "later");
    };
    expect((await post(key)).status).toBe(429);
    change = async () => ({ done });
    expect(await post(key)).toMatchObject({ status: 200, replayed: undefined });
  });
});

test.each(["/plan", "/graphql"])("answers of reads are not kept: %s", async (path) => {
  const key = randomUUID();
  for (const body of ['{"done":1}', '{"done":2}'])
    expect(await post(key, { path })).toMatchObject({ status: 200, body, replayed: undefined });
  // Nor is the key taken.
  expect((await post(key)).status).toBe(200);
});

test("where no more can be kept, what would be is refused, and not done", async () => {
  // All that one principal may keep.
  const answer = "x".repeat(250 * 1024);
  change = async () => answer;
  let last = await post(randomUUID());
  for (let sent = 0; last.status === 200 && sent < 100; sent++) last = await post(randomUUID());
  expect(last).toMatchObject({ status: 429, retryAfter: 600 });
  const before = done;
  expect((await post(randomUUID())).status).toBe(429);
  expect(done).toBe(before);
});
