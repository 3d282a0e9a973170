import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, fixtureServer, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Came, run } from "./run.ts";

// What is declared: by file, by command, and what a file would change.

const YAML = `
groups: [{ id: demo, name: Demonstration }]
mcp_servers: [{ id: fixture, group: demo, type: node, command: ${fixtureServer}, certification: optional }]
tool_sets: [{ id: shop, tools: ["fixture:echo"], repositories: ["github.com/acme/*"] }]
tenants: [{ id: acme }]
policies:
  - { name: everybody, effect: allow, principals: ["*"], actions: ["*"], resources: ["group:demo"] }
`;
const infra = useInfrastructure();
const system = useSystem(infra, { yaml: YAML });
const folder = mkdtempSync(join(tmpdir(), "tollgate-catalogue-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const tollgate = (words: readonly string[], answer?: string): Promise<Came> =>
  run(words, {
    env: { TOLLGATE_URL: system.gatewayUrl, TOLLGATE_ADMIN_TOKEN: system.adminToken },
    here: folder,
    ...(answer === undefined ? {} : { answer }),
  });

function write(name: string, content: unknown): string {
  writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  return name;
}

async function done(...words: string[]): Promise<string> {
  const { code, out, err } = await tollgate(words);
  expect({ words, code, err }).toEqual({ words, code: 0, err });
  return out;
}

async function json(...words: string[]): Promise<any> {
  return JSON.parse(await done(...words, "--json"));
}

const idsIn = async (...words: string[]) => (await json(...words)).items.map(({ id }: { id: string }) => id);
const SECOND = { id: "second", group: "demo", type: "node", command: fixtureServer, env: { GREETING: "hello" } };

beforeAll(async () => {
  await eventually(async () => expect(await done("servers", "list")).toMatch(/^fixture +demo +node +ready/m), {
    timeoutMs: 30_000,
  });
}, 60_000);

describe("servers", () => {
  test("are created, changed as they were shown, switched off and on, and deleted", async () => {
    write("second.json", SECOND);
    expect(await done("servers", "create", "-f", "second.json")).toBe("The server second is in the catalogue.\n");
    const again = await tollgate(["servers", "create", "-f", "second.json"]);
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining("second") });

    const spec = await done("servers", "show", "second", "--spec");
    expect(spec).toContain("GREETING: (hidden)");
    const { version } = await json("servers", "show", "second");
    write("changed.yaml", `${spec}risk: MEDIUM\n`);
    expect(await done("servers", "update", "-f", "changed.yaml")).toBe("The server second is changed.\n");
    const stale = await tollgate(["servers", "update", "-f", "changed.yaml", "--if-version", String(version)]);
    expect(stale).toMatchObject({ code: 1, err: expect.stringContaining("Somebody else has changed it meanwhile") });
    expect(await json("servers", "show", "second")).toMatchObject({ risk: "MEDIUM" });

    expect(await done("servers", "disable", "second")).toBe("The server second is disabled.\n");
    await eventually(async () => expect(await done("servers", "list")).toMatch(/^second +demo +node +disabled/m));
    expect(await json("servers", "enable", "second")).toMatchObject({ id: "second" });
    await eventually(async () => expect(await done("servers", "list")).toMatch(/^second +demo +node +ready/m), {
      timeoutMs: 30_000,
    });
    expect(await done("servers", "delete", "second")).toBe("The server second is gone.\n");
    await eventually(async () => expect(await idsIn("servers", "list")).toEqual(["fixture"]));
  });

  test("with mistakes are refused with the places", async () => {
    write("wrong.yaml", "id: wrong\ngroup: demo\ntype: nodd\n");
    const came = await tollgate(["servers", "create", "-f", "wrong.yaml"]);
    expect(came).toMatchObject({ code: 1, out: "", err: expect.stringContaining("type") });
  });
});

