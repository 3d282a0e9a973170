import type { registryV1 } from "@tollgate/contracts";
import { eventually, modernClient } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { registryItem, registryServer, registryTool } from "./sample-catalogue.ts";

const installation = useInstallation();
const client = () => modernClient({ url: installation.url(), token: "token" });

/** The registry's word on how the server's processes are kept apart; the gateway has heard it when this settles. */
async function report(isolation: string, fields: Partial<registryV1.Server> = {}): Promise<void> {
  // Another name each time shows that the snapshot is the new one.
  const mark = `mark-${(marks += 1)}`;
  const offer = {
    tools: [registryTool("echo"), registryTool(mark)],
    prompts: [registryItem("greet", { name: "greet" })],
    resources: [registryItem("file:///a", { uri: "file:///a" })],
    resourceTemplates: [registryItem("file:///{p}", { uriTemplate: "file:///{p}" })],
    capabilities: '{"prompts":{},"resources":{}}',
  };
  const bare = registryServer({ id: "two", tools: [registryTool(mark)], isolation: "none" });
  installation.around.setServers([registryServer({ id: "one", isolation, ...offer, ...fields }), bare]);
  await eventually(async () => {
    const { last } = await modernClient({ url: installation.url(), token: "free" }).request("tools/list");
    expect(last.result.tools.map(({ name }: { name: string }) => name)).toContain(`two__${mark}`);
  });
}
let marks = 0;

async function namesIn(method: string, member: string, key: string): Promise<string[]> {
  const { last } = await client().request(method);
  return last.result[member].map((item: Record<string, string>) => item[key]);
}

/** For everybody but one, as a policy would have it that requires a sandbox. */
beforeEach(() => {
  const { policy } = installation.around;
  policy.tokens.set("free", principal({ id: "free" }));
  policy.allow = (request, { sandboxed }) => sandboxed || request.principal?.id === "free";
  policy.change();
});

describe("under a policy that requires a sandbox", () => {
  test.each(["", "none", "prlimit", "Bubblewrap"])(
    "a server with isolation %j is neither listed nor called",
    async (isolation) => {
      await report(isolation);
      expect(await namesIn("tools/list", "tools", "name")).toEqual([]);
      expect(await namesIn("prompts/list", "prompts", "name")).toEqual([]);
      expect(await namesIn("resources/list", "resources", "uri")).toEqual([]);
      expect(await namesIn("resources/templates/list", "resourceTemplates", "uriTemplate")).toEqual([]);
      const { last } = await client().request("tools/call", { name: "one__echo" });
      expect(last.error).toMatchObject({ code: -32003, message: expect.stringContaining("one__echo") });
      expect(installation.runner.calls).toEqual([]);
    },
  );

  test.each(["bubblewrap", "container"])("a server in a %s is", async (isolation) => {
    await report(isolation);
    expect(await namesIn("tools/list", "tools", "name")).toEqual(["one__echo", expect.stringMatching(/^one__mark/)]);
    expect(await namesIn("prompts/list", "prompts", "name")).toEqual(["one__greet"]);
    expect(await namesIn("resources/list", "resources", "uri")).toHaveLength(1);
    expect(await namesIn("resources/templates/list", "resourceTemplates", "uriTemplate")).toHaveLength(1);
    const { last } = await client().request("tools/call", { name: "one__echo" });
    expect(last.error).toBeUndefined();
    expect(installation.runner.calls).toHaveLength(1);
  });

  test("what was allowed is refused once a runner reports it bare, though no policy has changed", async () => {
    const call = async () => (await client().request("tools/call", { name: "one__echo" })).last;
    await report("bubblewrap");
    expect((await call()).error).toBeUndefined();
    await report("none");
    expect((await call()).error).toMatchObject({ code: -32003 });
    expect(await namesIn("tools/list", "tools", "name")).toEqual([]);
    await report("bubblewrap");
    expect((await call()).error).toBeUndefined();
  });
});

describe("the API", () => {
  const body = { effect: "deny", principals: ["*"], actions: ["tools/call"], resources: ["*"] };

  async function api(method: string, path: string, sent?: object) {
    const { policy } = installation.around;
    policy.tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
    const headers = { authorization: "Bearer admin", "content-type": "application/json" };
    const response = await fetch(installation.url(`/api/v1${path}`), {
      method,
      headers,
      ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
    });
    return { status: response.status, answer: (await response.json()) as any };
  }

  beforeEach(() => {
    installation.around.policy.put.length = 0;
  });

  test.each<[{ conditions?: object }, string]>([
    [{}, ""],
    [{ conditions: {} }, ""],
    [{ conditions: { require_sandbox: true } }, '{"require_sandbox":true}'],
  ])("takes %j", async (more, conditions) => {
    const { status, answer } = await api("PUT", "/policies/no-bare", { ...body, ...more });
    expect([status, answer]).toMatchObject([200, { ...body, id: "no-bare", conditions: more.conditions ?? {} }]);
    expect(installation.around.policy.put).toMatchObject([{ ...body, id: "no-bare", conditions }]);
    expect((await api("GET", "/policies")).answer.items).toEqual([answer]);
  });

  // Policy knows them one by one.
  test.each([[[]], ["require_sandbox"], [true], [null]])(
    "refuses the conditions %j, which are none",
    async (conditions) => {
      const { status, answer } = await api("PUT", "/policies/no-bare", { ...body, conditions });
      expect([status, answer]).toMatchObject([400, { detail: expect.stringContaining("conditions") }]);
      expect(installation.around.policy.put).toEqual([]);
    },
  );
});
