import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { INITIALIZE, INITIALIZED, legacy, modern, TOKEN, useBridge } from "./bridge.ts";
import { json, legacyReply, openStream, resultFor } from "./endpoint.ts";

const bench = useBridge();

test("goes on after a line that is no message, and after one that is too long", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)));
  const bridge = bench.start(endpoint);
  bridge.send(
    "not json",
    "",
    "   \r",
    "null",
    '{"jsonrpc":"2.0","id":{},"method":"x"}',
    "x".repeat(16 * 1024 * 1024 + 1),
    `${modern(1, "ping")}\r`,
  );
  expect((await bridge.answer(1))["result"]).toEqual({});
  const refused = bridge.lines.map((line) => JSON.parse(line)).filter((line) => line.error);
  expect(refused.map((line) => [line.id, line.error.code])).toEqual([
    [null, -32700],
    [null, -32600],
    [null, -32600],
    [null, -32600],
  ]);
  expect(endpoint.received.map((entry) => entry.body)).toEqual([modern(1, "ping")]);
});

test("any bytes get an answer or none, and never end it", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)));
  const bridge = bench.start(endpoint);
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((each) => Buffer.from(each));
  const texts = fc.oneof(
    fc.json(),
    fc.string({ unit: "binary" }),
    fc.constantFrom("[", '{"id":1', "[[]]", "[{},7]", '""'),
  );
  const member = fc.tuple(fc.constantFrom("id", "method", "params", "result", "jsonrpc", "__proto__"), fc.jsonValue());
  const nearly = fc.array(member).map((members) => JSON.stringify(Object.fromEntries(members)));
  const deep = ["[", '{"params":'].map((part) => Buffer.from(part.repeat(200_000)));
  const lines = [
    ...fc.sample(
      fc.oneof(
        bytes,
        fc.oneof(texts, nearly).map((text) => Buffer.from(text)),
      ),
      500,
    ),
    ...deep,
    Buffer.from('{"jsonrpc":"2.0","id":2,"method":"\xff"}', "latin1"),
  ];
  for (const line of lines) bridge.sendBytes(Buffer.concat([line, Buffer.from("\n")]));
  bridge.send(modern('"last"', "tools/list"));
  expect((await bridge.answer("last"))["result"]).toEqual({});
  const refusals = bridge.lines.map((line) => JSON.parse(line)).filter(({ id, error }) => id === null && error);
  expect(refusals.length).toBeGreaterThan(lines.length / 4);
  expect(new Set(refusals.map(({ error }) => error.code))).toEqual(new Set([-32700, -32600]));
  expect(endpoint.received.some(({ body }) => body.includes("\ufffd"))).toBe(false);
});

test("tells the gateway in which folder the client works, unless it may not", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)));
  const folder = join(bench.home, "a b", "größe 100%");
  await mkdir(folder, { recursive: true });
  const off = join(bench.home, "off.yaml");
  await writeFile(off, "bridge: { workspace: off }\n");
  const args = ["--url", endpoint.url, "--token", TOKEN];
  for (const [given, expected] of [
    [args, `${encodeURI(bench.home)}/a%20b/gr%C3%B6%C3%9Fe%20100%25`],
    [[...args, "--config", off], undefined],
  ] as const) {
    const bridge = bench.start(undefined, { args: given, cwd: folder });
    bridge.send(modern(1, "ping"));
    await bridge.answer(1);
    expect(endpoint.received.at(-1)?.headers["tollgate-workspace"]).toBe(expected);
  }
});

test("gives its first answer within 150 ms of its start, on a machine that is free to run it", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)));
  const times: number[] = [];
  await vi.waitFor(
    async () => {
      const started = performance.now();
      const bridge = bench.start(endpoint);
      bridge.send(modern(1, "ping"));
      await bridge.answer(1);
      times.push(performance.now() - started);
      expect(Math.min(...times)).toBeLessThan(150);
    },
    { timeout: 20_000, interval: 100 },
  );
});

