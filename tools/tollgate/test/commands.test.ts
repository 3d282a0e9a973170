import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually, fixtureServer, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Came, run } from "./run.ts";

// Every command that reads or changes something, through a real gateway.

const YAML = `
groups: [{ id: demo, name: Demonstration }]
mcp_servers:
  - id: fixture
    group: demo
    type: node
    command: ${fixtureServer}
    tools: { tally: { risk: HIGH } }
policies:
  - { name: everybody, effect: allow, principals: ["*"], actions: ["*"], resources: ["group:demo"] }
`;
const infra = useInfrastructure();
const system = useSystem(infra, { yaml: YAML, colleagues: ["ann"] });
const folder = mkdtempSync(join(tmpdir(), "tollgate-commands-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const env = () => ({ TOLLGATE_URL: system.gatewayUrl, TOLLGATE_ADMIN_TOKEN: system.adminToken });
const tollgate = (...words: string[]): Promise<Came> => run(words, { env: env(), here: folder });

function write(name: string, content: unknown): string {
  writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  return name;
}

/** Of what is done: nothing is said but the result. */
async function done(...words: string[]): Promise<string> {
  const { code, out, err } = await tollgate(...words);
  expect({ words, code, err }).toEqual({ words, code: 0, err });
  return out;
}

/** The API's answer. */
async function json(...words: string[]): Promise<any> {
  return JSON.parse(await done(...words, "--json"));
}

beforeAll(async () => {
  await eventually(async () => expect(await done("servers", "list")).toMatch(/^fixture +demo +node +ready/m), {
    timeoutMs: 30_000,
  });
}, 60_000);

describe("status and version", () => {
  test("say how every part is", async () => {
    await eventually(async () => expect((await json("status")).status).toBe("ready"));
    const health = await json("status");
    expect(health.parts.map(({ name }: { name: string }) => name)).toEqual([
      "gateway",
      "policy",
      "registry",
      "runner",
      "audit",
      "metering",
    ]);
    expect(health).toMatchObject({ missing: [], servers: { ready: 1 } });
    const policy = health.parts.find(({ name }: { name: string }) => name === "policy");
    expect(policy).toMatchObject({ ready: true, reasons: {}, migration: expect.stringMatching(/^\d{4}-/) });
    expect(await done("status")).toMatch(/^audit +ready +\d+\.\d+\.\d+ +\d{4}-\S+ +\d+ /m);
    expect(await json("version")).toMatchObject({ command: health.version, gateway: health.version });
    expect(await done("version")).toContain(`tollgate ${health.version}`);
  });
});

describe("servers", () => {
  test("are listed and shown", async () => {
    const { items } = await json("servers", "list", "--status", "ready");
    expect(items.map(({ id }: { id: string }) => id)).toEqual(["fixture"]);
    expect(await json("servers", "show", "fixture")).toMatchObject({ id: "fixture", group: "demo", status: "ready" });
    expect(await done("servers", "show", "fixture")).toMatch(/^id +fixture$/m);
    expect(await json("servers", "health", "fixture")).toMatchObject({ state: "ready" });
    expect(await done("servers", "health", "fixture")).toMatch(/^state +ready$/m);
    expect(await json("servers", "metrics", "fixture")).toMatchObject({ server: "fixture" });
    expect(await done("servers", "metrics", "fixture")).toMatch(/^processes +\d+$/m);
    expect(await json("groups", "list")).toMatchObject({ items: [{ id: "demo" }] });
    expect(await done("groups", "list")).toMatch(/^demo +Demonstration/m);
  });

  test("are restarted", async () => {
    expect(await json("servers", "restart", "fixture")).toMatchObject({ server: "fixture", generation: 1 });
    expect(await done("servers", "restart", "fixture")).toBe("The server fixture is being restarted.\n");
  });
});

describe("calls", () => {
  test("print what the tool says", async () => {
    expect(await done("call", "fixture", "echo", "--arg", "message=hello")).toBe("hello\n");
    const whole = await json("call", "fixture", "echo", "--args", '{"message":"hello"}');
    expect(whole).toMatchObject({ content: [{ type: "text", text: "hello" }] });
  });

  test("of a tool that fails exit with 1", async () => {
    expect(await tollgate("call", "fixture", "fail")).toMatchObject({ code: 1, err: "" });
    const unknown = await tollgate("call", "fixture", "nope");
    expect(unknown).toMatchObject({ code: 1, out: "", err: expect.stringContaining("nope") });
  });

  test.each([
    ["--args", "[1]"],
    ["--arg", "text"],
  ])("are not made with %s %s", async (...words) => {
    const came = await tollgate("call", "fixture", "echo", ...words);
    expect(came).toMatchObject({ code: 1, err: expect.stringContaining("has to be") });
  });
});

describe("policies", () => {
  const file = () =>
    write(
      "policy.yaml",
      "name: no-echo\neffect: deny\nprincipals: ['*']\nactions: [tools/call]\nresources: ['fixture:echo']\n",
    );

  test("are put, tested, changed as they were shown, and deleted", async () => {
    expect(await done("policies", "put", "-f", file())).toBe("The policy no-echo is in force.\n");
    const refused = await tollgate("policies", "test", "fixture", "echo", "--as", "token:caller");
    expect(refused).toMatchObject({ code: 1, out: expect.stringMatching(/^deny: .*no-echo/) });
    const without = ["policies", "test", "fixture", "echo", "--as", "token:caller", "--without", "no-echo"];
    expect(await json(...without)).toMatchObject({ allow: true });

    const shown = await json("policies", "show", "no-echo");
    write("shown.json", { ...shown, description: "for a while" });
    expect(await json("policies", "put", "-f", "shown.json")).toMatchObject({ description: "for a while", version: 2 });
    // That version is not the present one any more.
    const stale = await tollgate("policies", "put", "-f", "shown.json");
    expect(stale).toMatchObject({ code: 1, err: expect.stringContaining("Somebody else has changed it meanwhile") });

    expect((await json("policies", "history", "no-echo")).items).toHaveLength(2);
    expect(await done("policies", "history", "no-echo")).toMatch(/^2 +put +admin/m);
    expect(await done("policies", "list")).toMatch(/^no-echo +deny/m);
    expect(await json("policies", "list", "--effect", "deny")).toMatchObject({ items: [{ id: "no-echo" }] });
    expect(await done("policies", "delete", "no-echo")).toBe("The policy no-echo is gone.\n");
    expect(await done("policies", "list", "--effect", "deny")).toBe("There is no policy.\n");
  });

  test("that would be are tested as well", async () => {
    const words = ["policies", "test", "fixture", "echo", "--as", "token:caller", "-f", file()];
    expect(await tollgate(...words)).toMatchObject({ code: 1, out: expect.stringContaining("no-echo") });
    expect(await tollgate("policies", "test", "--as", "caller", "--action", "tools/list")).toMatchObject({ code: 2 });
  });

  test("with mistakes are refused with the places", async () => {
    write("wrong.yaml", "name: wrong\neffect: maybe\n");
    const came = await tollgate("policies", "put", "-f", "wrong.yaml");
    expect(came).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/effect/) });
  });
});

