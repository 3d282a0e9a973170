import { AppError } from "@tollgate/errors";
import { describe, expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const MIB = 2 ** 20;
const NPX = "type: npx, command: p@1.0.0";

/** The first of the file's servers, `a`; `others` are more entries. */
function load(entry: string, others = "") {
  const text = `groups: [{ id: g }, { id: h }]\nmcp_servers:\n  - { id: a, group: g, ${entry} }\n${others}`;
  return loadDesiredState(text, { file: "/etc/tollgate/tollgate.yaml", env: { SIZE: "64", ON: "true", DIR: "data" } });
}

const serverOf = (entry: string, others = "") => load(entry, others).servers[0]!;

function mistakesOf(entry: string, others = ""): string[] {
  try {
    load(entry, others);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    const lines = error.message.split("\n  ").slice(1);
    return lines.map((line) => line.replace(/^.*\.yaml:\d+:\d+: mcp_servers\[0\]\./, ""));
  }
  return [];
}

describe("pool", () => {
  const poolOf = (pool: string, kind = NPX) => serverOf(`${kind}, pool: { ${pool} }`).pool;

  test("each key, durations in milliseconds", () => {
    const keys = "mode: multiplexed, min: 0, max: 8, max_per_tenant: 5, idle_timeout: 1.5, calls_per_process: 4";
    expect(poolOf(`${keys}, queue: 10, queue_timeout: 2`)).toEqual({
      mode: "multiplexed",
      shared: false,
      min: 0,
      max: 8,
      maxPerTenant: 5,
      idleTimeoutMs: 1_500,
      callsPerProcess: 4,
      queue: 10,
      queueTimeoutMs: 2_000,
    });
  });

  test.each<[string, object]>([
    // No tenant has all of them, unless there is but one.
    ["max: 1", { min: 1, max: 1, maxPerTenant: 1 }],
    ["max: 5", { min: 1, max: 5, maxPerTenant: 4 }],
    ["min: 40", { min: 40, max: 40, maxPerTenant: 30 }],
    ["max_per_tenant: 20", { min: 1, max: 20, maxPerTenant: 20 }],
    ["shared: true, max: 5", { shared: true, max: 5, maxPerTenant: 5 }],
    ["mode: exclusive", { mode: "exclusive", callsPerProcess: 1 }],
    ["mode: session, calls_per_process: 3", { mode: "session", callsPerProcess: 3 }],
    ["max: '${SIZE}', shared: '${ON}'", { max: 64, shared: true }],
  ])("{ %s }", (given, expected) => {
    expect(poolOf(given)).toMatchObject(expected);
  });

  test("of a remote server may have more: a connection is less than a process", () => {
    const remote = "type: remote, url: 'https://h/mcp'";
    expect(poolOf("", remote)).toMatchObject({ max: 256, maxPerTenant: 192 });
    expect(poolOf("max: 4", remote)).toMatchObject({ max: 4, maxPerTenant: 3 });
  });

  test.each<[string, unknown[]]>([
    ["min: 3, max: 2", ["pool.min is more than max"]],
    ["max: 2, max_per_tenant: 3", ["pool.max_per_tenant is more than max"]],
    ["min: 3, max: 2, max_per_tenant: 3", ["pool.min is more than max", "pool.max_per_tenant is more than max"]],
    ["mode: session, shared: true", ["pool.shared does not go with the mode session: a session is its tenant's own"]],
    [
      "shared: true, max_per_tenant: 2",
      ["pool.max_per_tenant does not go with shared: what all tenants share is no single one's"],
    ],
    [
      "mode: exclusive, calls_per_process: 2",
      ["pool.calls_per_process does not go with the mode exclusive: a process has one call at a time"],
    ],
    ["mode: pooled", [expect.stringMatching(/^pool\.mode .*"multiplexed"\|"exclusive"\|"session"/)]],
    ["max: 0", [expect.stringMatching(/^pool\.max .*>=1/)]],
    ["max: 1.5", [expect.stringMatching(/^pool\.max has to be int/)]],
    ["max: many", ["pool.max has to be number"]],
    ["idle_timeout: 0", [expect.stringMatching(/^pool\.idle_timeout .*>0/)]],
    ["queue: -1", [expect.stringMatching(/^pool\.queue .*>=0/)]],
    ["maximum: 2", [expect.stringMatching(/^pool\.maximum is not a known key; known are mode, shared, min, max, /)]],
    ["queue_timout: 2", ['pool.queue_timout is not a known key; is "queue_timeout" meant?']],
  ])("{ %s } is a mistake", (given, expected) => {
    expect(mistakesOf(`${NPX}, pool: { ${given} }`)).toEqual(expected);
  });
});

describe("limits", () => {
  test("each key, in bytes, thousandths of a core and milliseconds", () => {
    const keys = "memory_mb: 256.5, cpu: 0.25, open_files: 64, processes: 2, output_mb: 0.5";
    expect(serverOf(`${NPX}, limits: { ${keys}, call_timeout: 2.5, concurrency: 7 }`).limits).toEqual({
      memoryBytes: 256.5 * MIB,
      cpuMillis: 250,
      openFiles: 64,
      processes: 2,
      outputBytes: MIB / 2,
      callTimeoutMs: 2_500,
      concurrency: 7,
    });
  });

  test("a limit that is given is never none, however small", () => {
    const server = serverOf(`${NPX}, limits: { call_timeout: 0.0001 }, tools: { t: { cached_result: 0.0001 } }`);
    expect(server.limits.callTimeoutMs).toBe(1);
    expect(server.toolRules[0]!.cachedResultMs).toBe(1);
  });

  test("a remote server has those of calls", () => {
    const remote = "type: remote, url: 'https://h/mcp'";
    expect(serverOf(`${remote}, limits: { output_mb: 1, call_timeout: 3, concurrency: 2 }`).limits).toMatchObject({
      outputBytes: MIB,
      callTimeoutMs: 3_000,
      concurrency: 2,
    });
    const reason = "is not for the type remote, which starts no process; it has output_mb, call_timeout, concurrency";
    expect(mistakesOf(`${remote}, limits: { memory_mb: 64, cpu: 1, open_files: 64, processes: 2 }`)).toEqual(
      ["memory_mb", "cpu", "open_files", "processes"].map((key) => `limits.${key} ${reason}`),
    );
  });

  test.each<[string, unknown[]]>([
    ["memory_mb: 8", [expect.stringMatching(/^limits\.memory_mb .*>=16/)]],
    ["cpu: 0", [expect.stringMatching(/^limits\.cpu .*>=0\.05/)]],
    ["processes: 0", [expect.stringMatching(/^limits\.processes .*>=1/)]],
    ["open_files: 8", [expect.stringMatching(/^limits\.open_files .*>=16/)]],
    ["output_mb: 7", [expect.stringMatching(/^limits\.output_mb .*<=6/)]],
    ["call_timeout: 0", [expect.stringMatching(/^limits\.call_timeout .*>0/)]],
    ["concurrency: 0", [expect.stringMatching(/^limits\.concurrency .*>=1/)]],
    ["memory: 64", [expect.stringMatching(/^limits\.memory is not a known key/)]],
  ])("{ %s } is a mistake", (given, expected) => {
    expect(mistakesOf(`${NPX}, limits: { ${given} }`)).toEqual(expected);
  });
});

describe("sandbox", () => {
  test("folders are absolute, those of the file's own folder too", () => {
    const keys = "mode: required, network: false, read: [/srv/a, ../b], write: ['${DIR}/c']";
    expect(serverOf(`${NPX}, sandbox: { ${keys} }`).sandbox).toEqual({
      mode: "required",
      network: false,
      read: ["/srv/a", "/etc/b"],
      write: ["/etc/tollgate/data/c"],
    });
  });

  test("off is off, but for containers, which have walls of their own", () => {
    expect(serverOf(`${NPX}, sandbox: { mode: off }`).sandbox).toMatchObject({ mode: "off", network: true });
    const kept = "sandbox: { mode: off, network: false, read: [/a] }";
    expect(serverOf(`type: container, command: 'files:1', ${kept}`).sandbox).toMatchObject({
      mode: "off",
      network: false,
      read: ["/a"],
    });
  });

  test.each<[string, unknown[]]>([
    [
      "mode: off, network: false, read: [/a], write: [/b]",
      ["network", "read", "write"].map((key) => `sandbox.${key} needs a sandbox, and its mode is off`),
    ],
    ["mode: on", [expect.stringMatching(/^sandbox\.mode .*"required"\|"auto"\|"off"/)]],
    ["network: none", ["sandbox.network has to be boolean"]],
    ["read: /srv", ["sandbox.read has to be array"]],
    ["write: ['']", ["sandbox.write[0] is empty"]],
    ["folders: []", [expect.stringMatching(/^sandbox\.folders is not a known key/)]],
  ])("{ %s } is a mistake", (given, expected) => {
    expect(mistakesOf(`${NPX}, sandbox: { ${given} }`)).toEqual(expected);
  });

  test("is not for remote servers", () => {
    expect(mistakesOf("type: remote, url: 'https://h/mcp', sandbox: {}")).toEqual([
      "sandbox is not for the type remote, which starts no process; it has url, transport, headers",
    ]);
  });
});

describe("health_check_interval", () => {
  test.each([
    ["", 30_000],
    [", health_check_interval: 0", 0],
    [", health_check_interval: 2.5", 2_500],
  ])("%j", (rest, healthCheckIntervalMs) => {
    expect(serverOf(`${NPX}${rest}`)).toMatchObject({ healthCheckIntervalMs });
  });

  test.each(["-1", "often", "90000"])("%s is a mistake", (value) => {
    expect(mistakesOf(`${NPX}, health_check_interval: ${value}`)).toEqual([
      expect.stringMatching(/^health_check_interval /),
    ]);
  });
});

const OTHERS = `
  - { id: b, group: g, ${NPX} }
  - { id: far, group: h, ${NPX} }
`;

describe("rules for tools", () => {
  test("each key; a fallback has the same name where it says no other; the file's order stays", () => {
    const write = "write: { concurrency: 1 }";
    const search =
      "search: { call_timeout: 2, fallback: [{ server: b }, { server: b, tool: find }], cached_result: 60 }";
    expect(serverOf(`${NPX}, tools: { ${write}, ${search}, 'a.b': {} }`, OTHERS).toolRules).toEqual([
      { tool: "write", concurrency: 1, callTimeoutMs: 0, fallbacks: [], cachedResultMs: 0, risk: "" },
      {
        tool: "search",
        concurrency: 0,
        callTimeoutMs: 2_000,
        fallbacks: [
          { server: "b", tool: "search" },
          { server: "b", tool: "find" },
        ],
        cachedResultMs: 60_000,
        risk: "",
      },
      { tool: "a.b", concurrency: 0, callTimeoutMs: 0, fallbacks: [], cachedResultMs: 0, risk: "" },
    ]);
  });

  test.each<[string, unknown[]]>([
    ["t: { fallback: [{ server: nowhere }] }", ["tools.t.fallback[0].server is not the id of a server"]],
    ["t: { fallback: [{ server: b }, { server: far }] }", ["tools.t.fallback[1].server is of another group"]],
    ["t: { fallback: [{ server: a, tool: other }] }", ["tools.t.fallback[0].server is the server itself"]],
    ["t: { fallback: [{ tool: other }] }", ["tools.t.fallback[0].server is missing"]],
    ["t: { fallback: { server: b } }", ["tools.t.fallback has to be array"]],
    ["t: { fallback: [b] }", ["tools.t.fallback[0] has to be object"]],
    ["t: { concurrency: 0 }", [expect.stringMatching(/^tools\.t\.concurrency .*>=1/)]],
    ["t: { cached_result: 0 }", [expect.stringMatching(/^tools\.t\.cached_result .*>0/)]],
    ["t: 5", ["tools.t has to be object"]],
    ["t:", ["tools.t has to be object"]],
    ["t: { fallbacks: [] }", ['tools.t.fallbacks is not a known key; is "fallback" meant?']],
    [
      "t: { timeout: 1 }",
      ["tools.t.timeout is not a known key; known are concurrency, call_timeout, fallback, cached_result, risk"],
    ],
    [
      "t: { fallback: [{ server: b, name: x }] }",
      ["tools.t.fallback[0].name is not a known key; known are server, tool"],
    ],
    ["'': {}", [expect.stringMatching(/^tools\. is empty/)]],
  ])("{ %s } is a mistake", (given, expected) => {
    expect(mistakesOf(`${NPX}, tools: { ${given} }`, OTHERS)).toEqual(expected);
  });
});
