import { openLife } from "@tollgate/service";
import { eventually, legacyClient, postMcp, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AnsweringRunner, startRunner } from "./answering-runner.ts";
import { startSurroundings } from "./running-gateway.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let urls: string[];
let runner: AnsweringRunner;

beforeAll(async () => {
  const around = await startSurroundings(infra, life);
  runner = await startRunner(infra, { group: "demo", life });
  const gateways = await Promise.all([around.startGateway(), around.startGateway()]);
  urls = gateways.map(({ httpPort }) => `http://127.0.0.1:${httpPort}`);
  for (const url of urls) await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200));
});
afterAll(() => life.close());

const ask = (replica: number, session: string, options: { token?: string; message?: object } = {}) => {
  const { token = "token", message = { id: 1, method: "ping" } } = options;
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  return postMcp({ url: `${urls[replica]}/mcp`, token }, body, { headers: { "mcp-session-id": session } });
};
const end = (replica: number, session: string, token = "token") =>
  fetch(`${urls[replica]}/mcp`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${token}`, "mcp-session-id": session },
  });

test("a session that one replica began is served by the other, to its owner only, until either ends it", async () => {
  const { session } = await legacyClient({ url: `${urls[0]}/mcp`, token: "token" });
  for (const replica of [0, 1])
    expect((await ask(replica, session)).last).toEqual({ jsonrpc: "2.0", id: 1, result: {} });
  for (const replica of [0, 1]) {
    expect((await ask(replica, session, { token: "rival-token" })).status).toBe(404);
    expect((await end(replica, session, "rival-token")).status).toBe(404);
  }
  expect((await end(1, session)).status).toBe(200);
  expect((await ask(1, session)).status).toBe(404);
  // The first had it in memory; a watch takes it from there.
  await eventually(async () => expect((await ask(0, session)).status).toBe(404));
  expect((await end(0, session)).status).toBe(404);
});

test("answers find the replica that waits for them, also when both have the same request id under way", async () => {
  const { session } = await legacyClient({ url: `${urls[0]}/mcp`, token: "token" });
  runner.onCall = () => undefined;
  const message = { id: "same", method: "tools/call", params: { name: "one__echo" } };
  const waiting = [ask(0, session, { message }), ask(1, session, { message })];
  await eventually(() => expect(runner.calls).toHaveLength(2));
  expect(new Set(runner.calls.map(({ envelope }) => envelope.gateway)).size).toBe(2);
  for (const call of runner.calls) runner.answer(call, { from: call.envelope.gateway });
  const answers = (await Promise.all(waiting)).map(({ last }) => last.result.from);
  expect(new Set(answers).size).toBe(2);
});

test.each([["no such session"], ["../../x"], ["x".repeat(5_000)], ["a.b"], ["*"], [">"]])(
  "%.20j is no session",
  async (id) => {
    expect((await ask(0, id)).status).toBe(404);
    expect((await end(0, id)).status).toBe(404);
  },
);
