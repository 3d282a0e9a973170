import { expect, test } from "vitest";
import { registryServer, snapshotOf } from "../../test/sample-catalogue.ts";
import { type Scope, toCatalogue } from "./catalogue.ts";
import { discoverResult, identityOf, initializeResult } from "./identity.ts";

const TASKS = "io.modelcontextprotocol/tasks";
const catalogue = toCatalogue(
  snapshotOf([
    registryServer({
      id: "old",
      capabilities: JSON.stringify({
        prompts: {},
        resources: { subscribe: true },
        logging: {},
        tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } },
        experimental: { a: { x: 1 } },
      }),
      instructions: "Be old.",
      serverInfo: '{"name":"old-server","version":"1"}',
    }),
    registryServer({
      id: "new",
      era: "modern",
      capabilities: JSON.stringify({
        completions: {},
        resources: {},
        extensions: { [TASKS]: {}, "io.modelcontextprotocol/ui": { mimeTypes: ["text/html"] } },
        experimental: { b: {} },
      }),
      instructions: "Be new.",
    }),
    registryServer({ id: "silent" }),
  ]),
);
const ALL: Scope = { group: undefined, server: undefined };
const of = (scope: Scope, era: "legacy" | "modern") => identityOf(catalogue, scope, era);

test("one server's route is that server", () => {
  expect(of({ group: "demo", server: "old" }, "legacy")).toEqual({
    capabilities: {
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { subscribe: true, listChanged: true },
      logging: {},
      tasks: { cancel: {}, requests: { tools: { call: {} } } },
      experimental: { a: { x: 1 } },
    },
    serverInfo: { name: "old-server", version: "1" },
    instructions: "Be old.",
  });
});

test("a route of several can what any of them can", () => {
  const { capabilities, serverInfo, instructions } = of(ALL, "legacy");
  expect(capabilities).toMatchObject({ prompts: {}, completions: {}, experimental: { a: { x: 1 }, b: {} } });
  expect(capabilities["resources"]).toEqual({ subscribe: true, listChanged: true });
  expect(serverInfo).toMatchObject({ name: "tollgate" });
  expect(instructions).toBe("# old\nBe old.\n\n# new\nBe new.");
});

test("tasks are offered to clients of their own era only", () => {
  expect(of(ALL, "modern").capabilities).not.toHaveProperty("tasks");
  expect(of(ALL, "modern").capabilities["extensions"]).toHaveProperty([TASKS]);
  expect(of(ALL, "legacy").capabilities["extensions"]).not.toHaveProperty([TASKS]);
  expect(of({ group: "demo", server: "new" }, "legacy").capabilities).not.toHaveProperty("tasks");
});

test("a server that has said nothing yet has tools, and the gateway's name", () => {
  const identity = of({ group: "demo", server: "silent" }, "legacy");
  expect(identity.capabilities).toEqual({ tools: { listChanged: true } });
  expect(identity.serverInfo).toMatchObject({ name: "tollgate" });
  expect(JSON.parse(initializeResult(identity, "2025-06-18"))).toEqual({
    protocolVersion: "2025-06-18",
    capabilities: { tools: { listChanged: true } },
    serverInfo: identity.serverInfo,
  });
});

test("what is discovered has what 2026-07-28 demands", () => {
  expect(JSON.parse(discoverResult(of({ group: "demo", server: "old" }, "modern")))).toMatchObject({
    supportedVersions: ["2026-07-28"],
    resultType: "complete",
    ttlMs: 0,
    cacheScope: "private",
    instructions: "Be old.",
    _meta: { "io.modelcontextprotocol/serverInfo": { name: "old-server" } },
  });
});