test("answers what is under way when its input ends", async () => {
  const endpoint = await bench.endpoint((received, response) => {
    if (received.message["id"] === 1) setTimeout(() => json(response, resultFor(received)), 100);
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/list"), modern(2, "tools/call", '"name":"endless"'));
  bridge.endInput();
  expect(await bridge.exited).toEqual({ code: 0, signal: null });
  expect((await bridge.answer(1))["result"]).toEqual({});
  expect((await bridge.answer(2))["error"].code).toBe(-32009);
});

for (const name of ["SIGINT", "SIGTERM"] as const) {
  test(`ends within a second on ${name}, its session closed, although requests hang`, async () => {
    const behaviour = legacyReply((_received, response) => void openStream(response));
    const endpoint = await bench.endpoint((received, response) =>
      received.verb === "DELETE" ? undefined : behaviour(received, response),
    );
    const bridge = bench.start(endpoint);
    bridge.send(INITIALIZE, INITIALIZED, legacy(1, "tools/call"));
    await vi.waitFor(() => expect(endpoint.calls("tools/call")).toHaveLength(1));
    const signalled = Date.now();
    bridge.signal(name);
    expect(await bridge.exited).toEqual({ code: 0, signal: null });
    expect(Date.now() - signalled).toBeLessThan(1_000);
    expect(endpoint.received.at(-1)?.verb).toBe("DELETE");
  });
}

test("ends when nobody reads its output any more", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)));
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "ping"));
  await bridge.answer(1);
  bridge.stopReading();
  bridge.send(modern(2, "ping"), modern(3, "ping"));
  expect(await bridge.exited).toEqual({ code: 0, signal: null });
});

test("says in one line how to give what is missing, and exits with 2", async () => {
  const bridge = bench.start(undefined, { args: [] });
  expect((await bridge.exited).code).toBe(2);
  expect(bridge.stderr().trim().split("\n")).toHaveLength(1);
  for (const way of ["--url URL --token TOKEN", "TOLLGATE_URL", "config.yaml"]) expect(bridge.stderr()).toContain(way);
});

test("takes flags before the environment, and that before the file, whose variables are filled in", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)));
  const file = join(bench.home, "bridge.yaml");
  await writeFile(file, `bridge:\n  control_plane_url: ${endpoint.url}\n  auth_token: "\${MCP_AUTH_TOKEN}"\n`);
  const tokens = async (run: Parameters<typeof bench.start>[1]): Promise<unknown> => {
    const bridge = bench.start(undefined, run);
    bridge.send(modern(1, "ping"));
    await bridge.answer(1);
    return endpoint.received.at(-1)?.headers.authorization;
  };
  const env = { MCP_AUTH_TOKEN: "from-file" };
  expect(await tokens({ args: ["--config", file], env })).toBe("Bearer from-file");
  expect(await tokens({ args: ["--config", file], env: { ...env, TOLLGATE_TOKEN: "from-env" } })).toBe(
    "Bearer from-env",
  );
  expect(await tokens({ args: ["--config", file, "--token", "flag"], env: { TOLLGATE_TOKEN: "from-env" } })).toBe(
    "Bearer flag",
  );

  const unset = bench.start(undefined, { args: ["--config", file] });
  expect((await unset.exited).code).toBe(2);
  expect(unset.stderr()).toContain("needs the environment variable MCP_AUTH_TOKEN, which is not set");
});

test("logs to its file without the token", async () => {
  const endpoint = await bench.endpoint((_received, response) =>
    json(response, `{"detail":"bad token ${TOKEN}"}`, 401),
  );
  const file = join(bench.home, "logging.yaml");
  await writeFile(file, "bridge:\n  logging: { level: debug, file: ~/logs/bridge.log }\n");
  const bridge = bench.start(undefined, { args: ["--config", file, "--url", endpoint.url, "--token", TOKEN] });
  bridge.send(modern(1, "ping"));
  await bridge.answer(1);
  const log = await readFile(join(bench.home, "logs", "bridge.log"), "utf8");
  expect(log).toContain("warn ping: the gateway refused the token (401): bad token ***");
  expect(log).not.toContain(TOKEN);
  expect(bridge.stderr()).toBe("");
});
