import type { registryV1 } from "@tollgate/contracts";
import { eventually, modernClient } from "@tollgate/testkit";
import { beforeEach, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { refusalsOn } from "./running-gateway.ts";
import { registryServer, registryTool } from "./sample-catalogue.ts";

const installation = useInstallation();
const NEVER = { concurrency: 0, callTimeoutMs: 0, cachedResultMs: 0, risk: "", fallbacks: [] };
const RULES: registryV1.ToolRule[] = [
  {
    ...NEVER,
    tool: "echo",
    fallbacks: [
      { server: "two", tool: "echo" },
      { server: "three", tool: "safe" },
    ],
  },
  { ...NEVER, tool: "safe", cachedResultMs: 60_000, risk: "" },
];
let marks = 0;

/** The gateway has heard of it when this settles. */
async function setServers(one: Partial<registryV1.Server> = {}): Promise<void> {
  const mark = `mark-${(marks += 1)}`;
  const tools = [registryTool("echo"), registryTool("safe", { retrySafe: true }), registryTool("plain")];
  const shown = registryServer({ id: "shown", tools: [registryTool(mark)] });
  const others = ["two", "three"].map((id) => registryServer({ id, tools }));
  installation.around.setServers([registryServer({ id: "one", tools, toolRules: RULES, ...one }), ...others, shown]);
  await eventually(async () => {
    const { last } = await modernClient({ url: installation.url(), token: "token" }).request("tools/list");
    expect(JSON.stringify(last.result)).toContain(`shown__${mark}`);
  });
}

/** A caller for whom nothing has been decided yet. */
function newCaller(): (tool: string, path?: string) => Promise<any> {
  const id = `caller-${(marks += 1)}`;
  installation.around.policy.tokens.set(id, principal({ id }));
  return async (tool, path = "/mcp") =>
    (await modernClient({ url: installation.url(path), token: id }).request("tools/call", { name: tool })).last;
}

const envelope = () => installation.runner.calls.at(-1)!.envelope;

beforeEach(() => setServers());

test("tools that may answer in a call's place go along, decided with it, remembered like it", async () => {
  const { policy } = installation.around;
  const call = newCaller();
  const before = policy.asked.decide;
  for (let times = 0; times < 3; times++) expect((await call("one__echo")).result).toBeDefined();
  expect(policy.asked.decide).toBe(before + 1);
  const decision = envelope().facts.decision;
  expect(decision).toMatchObject({ allow: true, policies: ["all"] });
  expect(envelope()).toMatchObject({ retrySafe: false, facts: { server: "one", tool: "echo" } });
  expect(envelope().fallbacks).toEqual([
    { server: "two", tool: "echo", retrySafe: false, decision },
    { server: "three", tool: "safe", retrySafe: true, decision },
  ]);
  // Also where the client's route does not reach them.
  await call("echo", "/mcp/demo/one");
  expect(envelope().fallbacks).toHaveLength(2);
});

test("one that the caller may not use is not offered, and is no refusal", async () => {
  installation.around.policy.allow = (_request, { server }) => server !== "two";
  expect((await newCaller()("one__echo")).result).toBeDefined();
  expect(envelope().fallbacks).toMatchObject([{ server: "three" }]);
  expect(await refusalsOn(installation.runner)).toEqual([]);
});

test("they do not stand in for a tool that the caller may not use", async () => {
  installation.around.policy.allow = (_request, { server }) => server !== "one";
  expect((await newCaller()("one__echo")).error).toMatchObject({ code: -32003 });
  expect(installation.runner.calls).toEqual([]);
});

test("a tool without any says nothing of them", async () => {
  for (const tool of ["one__plain", "one__safe", "two__echo"]) {
    await newCaller()(tool);
    expect(envelope()).not.toHaveProperty("fallbacks");
  }
});

test("while its server is unavailable a call is let in only when something else may answer", async () => {
  await setServers({ status: "unavailable", reason: "it ended" });
  const call = newCaller();
  expect((await call("one__echo")).result).toBeDefined();
  expect(envelope()).toMatchObject({ facts: { server: "one" }, fallbacks: [{ server: "two" }, { server: "three" }] });
  // Runners may have kept a result.
  expect((await call("one__safe")).result).toBeDefined();
  expect(installation.runner.calls).toHaveLength(2);

  const unavailable = { code: -32008, message: "server one is unavailable: it ended" };
  expect((await call("one__plain")).error).toMatchObject(unavailable);
  installation.around.policy.allow = (_request, { server }) => server === "one";
  expect((await newCaller()("one__echo")).error).toMatchObject(unavailable);
  expect(installation.runner.calls).toHaveLength(2);
});
