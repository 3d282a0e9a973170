import { registryV1 } from "@tollgate/contracts";
import { useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Catalogue,
  hashOf,
  runRegistry,
  type RunningRegistry,
  SECRET,
  serverIn,
  toolNames,
  TWO_GROUPS,
} from "./running-registry.ts";

/** May be listed as either. */
const BOTH = '{"uri":"a:2","uriTemplate":"a:2"}';

const infra = useInfrastructure();
let registry: RunningRegistry;
let hash: string;

beforeEach(async () => {
  registry = await runRegistry(infra);
  hash = hashOf(await registry.watchAssignments().until(() => undefined), "notes");
});
afterEach(() => registry.close());

describe("a report", () => {
  test("reaches an open watch, definitions byte for byte", async () => {
    const catalogue = registry.watchCatalogue();
    await catalogue.until(() => undefined);
    const definition =
      '{ "name":"read", "inputSchema":{"type":"object"},\n "x-new":[1.0,"\\u0000é"], "annotations":{"readOnlyHint":true} }';
    const revision = await registry.report({
      serverId: "notes",
      specHash: hash,
      status: "ready",
      era: "modern",
      serverInfo: '{"name":"notes","version":"1.2.3"}',
      toolDefinitions: [definition, '{"name":"write","inputSchema":{}}'],
    });
    const last = await catalogue.until((each) => expect(each.revision).toBe(revision));
    const server = serverIn(last, "notes");
    expect(server).toMatchObject({
      status: "ready",
      reason: "",
      era: "modern",
      serverInfo: '{"name":"notes","version":"1.2.3"}',
    });
    expect(server.tools).toMatchObject([
      { name: "read", definition, hash: expect.stringMatching(/^[0-9a-f]{64}$/), retrySafe: true },
      { name: "write", retrySafe: false },
    ]);
    expect(Math.abs(Number(server.reportedAtMs) - Date.now())).toBeLessThan(60_000);
  });

  test("tells of prompts, resources and templates, and of the server itself, byte for byte", async () => {
    const catalogue = registry.watchCatalogue();
    const offer = {
      toolDefinitions: ['{"name":"same","inputSchema":{}}'],
      promptDefinitions: ['{ "name":"same", "arguments":[{"name":"a","x":1.0}] }', '{"name":"greet"}'],
      resourceDefinitions: ['{"uri":"test://b?x=\\u00e9","size":1e3}', '{"uri":"test://a"}'],
      resourceTemplateDefinitions: ['{"uriTemplate":"test://{id}/data","name":"t"}'],
    };
    const told = {
      protocol: "2025-11-25",
      capabilities: '{ "tools":{}, "x-later":[1.0] }',
      instructions: 'Say "please".\n\u{1f642}',
    };
    const revision = await registry.report({ serverId: "notes", specHash: hash, status: "ready", ...told, ...offer });
    const server = serverIn(await catalogue.until((each) => expect(each.revision).toBe(revision)), "notes");
    expect(server).toMatchObject(told);
    const itemsOf = (items: registryV1.Item[]) => items.map(({ key, definition }) => [key, definition]);
    expect(itemsOf(server.prompts)).toEqual([
      ["same", offer.promptDefinitions[0]],
      ["greet", offer.promptDefinitions[1]],
    ]);
    expect(itemsOf(server.resources)).toEqual([
      ["test://b?x=é", offer.resourceDefinitions[0]],
      ["test://a", offer.resourceDefinitions[1]],
    ]);
    expect(itemsOf(server.resourceTemplates)).toEqual([["test://{id}/data", offer.resourceTemplateDefinitions[0]]]);
    for (const { hash: itemHash } of [...server.prompts, ...server.resources, ...server.resourceTemplates]) {
      expect(itemHash).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(toolNames({ ...catalogue.received.at(-1)! }, "notes")).toEqual(["same"]);
    const metrics = await (await fetch(`http://127.0.0.1:${registry.httpPort}/metrics`)).text();
    for (const line of ['{kind="tool"} 1', '{kind="prompt"} 2', '{kind="resource"} 2', '{kind="resource_template"} 1'])
      expect(metrics).toContain(`tollgate_registry_items${line}\n`);

    await registry.report({ serverId: "notes", specHash: hash, status: "unavailable", reason: "down" });
    const down = await catalogue.until((each) => expect(serverIn(each, "notes").status).toBe("unavailable"));
    expect(serverIn(down, "notes")).toEqual({
      ...server,
      status: "unavailable",
      reason: "down",
      reportedAtMs: expect.anything(),
    });
  });

  test("says how the processes are kept; an unavailable server keeps it, one of another spec does not", async () => {
    const catalogue = registry.watchCatalogue();
    const keptIn = (last: Catalogue) => {
      const { status, isolation, limitsBy } = serverIn(last, "notes");
      return { status, isolation, limitsBy };
    };
    const until = (expected: object) => catalogue.until((last) => expect(keptIn(last)).toEqual(expected));
    const level = { isolation: "bubblewrap", limitsBy: "cgroup" };
    await registry.report({ serverId: "notes", specHash: hash, status: "ready", ...level });
    await until({ status: "ready", ...level });
    const bare = { isolation: "none", limitsBy: "prlimit" };
    await registry.report({ serverId: "notes", specHash: hash, status: "unavailable", reason: "down", ...bare });
    await until({ status: "unavailable", ...level });
    await registry.report({ serverId: "notes", specHash: hash, status: "ready", ...bare });
    await until({ status: "ready", ...bare });
    await registry.report({ serverId: "notes", specHash: hash, status: "ready", ...level });
    await until({ status: "ready", ...level });
    await registry.writeFile(
      TWO_GROUPS.replace("startup_timeout: 5", "startup_timeout: 5\n    sandbox: { mode: off }"),
    );
    await until({ status: "pending", isolation: "", limitsBy: "" });
  });

  test("with nothing new moves no revision", async () => {
    const first = await registry.reportTools("notes", ["a", "b"]);
    expect(await registry.reportTools("notes", ["a", "b"])).toBe(first);
    expect(await registry.reportTools("notes", ["b", "a"])).toBe(first + 1n);
  });

  test.each<[string, Partial<registryV1.ReportServerRequest>]>([
    ["a prompt", { promptDefinitions: ['{"name":"p"}'] }],
    ["the order of resources", { resourceDefinitions: [BOTH, '{"uri":"a:1"}'] }],
    ["a template for a resource", { resourceDefinitions: ['{"uri":"a:1"}'], resourceTemplateDefinitions: [BOTH] }],
    ["capabilities", { capabilities: "{}" }],
    ["instructions", { instructions: "new" }],
    ["protocol", { protocol: "2026-07-28" }],
    ["isolation", { isolation: "bubblewrap" }],
    ["limits_by", { limitsBy: "cgroup" }],
  ])("with another part moves the revision: %s", async (_name, part) => {
    const known = { serverId: "notes", specHash: hash, status: "ready", protocol: "2025-11-25" };
    const base = { ...known, resourceDefinitions: ['{"uri":"a:1"}', BOTH] };
    const first = await registry.report(base);
    expect(await registry.report(base)).toBe(first);
    expect(await registry.report({ ...base, ...part })).toBe(first + 1n);
    expect(await registry.report({ ...base, ...part })).toBe(first + 1n);
  });

  test("of an unavailable server says why, keeps its tools and hides secrets", async () => {
    const catalogue = registry.watchCatalogue();
    await registry.reportTools("notes", ["a"]);
    const reason = `exit code 1: bad token ${SECRET}\0`;
    const revision = await registry.report({ serverId: "notes", specHash: hash, status: "unavailable", reason });
    const down = await catalogue.until((last) => expect(last.revision).toBe(revision));
    expect(serverIn(down, "notes")).toMatchObject({
      status: "unavailable",
      reason: "exit code 1: bad token [secret]",
      era: "legacy",
    });
    expect(toolNames(down, "notes")).toEqual(["a"]);
    expect(await registry.report({ serverId: "notes", specHash: hash, status: "unavailable", reason })).toBe(revision);

    await registry.reportTools("notes", []);
    const up = await catalogue.until((last) => expect(serverIn(last, "notes").status).toBe("ready"));
    expect(serverIn(up, "notes")).toMatchObject({ reason: "", tools: [] });
  });

  test.each([
    [{ serverId: "nobody" }, "not_found", 'there is no server "nobody"'],
    [{ specHash: "0".repeat(64) }, "failed_precondition", 'server "notes": the report is outdated'],
    [{ status: "fine" }, "invalid_argument", 'server "notes": status is "fine"'],
    [{ toolDefinitions: ["{}"] }, "invalid_argument", 'server "notes": tool 1: its name'],
    [
      { toolDefinitions: Array(2).fill('{"name":"t","inputSchema":{}}') },
      "invalid_argument",
      'another tool has the name "t" too',
    ],
    [{ promptDefinitions: ["{}"] }, "invalid_argument", 'server "notes": prompt 1: its name'],
    [
      { resourceDefinitions: Array(2).fill('{"uri":"a:b"}') },
      "invalid_argument",
      'another resource has the uri "a:b" too',
    ],
    [{ isolation: "a bubble" }, "invalid_argument", 'server "notes": isolation and limits_by have to be words'],
    [{ capabilities: "no" }, "invalid_argument", 'server "notes": capabilities is not a JSON object'],
  ])("that is wrong changes nothing: %.60j", async (parts, code, message) => {
    const before = await registry.reportTools("notes", ["kept"]);
    const wrong = registry.report({ serverId: "notes", specHash: hash, status: "ready", ...parts });
    await expect(wrong).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    const { revision } = await registry
      .watchCatalogue()
      .until((last) => expect(toolNames(last, "notes")).toEqual(["kept"]));
    expect(revision).toBe(before);
  });

  test("that would make the catalogue too large to send is refused", async () => {
    const others = hashOf(await registry.watchAssignments().until(() => undefined), "echo");
    const big = Array.from({ length: 60 }, (_, index) =>
      JSON.stringify({ name: `t${index}`, inputSchema: {}, uri: `t:${index}`, description: "x".repeat(250_000) }),
    );
    const report = (serverId: string, specHash: string) =>
      registry.report({
        serverId,
        specHash,
        status: "ready",
        toolDefinitions: big.slice(0, 20),
        resourceDefinitions: big.slice(20),
      });
    await report("notes", hash);
    // Three such servers fit, so the others are put in by file.
    const server = (id: string) => `  - { id: ${id}, group: demo, type: command, command: ${id} }\n`;
    await registry.writeFile(`groups: [{ id: demo }]\nmcp_servers:\n${["a", "b", "c", "d"].map(server).join("")}`);
    const work = await registry.watchAssignments().until((last) => hashOf(last, "d"));
    for (const id of ["a", "b", "c"]) await report(id, hashOf(work, id));
    await expect(report("d", hashOf(work, "d"))).rejects.toMatchObject({ code: "payload_too_large" });
    await expect(report("echo", others)).rejects.toMatchObject({ code: "not_found" });
    const catalogue = await registry.watchCatalogue().until((last) => expect(last.servers).toHaveLength(4));
    expect(catalogue.servers.map(({ tools }) => tools.length)).toEqual([20, 20, 20, 0]);
    expect(catalogue.servers.map(({ resources }) => resources.length)).toEqual([40, 40, 40, 0]);
    // Nothing of it is known: what comes later is the first that is heard of its tools.
    await registry.reportTools("d", ["t0"]);
    const last = await registry.watchCatalogue().until((each) => expect(toolNames(each, "d")).toEqual(["t0"]));
    expect(serverIn(last, "d").tools).toMatchObject([{ version: 1, hold: "" }]);
  });

  test("comes only from callers that know the service key", async () => {
    await expect(
      new Promise((resolve, reject) => {
        registry.client.reportServer(
          registryV1.ReportServerRequest.create({ serverId: "notes", specHash: hash, status: "unavailable" }),
          (error, answer) => (error ? reject(error) : resolve(answer)),
        );
      }),
    ).rejects.toThrow("UNAUTHENTICATED");
  });
});
