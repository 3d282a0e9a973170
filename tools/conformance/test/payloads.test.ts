import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FixtureProcess, startFixture } from "../src/fixture-process.ts";
import { askModern, openSession } from "./http-client.ts";
import { promptResults, resourceContents, suiteTools, toolResults } from "./payloads.ts";
import { type StdioClient, startLegacyStdio, startModernStdio } from "./stdio-client.ts";

type Ask = (method: string, params?: Record<string, unknown>) => Promise<any>;

/** What a modern result carries on top. */
function modernExtras(method: string, uri?: string): object {
  const cached = uri?.startsWith("test://static-") === true;
  return {
    resultType: "complete",
    _meta: { "io.modelcontextprotocol/serverInfo": expect.objectContaining({ name: "tollgate-conformance" }) },
    ...(method === "resources/read" &&
      (cached ? { ttlMs: 60_000, cacheScope: "public" } : { ttlMs: 0, cacheScope: "private" })),
  };
}

function expectPayloads(era: "legacy" | "modern", ask: () => Ask): void {
  const extras = (method: string, uri?: string): object => (era === "modern" ? modernExtras(method, uri) : {});

  test.each(toolResults)("%s", async (name, args, expected) => {
    const { result } = await ask()("tools/call", { name, arguments: args });
    expect(result).toStrictEqual({ ...expected, ...extras("tools/call") });
  });

  test.each(promptResults)("%s", async (name, args, expected) => {
    const { result } = await ask()("prompts/get", { name, arguments: args });
    expect(result).toStrictEqual({ ...expected, ...extras("prompts/get") });
  });

  test.each(resourceContents)("%s", async (uri, expected) => {
    const { result } = await ask()("resources/read", { uri });
    expect(result).toStrictEqual({ contents: [{ uri, ...expected }], ...extras("resources/read", uri) });
  });

  test("lists every tool of the suite, with what no revision knows", async () => {
    const { result } = await ask()("tools/list");
    expect(result.tools.map((tool: any) => tool.name)).toEqual(expect.arrayContaining([...suiteTools]));
    const echo = result.tools.find((tool: any) => tool.name === "test_echo_meta");
    expect(echo).toMatchObject({ "x-unknown": { kept: [1, 2.5, "three"] }, outputSchema: { type: "object" } });
    expect(result.nextCursor).toBeUndefined();
  });

  test("completes arguments of prompts and of resource templates", async () => {
    const prompt = { type: "ref/prompt", name: "test_prompt_with_arguments" };
    const first = await ask()("completion/complete", { ref: prompt, argument: { name: "arg1", value: "test" } });
    expect(first.result.completion).toEqual({ values: ["test-one", "test-two"], total: 2, hasMore: false });
    const second = await ask()("completion/complete", {
      ref: prompt,
      argument: { name: "arg2", value: "" },
      context: { arguments: { arg1: "a" } },
    });
    expect(second.result.completion.values).toEqual(["a-first", "a-second"]);
    const ref = { type: "ref/resource", uri: "test://template/{id}/data" };
    const third = await ask()("completion/complete", { ref, argument: { name: "id", value: "12" } });
    expect(third.result.completion.values).toEqual(["12", "123"]);
  });

  test("refuses what is not there", async () => {
    expect((await ask()("tools/call", { name: "nothing" })).error.code).toBe(-32602);
    expect((await ask()("prompts/get", { name: "nothing" })).error.code).toBe(-32602);
    const { error } = await ask()("resources/read", { uri: "test://nothing" });
    expect(error).toMatchObject({ code: -32602, data: { uri: "test://nothing" } });
    expect((await ask()("tools/list", { cursor: "nowhere" })).error.code).toBe(-32602);
  });
}

describe("the fixtures answer exactly what the suite describes", () => {
  let legacyStdio: StdioClient;
  let modernStdio: StdioClient;
  let http: FixtureProcess;
  let legacyHttp: Ask;
  let modernHttp: Ask;

  beforeAll(async () => {
    http = await startFixture("--era", "both", "--transport", "http");
    legacyStdio = await startLegacyStdio();
    modernStdio = startModernStdio();
    const session = await openSession(http.url);
    legacyHttp = async (method, params) => (await session.request(method, params)).last;
    modernHttp = (method, params) => askModern(http.url, method, params);
  });

  afterAll(async () => {
    await Promise.all([http.stop(), legacyStdio.stop(), modernStdio.stop()]);
  });

  describe("stdio, legacy", () => {
    expectPayloads("legacy", () => legacyStdio.request);
  });
  describe("stdio, modern", () => {
    expectPayloads("modern", () => modernStdio.request);
  });
  describe("HTTP, legacy", () => {
    expectPayloads("legacy", () => legacyHttp);
  });
  describe("HTTP, modern", () => {
    expectPayloads("modern", () => modernHttp);
  });
});