describe("tokens", () => {
  test("are created, rotated and revoked; their secrets are shown once", async () => {
    const made = await json("tokens", "create", "ci", "--permission", "mcp:demo", "--expires", "2030-01-01T00:00:00Z");
    expect(made).toMatchObject({ name: "ci", permissions: ["mcp:demo"], secret: expect.stringMatching(/^tg_/) });
    const rotated = await done("tokens", "rotate", "ci", "--overlap", "60");
    expect(rotated).toMatch(/^secret +tg_\S+$/m);
    expect(await done("tokens", "list")).toMatch(/^ci +default/m);
    expect(JSON.stringify(await json("tokens", "list"))).not.toContain(made.secret);
    expect(await done("tokens", "revoke", "ci")).toBe("The token ci is revoked.\n");
    const { items } = await json("tokens", "list", "--usable", "false");
    expect(items).toMatchObject([{ name: "ci" }]);
  });
});

describe("approvals", () => {
  test("are listed, shown and decided", async () => {
    const ask = { server: "fixture", tool: "tally", arguments: {}, justification: "the monthly count" };
    const ids: string[] = [];
    for (const token of [system.tokenOf("ann"), system.token]) {
      const response = await fetch(`${system.gatewayUrl}/api/v1/approvals`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(ask),
      });
      ids.push(((await response.json()) as { id: string }).id);
    }
    expect(await done("approvals", "list", "--status", "pending")).toMatch(/pending +ann +fixture:tally +HIGH +0 of 1/);
    expect(await json("approvals", "show", ids[0]!)).toMatchObject({ justification: "the monthly count" });
    expect(await done("approvals", "show", ids[0]!)).toMatch(/^justification +the monthly count$/m);
    expect(await done("approvals", "approve", ids[0]!, "--reason", "fine")).toBe(
      "fixture:tally for ann is approved.\n",
    );
    expect(await json("approvals", "deny", ids[1]!, "--reason", "not now")).toMatchObject({ status: "denied" });
    expect((await json("approvals", "list")).items).toHaveLength(2);
  });
});

