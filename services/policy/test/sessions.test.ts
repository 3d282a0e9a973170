import { callUnary } from "@tollgate/service";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { watchAs } from "./gateway.ts";
import { runPolicy, type RunningPolicy } from "./running-policy.ts";

const infra = useInfrastructure();
let policy: RunningPolicy;
const unary = () => ({ metadata: policy.metadata, timeoutMs: 10_000, service: "policy" });
const end = (session: string, actor = "admin") =>
  callUnary(policy.client.endSession.bind(policy.client), { session, actor, tenant: "acme" }, unary());

beforeEach(async () => {
  policy = await runPolicy(infra);
});
afterEach(() => policy.close());

test("an ended session is told to every gateway, with the revision from which on it has ended", async () => {
  const gateway = watchAs(policy, "g1");
  await eventually(() => expect(gateway.messages.length).toBeGreaterThan(0));
  const first = await end("session-0000000001");
  const told = (revision: bigint) => gateway.messages.find((each) => each.revision === revision)!.endedSessions;
  expect(told(first.revision)).toEqual(["session-0000000001"]);
  const second = await end("session-0000000002");
  expect(told(second.revision)).toEqual(["session-0000000002", "session-0000000001"]);
  expect((await end("session-0000000001")).revision).toBe(second.revision);
  // Once with each revision.
  await eventually(() => expect(gateway.messages.at(-1)!.endedSessions).toEqual([]));
  gateway.leave();
});

test("it is told after a restart as well", async () => {
  await end("session-of-before-1");
  await policy.close();
  policy = await runPolicy(infra);
  const gateway = watchAs(policy, "g1");
  await eventually(() => expect(gateway.messages[0]?.endedSessions).toContain("session-of-before-1"));
  gateway.leave();
});

test.each([
  ["", "admin"],
  ["a b", "admin"],
  ["x".repeat(129), "admin"],
  ["session-0000000003", ""],
])("%j cannot be ended by %j", async (session, actor) => {
  await expect(end(session, actor)).rejects.toMatchObject({ code: "invalid_argument" });
});