describe("groups, tenants and tool sets", () => {
  test("are listed and shown", async () => {
    expect(await json("groups", "show", "demo")).toMatchObject({ id: "demo" });
    expect(await done("groups", "show", "demo")).toMatch(/^id +demo$/m);
    expect(await done("groups", "connectors", "demo")).toBe("There is no connector.\n");
    expect(await idsIn("tenants", "list")).toContain("acme");
    expect(await done("tenants", "list")).toMatch(/^acme/m);
    expect(await json("tenants", "show", "acme")).toMatchObject({ id: "acme" });
    expect(await done("tenants", "show", "acme")).toMatch(/^id +acme$/m);
  });

  test("tool sets are put and deleted", async () => {
    expect(await done("sets", "list")).toMatch(/^shop +.*fixture:echo/m);
    write("set.yaml", 'id: tiny\ntools: ["fixture:count"]\n');
    expect(await done("sets", "put", "-f", "set.yaml")).toBe("The tool set tiny is in force.\n");
    expect(await json("sets", "show", "tiny")).toMatchObject({ id: "tiny" });
    expect(await done("sets", "show", "tiny")).toMatch(/fixture:count/);
    expect(await json("sets", "delete", "tiny")).toBeDefined();
    expect(await idsIn("sets", "list")).toEqual(["shop"]);
  });
});

