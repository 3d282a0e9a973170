import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

// A tool whose server hangs, through the whole system: what answers instead, to whom, and what the audit says of it.

const infra = useInfrastructure();
const server = `group: demo, type: node, command: ${fixtureServer}, health_check_interval: 3600`;
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - id: main
    ${server.replaceAll(", ", "\n    ")}
    tools:
      echo: { call_timeout: 0.5, fallback: [{ server: reserved }, { server: spare }], cached_result: 600 }
  - { id: spare, ${server} }
  - { id: reserved, ${server} }
policies:
  - { name: caller, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["main:*", "spare:*"] }
  - { name: other, effect: allow, principals: ["token:other"], actions: ["tools/call"], resources: ["main:*"] }
`,
});
const stopped: number[] = [];
afterAll(() => {
  for (const pid of stopped) process.kill(pid, "SIGCONT");
});

async function call(tool: string, args: object, token = system.token): Promise<any> {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token });
  return (await client.request("tools/call", { name: tool, arguments: args })).last;
}

async function newestEvent(principal: string): Promise<any> {
  return eventually(async () => {
    const url = `${system.gatewayUrl}/api/v1/audit/events?kind=call&limit=1000`;
    const response = await fetch(url, { headers: { authorization: `Bearer ${system.adminToken}` } });
    const { items } = (await response.json()) as { items: any[] };
    const found = items.filter((each) => each.principal === principal && each.fallback !== undefined);
    expect(found.length).toBeGreaterThan(0);
    return found[0];
  });
}

async function hang(token: string): Promise<void> {
  const { pid } = JSON.parse((await call("main__env", {}, token)).result.content[0].text);
  stopped.push(pid);
  process.kill(pid, "SIGSTOP");
}

const other = () => `${system.token}_other`;

beforeAll(async () => {
  for (const token of [system.token, other()])
    await eventually(async () =>
      expect((await call("main__echo", { message: "kept" }, token)).result?.content[0].text).toBe("kept"),
    );
  await eventually(async () =>
    expect((await call("spare__echo", { message: "ready" })).result?.content[0].text).toBe("ready"),
  );
});

test("the fallback that the caller may use answers, and its decision is in the audit", async () => {
  await hang(system.token);
  const { result } = await call("main__echo", { message: "kept" });
  expect(result).toMatchObject({
    content: [{ text: "kept" }],
    _meta: { "tollgate/fallback": { server: "spare", reason: expect.stringContaining("tools.echo.call_timeout") } },
  });
  expect(await newestEvent("caller")).toMatchObject({
    outcome: "ok",
    server: "main",
    attempts: 2,
    fallback: { server: "spare", tool: "echo", decision: { allow: true, policies: ["caller"] } },
  });
});

test("whoever may use none of them gets the earlier result, and no other one", async () => {
  await hang(other());
  const { result } = await call("main__echo", { message: "kept" }, other());
  expect(result).toMatchObject({ content: [{ text: "kept" }], _meta: { "tollgate/cached": expect.anything() } });
  expect(await newestEvent("other")).toMatchObject({
    outcome: "ok",
    fallback: { cachedAt: Date.parse(result._meta["tollgate/cached"].at) },
  });
  const { error } = await call("main__echo", { message: "new" }, other());
  expect(error.message).toContain("did not answer within 0.5 s");
});