describe("the record and its cost", () => {
  beforeAll(async () => {
    await done("call", "fixture", "echo");
    await eventually(async () => expect((await json("audit", "search", "--tool", "echo")).items).not.toEqual([]));
  });

  test("are found and summed up", async () => {
    const found = await tollgate("audit", "search", "--kind", "call", "--limit", "1");
    expect(found.out).toMatch(/^\d{4}-\S+Z +call +admin +fixture:\w+ +\w+/m);
    expect(found.out.trimEnd().split("\n")).toHaveLength(2);
    expect(found.err).toBe("There are more: --limit 10\n");
    await eventually(async () => expect((await json("usage", "--by", "tool")).items).not.toEqual([]));
    expect(await done("usage", "--by", "team,tool")).toMatch(/^default +echo +\d+/m);
    const month = new Date().toISOString().slice(0, 7);
    expect(await json("usage", "--month", month, "--step", "day")).toMatchObject({ currency: "USD" });
    expect(await done("usage")).toMatch(/^calls +errors/);
    expect(await tollgate("usage", "--month", month, "--from", "0")).toMatchObject({ code: 2 });
    expect(await json("chargeback")).toMatchObject({ month });
    expect(await done("chargeback", "--month", month)).toMatch(/^acme +default/m);
  });

  test("are followed as they come", async () => {
    const shown: string[] = [];
    const { tailEvents } = await import("../src/audit-tail.ts");
    const { openApi } = await import("../src/api.ts");
    const api = openApi({ url: system.gatewayUrl, token: system.adminToken });
    const tail = tailEvents(api, {
      query: { tool: "echo", kind: "call" },
      show: (event) => shown.push(event),
      progress: () => undefined,
    });
    await eventually(async () => {
      await done("call", "fixture", "echo");
      expect(shown.length).toBeGreaterThan(0);
    });
    expect(JSON.parse(shown[0]!)).toMatchObject({ kind: "call", tool: "echo" });
    process.emit("SIGINT");
    expect(await tail).toBe(0);
  });

  test("dead letters: there are none", async () => {
    expect(await json("dead-letters", "list")).toEqual({ items: [], nextCursor: null });
  });
});

