import { AppError } from "@tollgate/errors";
import { describe, expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const ENV = { KEY: "key-0123456789", HOST: "mcp.example", BROKEN: "two\nlines" };
const ALL = ["sampling", "elicitation", "roots", "tasks"];

function load(entry: string) {
  const text = `groups: [{ id: g }]\nmcp_servers:\n  - { id: a, group: g, ${entry} }`;
  return loadDesiredState(text, { file: "/etc/tollgate.yaml", env: ENV });
}

function serverOf(entry: string) {
  return load(entry).servers[0]!;
}

function mistakesOf(entry: string): string[] {
  try {
    load(entry);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    const lines = error.message.split("\n  ").slice(1);
    return lines.map((line) => line.replace("/etc/tollgate.yaml:", "").replace("mcp_servers[0].", ""));
  }
  return [];
}

describe("a remote server", () => {
  test("has a url and headers, with the environment's values, and nothing of a process", () => {
    const headers = "headers: { Authorization: 'Bearer ${KEY}', X-Team: payments }";
    const server = serverOf(`type: remote, url: 'https://\${HOST}/mcp?key=\${KEY}', ${headers}, startup_timeout: 5`);
    expect(server).toEqual({
      id: "a",
      name: "a",
      group: "g",
      type: "remote",
      command: "",
      args: [],
      env: {},
      url: `https://mcp.example/mcp?key=${ENV.KEY}`,
      transport: "auto",
      headers: { Authorization: `Bearer ${ENV.KEY}`, "X-Team": "payments" },
      startupTimeoutMs: 5_000,
      requirements: "",
      healthCheckIntervalMs: 30_000,
      // A connection is less than a process, so there may be more of them.
      pool: expect.objectContaining({ mode: "multiplexed", min: 1, max: 256, maxPerTenant: 192 }),
      limits: expect.objectContaining({ outputBytes: 6 * 2 ** 20, callTimeoutMs: 0, concurrency: 0 }),
      sandbox: { mode: "auto", network: true, read: [], write: [] },
      toolRules: [],
      toolPolicy: { changes: "serve_old", certification: "optional", fourEyes: false },
      clientCapabilities: ALL,
      sessionContext: false,
      environment: "",
      risk: "LOW",
      enabled: true,
      secrets: [ENV.HOST, ENV.KEY, ENV.KEY],
      secretNames: [],
      written: {
        id: "a",
        group: "g",
        type: "remote",
        url: "https://${HOST}/mcp?key=${KEY}",
        headers: { Authorization: "Bearer ${KEY}", "X-Team": "(hidden)" },
        startup_timeout: 5,
      },
    });
  });

  test("what may be stored holds no url in plain text: it may be a secret as a whole", () => {
    const { written } = serverOf("type: remote, url: https://mcp.example/s3cret-path/mcp");
    expect(written).toMatchObject({ url: "(hidden)" });
  });

  test.each([
    ["https://h/mcp", "", "auto"],
    ["http://127.0.0.1:9/mcp", ", transport: auto", "auto"],
    ["https://h/mcp", ", transport: streamable-http", "streamable-http"],
    ["https://h/sse", ", transport: sse", "sse"],
    ["wss://h/ws", "", "websocket"],
    ["ws://h/ws", ", transport: websocket", "websocket"],
  ])("%s%s is reached by %s", (url, rest, transport) => {
    expect(serverOf(`type: remote, url: '${url}'${rest}`)).toMatchObject({ url, transport });
  });

  test.each<[string, string[]]>([
    ["type: remote", ["3:5: url is missing"]],
    [
      "type: remote, url: 'ftp://h/x'",
      ["3:43: url has to be a URL that begins with http://, https://, ws:// or wss://"],
    ],
    [
      "type: remote, url: mcp.example",
      ["3:43: url has to be a URL that begins with http://, https://, ws:// or wss://"],
    ],
    [
      "type: remote, url: 'https://h/a b'",
      ["3:43: url has to be a URL that begins with http://, https://, ws:// or wss://"],
    ],
    ["type: remote, url: 'https://${KEY}@h/'", ["3:43: url must not hold a user or a password; give them in headers"]],
    ["type: remote, url: '${NO}'", ["3:43: url the environment has no NO"]],
    [
      "type: remote, url: 'wss://h/', transport: sse",
      ["3:66: transport does not go with the url: sse needs one with http:// or https://"],
    ],
    [
      "type: remote, url: 'https://h/', transport: websocket",
      ["3:68: transport does not go with the url: websocket needs one with ws:// or wss://"],
    ],
    [
      "type: remote, url: 'https://h/', transport: http",
      ['3:68: transport Invalid option: expected one of "auto"|"streamable-http"|"sse"|"websocket"'],
    ],
    [
      "type: remote, url: 'https://h/', headers: { X-Key: 7, 'a b': x, Mcp-Session-Id: x, Host: x }",
      [
        "3:75: headers.X-Key has to be string, not a number: put it in quotes",
        "3:85: headers.a b is not a name for a header",
        "3:104: headers.Mcp-Session-Id is a header that the connection itself sets",
        "3:113: headers.Host is a header that the connection itself sets",
      ],
    ],
    [
      "type: remote, url: 'https://h/', headers: { X-Key: '${BROKEN}' }",
      ["3:75: headers.X-Key holds a line break or what else a header cannot carry"],
    ],
    [
      "type: remote, url: 'https://h/', headers: { X-Key: a, x-key: b }",
      ["3:66: headers has a name twice: upper and lower case are the same"],
    ],
    [
      "type: remote, command: x, args: [], env: {}, working_dir: /",
      [
        "3:5: url is missing",
        ...["38: command", "50: args", "60: env", "69: working_dir"].map(
          (place) => `3:${place} is not for the type remote, which starts no process; it has url, transport, headers`,
        ),
      ],
    ],
    [
      "type: npx, url: 'https://h/', transport: auto, headers: {}",
      [
        "3:5: command is missing",
        ...["35: url", "54: transport", "71: headers"].map(
          (place) =>
            `3:${place} is for the type remote only; npx starts a process and has command, args, env, working_dir, sandbox`,
        ),
      ],
    ],
    ["type: remote, url: 'https://h/', header: {}", [expect.stringMatching(/^3:57: header .* is "headers" meant\?$/)]],
  ])("%s", (entry, mistakes) => {
    expect(mistakesOf(entry)).toEqual(mistakes);
  });

  test("no message repeats the value of a variable", () => {
    const headers = "headers: { X: \"${KEY}\\n\", '${KEY} ': x }, transport: '${KEY}'";
    const mistakes = mistakesOf(`type: remote, url: '\${KEY}', ${headers}, client_capabilities: ['\${KEY}']`);
    expect(mistakes).toHaveLength(5);
    expect(mistakes.join("\n")).not.toContain(ENV.KEY);
  });

  test("headers that go unencrypted to another machine are a warning with its place", () => {
    const warningsOf = (url: string, headers: string) =>
      load(`type: remote, url: '${url}', headers: ${headers}`).warnings;
    expect(warningsOf("http://mcp.example/mcp", "{ X: y }")).toEqual([
      expect.stringMatching(/^\/etc\/tollgate\.yaml:3:43: mcp_servers\[0\]\.url is not encrypted/),
    ]);
    expect(warningsOf("ws://mcp.example/mcp", "{ X: y }")).toHaveLength(1);
    for (const url of [
      "https://mcp.example/",
      "wss://mcp.example/",
      "http://localhost:1/",
      "ws://127.0.0.2/",
      "http://[::1]/",
    ])
      expect(warningsOf(url, "{ X: y }")).toEqual([]);
    expect(warningsOf("http://mcp.example/mcp", "{}")).toEqual([]);
  });
});

describe("what is started", () => {
  const launch = (entry: string) => {
    const { type, command, args, workingDir, requirements } = serverOf(entry);
    return { type, command, args, workingDir, requirements };
  };

  test.each<[string, object]>([
    ["type: python, command: server.py, args: [--x]", { command: "server.py", args: ["--x"], workingDir: "/etc" }],
    ["type: python, command: python, args: [server.py, --x]", { command: "server.py", args: ["--x"] }],
    ["type: python, command: python3, args: [server.py]", { command: "server.py", args: [], requirements: "" }],
    ["type: python, command: /srv/server.py", { command: "/srv/server.py", workingDir: undefined }],
    ["type: python, command: server.py, requirements: reqs.txt", { requirements: "/etc/reqs.txt" }],
    ["type: python, command: server.py, requirements: /srv/reqs.txt", { requirements: "/srv/reqs.txt" }],
    ["type: uv, command: uv, args: [run, server, --x]", { command: "server", args: ["--x"], workingDir: "/etc" }],
    ["type: uv, command: server, working_dir: project", { command: "server", args: [], workingDir: "/etc/project" }],
    ["type: container, command: 'mcp/files:1.2', args: [/data]", { command: "mcp/files:1.2", args: ["/data"] }],
    ["type: container, command: 'mcp/files:1.2'", { workingDir: undefined }],
    ["type: container, command: 'mcp/files:1.2', working_dir: /app", { workingDir: "/app" }],
  ])("%s", (entry, expected) => {
    expect(launch(entry)).toMatchObject(expected);
  });

  test.each<[string, unknown[]]>([
    ["type: python, command: python3", ["3:5: args names no script"]],
    ["type: python, command: python3, args: []", ["3:62: args names no script"]],
    ["type: uv, command: uv, args: [run]", [expect.stringMatching(/args names no script$/)]],
    ["type: uv", ["3:5: command is missing"]],
    [
      "type: container, command: 'mcp/files:1.2', working_dir: app",
      [expect.stringMatching(/working_dir is a folder in the container, so it has to be absolute$/)],
    ],
    ...["npx", "node", "uv", "command", "container"].map((type): [string, unknown[]] => [
      `type: ${type}, command: p@1.0.0, requirements: r.txt`,
      [
        expect.stringMatching(
          /requirements is for the type python only; uv has a lock file, and the others need none$/,
        ),
      ],
    ]),
    [
      "type: python, command: x.py, url: 'https://h/'",
      [expect.stringMatching(/url is for the type remote only; python starts .* working_dir, sandbox, requirements$/)],
    ],
    [
      "type: remote, url: 'https://h/', requirements: r.txt",
      [expect.stringMatching(/requirements is not for the type remote/)],
    ],
  ])("%s is a mistake", (entry, mistakes) => {
    expect(mistakesOf(entry)).toEqual(mistakes);
  });

  test("what may be another thing tomorrow is a warning with its place", () => {
    const warningsOf = (type: string, command: string) => load(`type: ${type}, command: '${command}'`).warnings;
    const pin =
      /^\/etc\/tollgate\.yaml:3:\d+: mcp_servers\[0\]\.command names no exact version: .* name:1\.2\.3 or name@sha256/;
    for (const image of ["mcp/files", "mcp/files:latest", "registry.example:5000/files"])
      expect(warningsOf("container", image)).toEqual([expect.stringMatching(pin)]);
    for (const image of ["mcp/files:1.2", "registry.example:5000/files:v1", `mcp/files@sha256:${"0a".repeat(32)}`])
      expect(warningsOf("container", image)).toEqual([]);
    expect(warningsOf("npx", "files")).toEqual([expect.stringMatching(/for example name@1\.2\.3$/)]);
    for (const type of ["python", "uv", "node", "command"]) expect(warningsOf(type, "files")).toEqual([]);
  });
});

describe("what a server may learn of its clients", () => {
  test.each([
    ["", ALL, false],
    [", client_capabilities: []", [], false],
    [", client_capabilities: [tasks, sampling, tasks], session_context: true", ["sampling", "tasks"], true],
    [", session_context: 'true'", ALL, true],
  ])("npx%s", (rest, clientCapabilities, sessionContext) => {
    expect(serverOf(`type: npx, command: p@1.0.0${rest}`)).toMatchObject({ clientCapabilities, sessionContext });
  });

  test.each([
    [
      "client_capabilities: [sampling, logging]",
      /^3:85: client_capabilities\[1\] .*"sampling"\|"elicitation"\|"roots"\|"tasks"$/,
    ],
    ["client_capabilities: all", /^3:74: client_capabilities has to be array/],
    ["session_context: maybe", /^3:70: session_context has to be boolean/],
  ])("%s", (rest, mistake) => {
    expect(mistakesOf(`type: npx, command: p@1.0.0, ${rest}`)).toEqual([expect.stringMatching(mistake)]);
  });
});

describe("ids that routes need themselves", () => {
  test.each(["sse", "ws", "messages"])("%s", (id) => {
    const text = `groups: [{ id: ${id} }]\nmcp_servers: [{ id: ${id}, group: ${id}, type: npx, command: p@1.0.0 }]`;
    const reason = "must not be sse or ws or messages: routes use these words";
    const taken = () => loadDesiredState(text, { file: "/f.yaml", env: {} });
    expect(taken).toThrow(`groups[0].id ${reason}`);
    expect(taken).toThrow(`mcp_servers[0].id ${reason}`);
  });

  test("sets, of a group only", () => {
    const text = "groups: [{ id: sets }]\nmcp_servers: [{ id: sets, group: sets, type: npx, command: p@1.0.0 }]";
    const taken = () => loadDesiredState(text, { file: "/f.yaml", env: {} });
    expect(taken).toThrow('groups[0].id must not be "sets": tool sets are behind that word');
    expect(taken).not.toThrow("mcp_servers[0].id");
  });
});
