import { eventually } from "@tollgate/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { OpaEngine } from "../src/clients/opa-engine.ts";
import { openOpaRest } from "../src/clients/opa-rest.ts";
import { document, startOpaServer, type TestOpaServer } from "./opa-server.ts";

const LONG_MS = 20_000;
const TOKEN = "opa-token-0123456789";
let server: TestOpaServer;
let opa: OpaEngine;

beforeEach(async () => {
  server = await startOpaServer();
  opa = openOpaRest({ url: server.url, path: "tollgate/allow", token: TOKEN });
});
afterEach(async () => {
  opa.close();
  await server.close();
});

const ask = (input: unknown = {}, ms = LONG_MS) => opa.ask(JSON.stringify(input), AbortSignal.timeout(ms));

test("the rule's document is asked for, with the input and the token", async () => {
  server.answers(document({ result: true }));
  expect(await ask({ principal: { id: "dev" } })).toEqual({ kind: "allow" });
  expect(server.asked).toEqual([
    { path: "/v1/data/tollgate/allow", authorization: `Bearer ${TOKEN}`, input: { principal: { id: "dev" } } },
  ]);
});

test.each([
  [{ result: true }, { kind: "allow" }],
  [{ result: { allow: true, reason: "whatever" } }, { kind: "allow" }],
  [{ result: false }, { kind: "deny", reason: "" }],
  [{ result: { allow: false } }, { kind: "deny", reason: "" }],
  [
    { result: { allow: false, reason: "out of\nhours \u001b[31m\u202e" } },
    { kind: "deny", reason: "out of hours  [31m" },
  ],
  [{ result: { allow: false, reason: 7 } }, { kind: "deny", reason: "" }],
  [{}, { kind: "deny", reason: "its policy says nothing of this" }],
  [
    { decision_id: "1", warning: {} },
    { kind: "deny", reason: "its policy says nothing of this" },
  ],
])("%j means %j", async (answer, expected) => {
  server.answers(document(answer));
  expect(await ask()).toEqual(expected);
});

test.each([null, "true", 1, [], [true], {}, { allow: "true" }, { allow: 1 }, { reason: "x" }])(
  "a result of %j is not understood",
  async (result) => {
    server.answers(document({ result }));
    expect(await ask()).toEqual({ kind: "undecided", reason: expect.stringContaining("neither true or false") });
  },
);

test.each<[string, Parameters<TestOpaServer["answers"]>[0], string]>([
  ["an error", document({ code: "internal_error" }, 500), "OPA answered with status 500"],
  ["a mistake", document({ code: "invalid_parameter" }, 400), "OPA answered with status 400"],
  ["a token that is wrong", document({ code: "unauthorized" }, 401), "OPA answered with status 401"],
  ["no such route", document({}, 404), "OPA answered with status 404"],
  [
    "a redirect",
    (response) => void response.writeHead(307, { location: "/elsewhere" }).end(),
    "OPA answered with status 307",
  ],
  ["no JSON", (response) => void response.end("true"), "OPA's answer is not what its API promises"],
  ["half of it", (response) => void response.end('{"result": tr'), "OPA's answer is not what its API promises"],
  ["a list", (response) => void response.end('[{"result": true}]'), "OPA's answer is not what its API promises"],
  [
    "more than there should be",
    document({ result: true, padding: "x".repeat(1024 * 1024) }),
    "OPA's answer is longer than 1048576 bytes",
  ],
  ["a connection that breaks", (response) => void response.destroy(), "OPA cannot be reached"],
])("%s is no answer", async (_name, answer, message) => {
  server.answers(answer);
  await expect(ask()).rejects.toThrow(new RegExp(`^${message}$`));
  expect(server.asked).toHaveLength(1);
});

test("one that is late is not waited for, also where its answer has begun", async () => {
  server.answers(() => undefined);
  await expect(ask({}, 100)).rejects.toThrow("OPA did not answer in time");
  server.answers((response) => void response.writeHead(200).write('{"result":'));
  await expect(ask({}, 100)).rejects.toThrow("OPA did not answer in time");
});

test.each([
  { restMs: 3_600_000, message: "OPA did not answer lately", asked: 5 },
  { restMs: 0, message: "OPA answered with status 503", asked: 6 },
])("one that is away is left alone for $restMs ms after five failures in a row", async ({ restMs, message, asked }) => {
  opa = openOpaRest({ url: server.url, path: "tollgate/allow", token: undefined, restMs });
  server.answers(document({}, 503));
  for (let failure = 1; failure <= 5; failure += 1) await expect(ask()).rejects.toThrow("status 503");
  await expect(ask()).rejects.toThrow(message);
  expect(server.asked).toHaveLength(asked);
});

test("an answer in between begins the count anew, and one that is back is asked again", async () => {
  const statuses = [503, 503, 503, 503, 200, 503, 503, 503, 503, 503];
  server.answers((response, question) => {
    const status = statuses[server.asked.length - 1] ?? 200;
    document({ result: true }, status)(response, question);
  });
  for (const status of statuses) {
    const settled = await ask().then(({ kind }) => kind, String);
    expect(settled).toContain(status === 200 ? "allow" : "OPA answered with status 503");
  }
  await eventually(async () => expect(await ask()).toEqual({ kind: "allow" }));
});

test("what a caller can bring about by what it sends shuts nobody else out", async () => {
  server.answers((response, { input }) => document({ result: true }, input.evil ? 500 : 200)(response, undefined!));
  for (let failure = 1; failure <= 20; failure += 1) await expect(ask({ evil: true })).rejects.toThrow("status 500");
  expect(await ask()).toEqual({ kind: "allow" });
});

test("64 at once, the others wait; too many are refused", async () => {
  let open = 0;
  let most = 0;
  const held: (() => void)[] = [];
  server.answers((response, question) => {
    most = Math.max(most, (open += 1));
    held.push(() => ((open -= 1), document({ result: true })(response, question)));
  });
  const asked = Array.from({ length: 64 + 1_000 }, () => ask().then(({ kind }) => kind));
  await eventually(() => expect(open).toBe(64));
  await expect(ask()).rejects.toThrow("too many wait for OPA");
  server.answers((response, question) => document({ result: true })(response, question));
  for (const release of held) release();
  expect(new Set(await Promise.all(asked))).toEqual(new Set(["allow"]));
  expect(most).toBe(64);
});

test("an OPA that is not there cannot be reached", async () => {
  await server.close();
  await expect(ask()).rejects.toThrow(/^OPA cannot be reached$/);
  server = await startOpaServer();
});