describe("errors say the next step", () => {
  test.each([
    [["servers", "show", "fixtur"], /^there is no server "fixtur"\nIs fixture meant\?\n$/],
    [["policies", "show", "nothing-like-it"], /^there is no policy .*\nThere are everybody/],
    [["servers", "show", "fixture", "--token", "tg_wrong"], /A token is read from --token-file/],
    [
      ["servers", "list", "--url", "http://127.0.0.1:9"],
      /^nobody answers at http:\/\/127\.0\.0\.1:9.*\nStart it with npm start/,
    ],
    [["servers", "list", "--url", "nonsense"], /^nonsense is no URL of a gateway/],
    [["servers", "list", "--token-file", "none"], /^--token-file \S+none cannot be read: ENOENT/],
  ])("%j", async (words, message) => {
    const came = await tollgate(...words);
    expect(came).toEqual({ code: 1, out: "", err: expect.stringMatching(message) });
  });

  test("a permission that is missing: the policy that would give it", async () => {
    const { code, err } = await tollgate("tokens", "list", "--token", system.tokenOf("ann"));
    expect(code).toBe(1);
    const [policy] = /\{ name: .*\}/.exec(err)!;
    write("given.yaml", policy);
    await done("policies", "put", "-f", "given.yaml");
    expect(await tollgate("tokens", "list", "--token", system.tokenOf("ann"))).toMatchObject({ code: 0 });
  });

  test("no token", async () => {
    const came = await run(["servers", "list", "--url", system.gatewayUrl]);
    expect(came).toMatchObject({ code: 1, err: expect.stringContaining(`there is no token for ${system.gatewayUrl}`) });
  });

  test("a token may be in a file", async () => {
    write("token", `${system.adminToken}\n`);
    const words = ["servers", "list", "--url", `${system.gatewayUrl}/mcp`, "--token-file", "token"];
    expect(await run(words, { here: folder })).toMatchObject({ code: 0 });
  });
});

describe("completion", () => {
  const complete = async (...words: string[]) =>
    (await tollgate("__complete", "--", ...words)).out.split("\n").slice(0, -1);

  test("of commands, options, choices and ids", async () => {
    expect(await complete("po")).toEqual(["policies"]);
    expect(await complete("servers", "re")).toEqual(["restart"]);
    expect(await complete("audit", "search", "--dec")).toEqual(["--decision"]);
    expect(await complete("audit", "search", "--decision", "a")).toEqual(["allow"]);
    expect(await complete("tokens", "create", "")).toEqual([]);
    expect(await complete("completion", "z")).toEqual(["zsh"]);
    // What does not come at once is not waited for.
    await eventually(async () => expect(await complete("servers", "show", "f")).toEqual(["fixture"]));
    await eventually(async () => expect(await complete("call", "fixture", "ec")).toEqual(["echo"]));
    await eventually(async () => expect(await complete("usage", "--server", "")).toEqual(["fixture"]));
    await eventually(async () => expect(await complete("policies", "show", "")).toContain("everybody"));
  });

  test("is silent where nobody answers", async () => {
    const away = { TOLLGATE_URL: "http://127.0.0.1:9", TOLLGATE_ADMIN_TOKEN: "x" };
    expect(await run(["__complete", "--", "servers", "show", ""], { env: away })).toEqual({
      code: 0,
      out: "",
      err: "",
    });
  });

  test.each(["bash", "zsh", "fish"])("the script for %s", async (shell) => {
    expect(await done("completion", shell)).toContain("__complete --");
    expect(await json("completion", shell)).toMatchObject({ shell });
  });

  test("in bash itself, which knows the command afterwards", async () => {
    write("completion.bash", await done("completion", "bash"));
    const lines = [
      "source completion.bash",
      "COMP_WORDS=(tollgate servers re); COMP_CWORD=2; _tollgate; printf '%s\\n' \"${COMPREPLY[@]}\"",
      "declare -F tollgate _tollgate; complete -p tollgate",
    ];
    const options = { cwd: folder, env: { PATH: "/usr/bin:/bin", ...env() } };
    const { stdout } = await promisify(execFile)("bash", ["--norc", "-euc", lines.join("\n")], options);
    expect(stdout).toBe("restart\ntollgate\n_tollgate\ncomplete -o default -F _tollgate tollgate\n");
  });
});
