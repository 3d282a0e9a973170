import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bundle, TOKEN, useBridge } from "./bridge.ts";
import { json, type Reply, resultFor } from "./endpoint.ts";

const bench = useBridge();
const URL_FLAGS = ["--url", "http://127.0.0.1:8080/mcp", "--token", TOKEN];

async function run(args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const bridge = bench.start(undefined, { args });
  const { code } = await bridge.exited;
  return { code, out: bridge.lines.join("\n"), err: bridge.stderr() };
}

test("install writes a new client file that only its owner can read", async () => {
  const { code, out } = await run(["install", "--client", "cursor", ...URL_FLAGS]);
  const path = join(bench.home, ".cursor", "mcp.json");
  expect([code, out]).toEqual([0, `${path} now has the server "tollgate". Restart the client to load it.`]);
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual({
    mcpServers: {
      tollgate: {
        command: "node",
        args: [bundle, "--url", "http://127.0.0.1:8080/mcp"],
        env: { TOLLGATE_TOKEN: TOKEN },
      },
    },
  });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("install keeps what else the file holds, and one copy of it as it was", async () => {
  const path = join(bench.home, ".claude.json");
  const before =
    '{\n    "theme": "dark",\n    "mcpServers": {\n        "other": { "command": "x", "new": [1] }\n    },\n    "last": null\n}';
  await writeFile(path, before);
  for (const name of ["one", "two"])
    expect((await run(["install", "--client", "claude-code", "--name", name, ...URL_FLAGS])).code).toBe(0);
  const after = await readFile(path, "utf8");
  const content = JSON.parse(after);
  expect(Object.keys(content)).toEqual(["theme", "mcpServers", "last"]);
  expect(content.mcpServers.other).toEqual({ command: "x", new: [1] });
  expect(content.mcpServers.one).toMatchObject({ type: "stdio", command: "node" });
  expect(content.mcpServers.two).toEqual(content.mcpServers.one);
  expect(after).toContain('\n    "theme"');
  expect(await readFile(`${path}.bak`, "utf8")).toBe(before);
});

test("install refuses a file that it would spoil, and shows what to add", async () => {
  const folder =
    process.platform === "darwin" ? ["Library", "Application Support", "Code", "User"] : [".config", "Code", "User"];
  const path = join(bench.home, ...folder, "mcp.json");
  await mkdir(join(path, ".."), { recursive: true });
  for (const [content, reason] of [
    ['{\n  // mine\n  "servers": {}\n}', "it holds comments"],
    ['{"servers": ', "it is not valid JSON"],
    ['{"servers": []}', 'its "servers" is not a JSON object'],
  ] as const) {
    await writeFile(path, content);
    const { code, out } = await run(["install", "--client", "vscode", ...URL_FLAGS]);
    expect(code).toBe(1);
    expect(out).toContain(reason);
    expect(out).toContain('"TOLLGATE_TOKEN"');
    expect(await readFile(path, "utf8")).toBe(content);
  }
});

test("install --print only shows the entry", async () => {
  const { code, out } = await run(["install", "--client", "claude-desktop", "--name", "gate", "--print", ...URL_FLAGS]);
  expect(code).toBe(0);
  expect(JSON.parse(out).mcpServers.gate.args).toEqual([bundle, "--url", "http://127.0.0.1:8080/mcp"]);
});

test("a wrong command line is answered with what is wrong", async () => {
  for (const [args, problem] of [
    [["install"], "install needs --client, one of claude-desktop, cursor, vscode, claude-code"],
    [["install", "--client", "vim"], "install needs --client"],
    [["serve"], "unknown command serve"],
    [["--urll", "x"], "--urll"],
    [["--print"], "--print belongs to install"],
  ] as const) {
    const { code, err } = await run(args);
    expect(code).toBe(2);
    expect(err).toContain(problem);
  }
  expect((await run(["--version"])).out).toMatch(/^\d+\.\d+\.\d+$/);
  expect((await run(["--help"])).out).toContain("TOLLGATE_TOKEN");
});

function gateway(options: { healthy?: boolean } = {}): Reply {
  return (received, response) => {
    if (received.verb === "GET") return void response.writeHead(options.healthy === false ? 503 : 200).end();
    if (received.headers.authorization !== `Bearer ${TOKEN}`) return json(response, '{"detail":"unknown token"}', 401);
    if (received.message["method"] === "server/discover") return json(response, resultFor(received));
    const more = received.message["params"].cursor === undefined;
    json(response, resultFor(received, more ? '{"tools":[{},{}],"nextCursor":"n"}' : '{"tools":[{}]}'));
  };
}

test("doctor goes through every step of a good set-up", async () => {
  const endpoint = await bench.endpoint(gateway());
  const { code, out } = await run(["doctor", "--url", endpoint.url, "--token", TOKEN]);
  expect(out.split("\n").map((line) => line.slice(0, 4))).toEqual(Array(8).fill("ok  "));
  expect(out).toContain("3 tools can be used with it");
  expect(code).toBe(0);
});

test("doctor says what is wrong at the first step that fails", async () => {
  const good = await bench.endpoint(gateway());
  const ill = await bench.endpoint(gateway({ healthy: false }));
  const gone = await bench.endpoint(gateway());
  await gone.close();
  for (const [url, token, problem] of [
    ["nonsense", TOKEN, "the URL must look like"],
    [gone.url, TOKEN, "is the gateway running"],
    [ill.url, TOKEN, "/healthz answers 503"],
    [good.url, "wrong", "the gateway refused the token (401): unknown token; take a valid token"],
  ] as const) {
    const { code, out } = await run(["doctor", "--url", url, "--token", token]);
    expect(code).toBe(1);
    expect(out.split("\n").at(-1)).toContain(`FAIL  `);
    expect(out).toContain(problem);
    expect(out).not.toContain(TOKEN);
  }
});