describe("tools", () => {
  test("are listed, found and shown", async () => {
    expect(await done("tools", "list", "fixture")).toMatch(/^echo/m);
    expect((await json("tools", "list", "fixture")).items.length).toBeGreaterThan(10);
    await eventually(async () => expect(await done("tools", "search", "tally")).toMatch(/^fixture +tally/m));
    expect((await json("tools", "search", "--server", "fixture", "--limit", "2")).items).toHaveLength(2);
    expect(await json("tools", "show", "fixture", "echo")).toMatchObject({ name: "echo" });
    expect(await done("tools", "show", "fixture", "echo")).toMatch(/^name +echo$/m);
    expect(await done("tools", "versions", "fixture", "echo")).toMatch(/^1 +/m);
    expect((await json("tools", "versions", "fixture", "echo")).items).toHaveLength(1);
  });

  test("are certified", async () => {
    expect(await done("tools", "submit", "fixture", "echo", "--comment", "please")).toMatch(
      /^fixture:echo: submit, done/,
    );
    expect(await done("tools", "reject", "fixture", "echo")).toMatch(/^fixture:echo: reject, done/);
    await done("tools", "submit", "fixture", "echo");
    const approve = ["tools", "approve", "fixture", "echo", "--comment", "fine"];
    // Nobody can be asked whether what is shown is fine.
    const unsaid = await tollgate(approve);
    expect([unsaid.code, unsaid.err]).toEqual([2, expect.stringContaining("--of-version 1")]);
    const no = await tollgate(approve, "n");
    expect(no.err).toMatch(/^fixture:echo, version 1:\n\{\n(.*\n)*  "name": "echo"/);
    expect(no.out).toBe("Nothing is changed.\n");
    expect((await tollgate(approve, "y")).out).toMatch(/^fixture:echo: approve, done/);
    await eventually(async () =>
      expect(await json("tools", "show", "fixture", "echo")).toMatchObject({ certification: "approved" }),
    );
    expect(await json("tools", "approve", "fixture", "count", "--of-version", "1")).toBeDefined();
    expect(await done("tools", "retire", "fixture", "count")).toMatch(/^fixture:count: retire, done/);
  });

  test("are removed and registered", async () => {
    expect(await done("tools", "remove", "fixture", "tally")).toBe("fixture:tally is gone.\n");
    await eventually(async () =>
      expect(await json("tools", "show", "fixture", "tally")).toMatchObject({ hold: "withheld" }),
    );
    write("tally.json", { name: "tally", inputSchema: { type: "object" } });
    expect(await done("tools", "register", "fixture", "-f", "tally.json")).toBe("fixture:tally is registered.\n");
  });
});

describe("secrets", () => {
  test("come from a file and are never shown", async () => {
    write("value", "s3cret-value\n");
    expect(await done("secrets", "set", "github", "--from-file", "value", "--description", "Of the bot")).toBe(
      "The secret github is kept.\n",
    );
    const listed = await json("secrets", "list");
    expect(listed.items).toMatchObject([{ name: "github", description: "Of the bot", version: 1 }]);
    expect(JSON.stringify(listed)).not.toContain("s3cret");
    expect(await done("secrets", "list")).toMatch(/^github +tollgate +1/m);
    expect(await done("secrets", "rotate-keys")).toMatch(/^\d+ texts are wrapped with the key \S+\.\n$/);
    expect(await json("secrets", "delete", "github")).toEqual({ id: "github" });
    expect(await done("secrets", "list")).toBe("There is no secret.\n");
  });

  test("get another value and stay for the servers that they were for, until somebody says otherwise", async () => {
    const put = async (value: string, ...words: string[]) => {
      write("value", value);
      return json("secrets", "set", "rotated", "--from-file", "value", ...words);
    };
    const said = { servers: ["fixture", "second"], description: "Of the bot" };
    await put("1", "--servers", "fixture,second", "--description", said.description);
    expect(await put("2")).toMatchObject({ ...said, version: 2 });
    expect(await put("3", "--servers", "")).toMatchObject({ ...said, servers: [], version: 3 });
    await done("secrets", "delete", "rotated");
  });

  test("are asked for at a terminal", async () => {
    expect(await tollgate(["secrets", "set", "typed"], "typed-value")).toMatchObject({ code: 0 });
    expect(await done("secrets", "delete", "typed")).toBe("The secret typed is gone.\n");
  });
});

describe("a configuration file", () => {
  const file = (servers: object[]) =>
    write("file.json", { groups: [{ id: "demo", name: "Demonstration" }], mcp_servers: servers });
  const FIXTURE = { id: "fixture", group: "demo", type: "node", command: fixtureServer, certification: "optional" };

  test("is planned, applied and pruned; what is otherwise than the running file is drift", async () => {
    file([FIXTURE, SECOND]);
    const planned = await tollgate(["plan", "-f", "file.json", "--exit-code"]);
    expect(planned).toMatchObject({ code: 3, out: expect.stringMatching(/^\+ server second/m) });
    expect(planned.out).toMatch(/^1 to create, 0 to update, 0 to delete$/m);
    expect((await json("plan", "-f", "file.json")).changes).toMatchObject([{ kind: "server", id: "second" }]);
    expect(await idsIn("servers", "list")).toEqual(["fixture"]);

    expect(await tollgate(["apply", "-f", "file.json"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("say --yes"),
    });
    expect(await tollgate(["apply", "-f", "file.json"], "n")).toMatchObject({
      code: 1,
      err: expect.stringContaining("nothing was changed"),
    });
    expect(await tollgate(["apply", "-f", "file.json"], "y")).toMatchObject({
      code: 0,
      out: "Done: 1 change is in force.\n",
    });
    expect(await done("plan", "-f", "file.json", "--exit-code")).toBe("Nothing would change.\n");
    expect(await done("drift")).toMatch(/^server +second +added/m);
    expect(await tollgate(["drift", "--exit-code", "--json"])).toMatchObject({ code: 3 });

    file([FIXTURE]);
    expect((await json("apply", "-f", "file.json", "--prune", "--yes")).changes).toMatchObject([
      { id: "second", change: "delete" },
    ]);
    expect(await done("drift")).toBe("There is no drift.\n");
  });

  test("with mistakes is refused before anybody is asked", async () => {
    write("wrong.yaml", "groups: [{ id: demo }]\nmcp_servers:\n  - { id: x, group: dem, type: node, command: y }\n");
    const came = await run(["plan", "-f", "wrong.yaml", "--url", "http://127.0.0.1:9", "--token", "x"], {
      here: folder,
    });
    expect(came).toMatchObject({ code: 1, err: expect.stringMatching(/wrong\.yaml:3:\d+: mcp_servers\[0\]\.group/) });
  });
});

describe("others' files", () => {
  const CLIENT = {
    mcpServers: { other: { command: "node", args: [fixtureServer], env: { API_TOKEN: "tok-abcdefgh-123456" } } },
  };

  test("are shown as entries, without what is secret", async () => {
    write("client.json", CLIENT);
    const shown = await done("import", "client.json", "--group", "demo");
    expect(shown).toContain("- id: other");
    expect(shown).not.toContain("tok-abc");
    expect(await json("import", "client.json")).toMatchObject({
      servers: [{ id: "other" }],
      secrets: [{ server: "other" }],
    });
  });

  test("are put behind the gate with their secrets", async () => {
    write("client.json", CLIENT);
    expect(await done("import", "client.json", "--group", "demo", "--apply", "--yes")).toBe("Done: server other.\n");
    expect((await json("secrets", "list", "--server", "other")).items).toHaveLength(1);
    expect(await json("groups", "show", "demo")).toMatchObject({ name: "Demonstration" });
    await eventually(async () => expect(await done("servers", "list")).toMatch(/^other +demo +node +ready/m), {
      timeoutMs: 30_000,
    });
    expect(await done("call", "other", "echo", "--arg", "message=hello")).toBe("hello\n");
    expect(await done("import", "client.json", "--group", "demo", "--apply", "--yes")).toBe(
      "All of it is there already.\n",
    );
  });

  test("replace nothing that is there under the same names, unless that is asked for", async () => {
    const { command } = await json("servers", "show", "other").then(({ spec }) => spec);
    const secret = async () =>
      (await json("secrets", "list")).items.find(({ name }: { name: string }) => name === "other.API_TOKEN");
    expect(await secret()).toMatchObject({ version: 1, servers: ["other"] });
    const env = { API_TOKEN: "tok-of-somebody-else" };
    write("another.json", { mcpServers: { other: { command: "node", args: [fixtureServer, "--more"], env } } });
    const words = ["import", "another.json", "--group", "demo", "--apply", "--yes"];
    expect(await tollgate(words)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/there already: server other, secret other\.API_TOKEN; --replace/),
    });
    expect((await json("servers", "show", "other")).spec).toMatchObject({ command });
    expect((await json("servers", "show", "other")).spec.args).toBeUndefined();
    expect(await secret()).toMatchObject({ version: 1 });
    expect(await done(...words, "--replace")).toBe("Done: server other.\n");
    expect((await json("servers", "show", "other")).spec).toMatchObject({ args: ["--more"] });
    expect(await secret()).toMatchObject({ version: 2, servers: ["other"] });
    await done("servers", "delete", "other");
    await done("secrets", "delete", "other.API_TOKEN");
  });

  test("keep no secret of what cannot be declared", async () => {
    write("client.json", CLIENT);
    expect(await tollgate(["import", "client.json", "--group", "demo", "--apply"], "n")).toMatchObject({ code: 1 });
    expect(await done("secrets", "list")).toBe("There is no secret.\n");
  });

  test("may be documents as large as can be read; other connectors of the group stay", async () => {
    const description = "x".repeat(20_000);
    const operation = { operationId: "listThings", description, responses: { 200: { description } } };
    const paths = Object.fromEntries(Array.from({ length: 60 }, (_, at) => [`/things${at}`, { get: operation }]));
    const document = { openapi: "3.1.0", info: { title: "Things" }, servers: [{ url: "http://127.0.0.1:9" }], paths };
    const words = (name: string) => ["import", name, "--group", "large", "--apply", "--yes"];
    write("large.json", document);
    expect(await done(...words("large.json"))).toBe("Done: group large, connector things.\n");
    write("small.json", { ...document, info: { title: "Few" }, paths: { "/few": { get: operation } } });
    expect(await done(...words("small.json"))).toBe("Done: connector few.\n");
    expect(await idsIn("groups", "connectors", "large")).toEqual(["few", "things"]);
    expect(await tollgate(words("small.json"))).toMatchObject({
      code: 1,
      err: expect.stringContaining("there already: connector few"),
    });
    write("none.json", { connectors: [] });
    await done("groups", "connectors", "large", "-f", "none.json");
  });

  test("that are none of those are refused", async () => {
    write("none.json", { hello: 1 });
    expect(await tollgate(["import", "none.json"])).toMatchObject({ code: 1, out: "" });
    expect(await tollgate(["import", "none.json", "--format", "nonsense"])).toMatchObject({ code: 2 });
  });
});

test("connectors of a group are put", async () => {
  const operation = { name: "list_pets", description: "All pets", method: "GET", path: "/pets" };
  const connector = { id: "pets", base_url: "http://127.0.0.1:9", operations: [operation] };
  write("connectors.json", { connectors: [connector] });
  expect(await done("groups", "connectors", "demo", "-f", "connectors.json")).toBe(
    "The connectors of demo are in force.\n",
  );
  expect(await done("groups", "connectors", "demo")).toMatch(/^pets/m);
  write("none.json", { connectors: [] });
  await done("groups", "connectors", "demo", "-f", "none.json");
});

test("doctor finds nothing broken", async () => {
  const { code, out } = await tollgate(["doctor", "--state", join(folder, "no-state")]);
  expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/, 0 broken\n$/) });
  expect((await json("doctor")).findings).not.toEqual([]);
});
