import { AppError } from "@tollgate/errors";
import { describe, expect, test } from "vitest";
import { loadDesiredState, type LoadOptions } from "./load.ts";
import { SECTIONS } from "./state.ts";

const ENV = { TOKEN: "secret-of-dev-0123456789", KEY: "key-0123456789", PORT: "9000", EMPTY: "" };

function load(text: string, options: Partial<LoadOptions> = {}) {
  return loadDesiredState(text, { file: "/etc/tollgate/tollgate.yaml", env: ENV, ...options });
}

function mistakesOf(text: string, options: Partial<LoadOptions> = {}): string[] {
  try {
    load(text, options);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    const lines = error.message.split("\n  ").slice(1);
    return lines.map((line) => line.replace("/etc/tollgate/tollgate.yaml:", ""));
  }
  return [];
}

const WHOLE = `
control_plane:
  host: 0.0.0.0
  port: \${PORT}
  auth:
    type: token
    tokens:
      - name: dev-team
        token: \${TOKEN}
        team: payments
        roles: [developer]
        permissions: [mcp, admin]
        expires_at: 2030-01-01T00:00:00Z
      - { name: other, token: other-secret-0123456789 }
  limits: { max_concurrent_requests: 10, request_timeout_seconds: 1.5, max_response_size_mb: 2 }
groups:
  - { id: demo, name: Demonstration }
  - id: files
mcp_servers:
  - id: everything
    group: demo
    type: npx
    command: "@modelcontextprotocol/server-everything@2026.8.31"
    env: { API_KEY: "Bearer \${KEY}", PLAIN: "in the file", LITERAL: "$\${KEY}" }
    startup_timeout: 30
  - id: filesystem
    name: Files
    group: files
    type: npx
    command: npx
    args: ["-y", "@modelcontextprotocol/server-filesystem", "/data", "-y"]
    enabled: false
  - { id: script, group: demo, type: node, command: node, args: [./server.js, --verbose] }
  - { id: tool, group: demo, type: command, command: ./bin/tool, working_dir: work }
  - { id: python, group: demo, type: command, command: python3, args: [-m, server] }
policies:
  - { name: allow-dev, effect: allow, principals: ["role:developer"], actions: ["*"], resources: ["files:read_*", "group:demo"] }
`;

/** What a server gets that says nothing of pool, limits, sandbox and tools. */
const BY_DEFAULT = {
  url: "",
  transport: "",
  headers: {},
  requirements: "",
  healthCheckIntervalMs: 30_000,
  pool: {
    mode: "multiplexed",
    shared: false,
    min: 1,
    max: 16,
    maxPerTenant: 12,
    idleTimeoutMs: 600_000,
    callsPerProcess: 256,
    queue: 2_000,
    queueTimeoutMs: 30_000,
  },
  limits: {
    memoryBytes: 2 ** 31,
    cpuMillis: 0,
    openFiles: 4_096,
    processes: 128,
    outputBytes: 6 * 2 ** 20,
    callTimeoutMs: 0,
    concurrency: 0,
  },
  sandbox: { mode: "auto", network: true, read: [], write: [] },
  toolRules: [],
  clientCapabilities: ["sampling", "elicitation", "roots", "tasks"],
  toolPolicy: { changes: "serve_old", certification: "optional", fourEyes: false },
  sessionContext: false,
  environment: "",
  risk: "LOW",
};

describe("a whole file", () => {
  const state = load(WHOLE);

  test("the control plane, with units in names and the environment's values", () => {
    expect(state.controlPlane).toEqual({
      host: "0.0.0.0",
      port: 9000,
      publicUrl: undefined,
      ssl: undefined,
      trustedProxies: [],
      oauth: [],
      agents: [],
      certificates: [],
      tokens: [
        {
          name: "dev-team",
          token: ENV.TOKEN,
          tenant: "default",
          team: "payments",
          roles: ["developer"],
          permissions: ["mcp", "admin"],
          expiresAtMs: Date.UTC(2030, 0, 1),
        },
        {
          name: "other",
          token: "other-secret-0123456789",
          tenant: "default",
          team: "default",
          roles: [],
          permissions: ["mcp"],
        },
      ],
      limits: {
        maxConcurrentRequests: 10,
        requestTimeoutMs: 1_500,
        maxResponseBytes: 2 * 1024 * 1024,
      },
    });
  });

  test("groups and policies", () => {
    expect(state.groups).toEqual([
      { id: "demo", name: "Demonstration" },
      { id: "files", name: "files" },
    ]);
    expect(state.policies).toEqual([
      {
        name: "allow-dev",
        effect: "allow",
        principals: ["role:developer"],
        actions: ["*"],
        resources: ["files:read_*", "group:demo"],
        description: "",
        tenant: "",
        conditions: {},
        record: [],
        cedarText: "",
      },
    ]);
  });

  test("servers, each way of writing a command in one form", () => {
    expect(state.servers.map((server) => ({ ...server, written: undefined }))).toEqual([
      {
        id: "everything",
        name: "everything",
        group: "demo",
        type: "npx",
        command: "@modelcontextprotocol/server-everything@2026.8.31",
        args: [],
        env: { API_KEY: `Bearer ${ENV.KEY}`, PLAIN: "in the file", LITERAL: "${KEY}" },
        ...BY_DEFAULT,
        startupTimeoutMs: 30_000,
        enabled: true,
        secrets: [ENV.KEY],
        secretNames: [],
      },
      {
        id: "filesystem",
        name: "Files",
        group: "files",
        type: "npx",
        command: "@modelcontextprotocol/server-filesystem",
        args: ["/data", "-y"],
        env: {},
        ...BY_DEFAULT,
        startupTimeoutMs: 60_000,
        enabled: false,
        secrets: [],
        secretNames: [],
      },
      expect.objectContaining({
        id: "script",
        command: "./server.js",
        args: ["--verbose"],
        workingDir: "/etc/tollgate",
      }),
      expect.objectContaining({
        id: "tool",
        command: "./bin/tool",
        workingDir: "/etc/tollgate/work",
      }),
      expect.not.objectContaining({ workingDir: expect.anything() }),
    ]);
  });

  test("what may be stored holds references, not values", () => {
    expect(state.servers[0]!.written).toEqual({
      id: "everything",
      group: "demo",
      type: "npx",
      command: "@modelcontextprotocol/server-everything@2026.8.31",
      env: { API_KEY: "Bearer ${KEY}", PLAIN: "(hidden)", LITERAL: "(hidden)" },
      startup_timeout: 30,
    });
    expect(JSON.stringify(state.servers.map(({ written }) => written))).not.toContain(ENV.KEY);
  });

  test("a package without an exact version is a warning with its place", () => {
    expect(state.warnings).toEqual([
      expect.stringMatching(/^\/etc\/tollgate\/tollgate\.yaml:30:14: mcp_servers\[1\]\.command names no exact version/),
    ]);
  });
});

const server = (rest: string) => `groups: [{ id: g }]\nmcp_servers:\n  - { id: a, group: g, ${rest} }`;
const policy = (rest: string) => `policies:\n  - { name: p, ${rest} }`;
const GOOD_POLICY = `effect: allow, principals: ["*"], actions: ["*"], resources: ["*"]`;

test("every section may be left out or be empty", () => {
  expect(load("groups:\n  # - none yet\n")).toMatchObject({
    groups: [],
    servers: [],
    policies: [],
    controlPlane: { port: 8080 },
  });
});

test("a reader of some sections needs only their variables", () => {
  const text = `
groups: [{ id: g }]
control_plane: { port: "\${NOT_THERE}" }
mcp_servers: [{ id: a, group: "\${NOT_THERE}", type: command, command: a, startup_timeout: "\${NOT_THERE}" }]`;
  expect(load(text, { sections: ["groups"] })).toMatchObject({ groups: [{ id: "g" }], servers: [] });
  expect(mistakesOf(text).length).toBeGreaterThan(2);
});

test("a mistake in a section that a reader does not need is one all the same: a file is taken by all or by none", () => {
  const text =
    "mcp_servers: [{ id: a, group: g, type: containr, url: a }]\ngroups: [{ id: g }]\npolicies: [{ name: '' }]";
  for (const section of SECTIONS)
    expect(mistakesOf(text, { sections: [section] }).toSorted()).toEqual(mistakesOf(text).toSorted());
});

describe("mistakes, each with its place", () => {
  test.each<[string, string, unknown[]]>([
    ["nothing", "", ["1:1: the file is empty"]],
    ["a list", "- a", ["1:1: has to hold sections such as mcp_servers:"]],
    ["not YAML", "groups: [\n", [expect.stringMatching(/^2:1: /)]],
    ["a key twice", "groups: []\ngroups: []", [expect.stringMatching(/^2:1: .*unique/)]],
    [
      "a near key",
      "groups: []\npolicy: []\nmcp_server: []",
      [
        expect.stringMatching(/^2:1: policy is not a known key; known are control_plane/),
        '3:1: mcp_server is not a known key; is "mcp_servers" meant?',
      ],
    ],
    [
      "a near key inside",
      server("type: npx, command: p@1.0.0, start_timeout: 3"),
      [expect.stringMatching(/^3:53: mcp_servers\[0\].start_timeout is not a known key/)],
    ],
    [
      "a near key inside a list of lists",
      "groups: [{ id: g, connectors: [{ id: c, base_url: 'http://a', tools: { t: { rsk: LOW } } }] }]",
      [
        expect.stringMatching(
          /^1:\d+: groups\[0\]\.connectors\[0\]\.tools\.t\.rsk is not a known key; is "risk" meant/,
        ),
      ],
    ],
    [
      "an unknown type",
      server("type: pyhton, command: x"),
      [
        "3:30: mcp_servers[0].type is not a type of server; supported are npx, node, python, uv, command, container, remote",
      ],
    ],
    [
      "a condition that is not known",
      policy(`${GOOD_POLICY}, conditions: { require_sandbx: true }`),
      [
        expect.stringMatching(
          /policies\[0\]\.conditions\.require_sandbx is not a known key; is "require_sandbox" meant\?/,
        ),
      ],
    ],
    [
      "a condition that is neither true nor false",
      policy(`${GOOD_POLICY}, conditions: { require_sandbox: maybe }`),
      [expect.stringMatching(/policies\[0\]\.conditions\.require_sandbox has to be boolean/)],
    ],
    ["a missing key", server("type: npx"), ["3:5: mcp_servers[0].command is missing"]],
    [
      "a number for a text",
      server("type: npx, command: p@1.0.0, env: { PORT: 80 }"),
      ["3:66: mcp_servers[0].env.PORT has to be string, not a number: put it in quotes"],
    ],
    [
      "a bad variable name",
      server("type: npx, command: p@1.0.0, env: { a-b: x }"),
      ["3:65: mcp_servers[0].env.a-b is not a name for an environment variable"],
    ],
    [
      "options before the package",
      server('type: npx, command: npx, args: ["-p", "a", "b"]'),
      [expect.stringMatching(/^3:55: mcp_servers\[0\]\.args has to name an npm package/)],
    ],
    ["no package", server("type: npx, command: npx, args: [-y]"), [expect.stringMatching(/args names no package/)]],
    [
      "an unknown variable",
      server("type: npx, command: p@1.0.0, env: { A: '${NOPE}' }"),
      ["3:63: mcp_servers[0].env.A the environment has no NOPE"],
    ],
    [
      "a malformed reference",
      server("type: npx, command: p@1.0.0, env: { A: '${NO-PE}' }"),
      ["3:63: mcp_servers[0].env.A has a ${ that is neither ${NAME} nor ${secret:NAME}; write $${ for a plain ${"],
    ],
    ["a missing number", "control_plane:\n  port: ${NOPE}", ["2:9: control_plane.port the environment has no NOPE"]],
    [
      "an id with underscore",
      "groups: [{ id: a_b }]",
      ["1:16: groups[0].id has to be 1 to 63 of a-z, 0-9 and inner -"],
    ],
    [
      "an unknown group",
      "groups: [{ id: g }]\nmcp_servers: [{ id: a, group: h, type: npx, command: p@1.0.0 }]",
      ["2:31: mcp_servers[0].group is not the id of a group; there are g"],
    ],
    [
      "no groups",
      "mcp_servers: [{ id: a, group: h, type: npx, command: p@1.0.0 }]",
      ["1:31: mcp_servers[0].group is not the id of a group; groups: has none"],
    ],
    ["an id twice", "groups: [{ id: g }, { id: g }]", ["1:27: groups[1].id is the id of another group already"]],
    [
      "the reserved id",
      "groups: [{ id: g }]\nmcp_servers: [{ id: group, group: g, type: npx, command: p@1.0.0 }]",
      [expect.stringMatching(/mcp_servers\[0\]\.id must not be "group"/)],
    ],
    [
      "a bad effect",
      policy(GOOD_POLICY.replace("allow", "permit")),
      ["2:24: policies[0].effect has to be allow or deny"],
    ],
    ["no principals", policy(GOOD_POLICY.replace('["*"]', "[]")), ["2:43: policies[0].principals is empty"]],
    [
      "a bad principal",
      policy(GOOD_POLICY.replace('["*"]', '["*", "person:x"]')),
      [
        "2:49: policies[0].principals[1] has to be *, token:NAME, agent:NAME, user:SUBJECT, role:NAME, team:NAME or tenant:NAME",
      ],
    ],
    [
      "a bad resource",
      policy(GOOD_POLICY.replace(/\["\*"\]$/, '["Files:x"]')),
      [expect.stringMatching(/policies\[0\]\.resources\[0\] the server before the colon/)],
    ],
    [
      "an empty token",
      "control_plane: { auth: { tokens: [{ name: a, token: '${EMPTY}' }] } }",
      [expect.stringMatching(/tokens\[0\]\.token is empty/)],
    ],
    [
      "a token twice",
      "control_plane: { auth: { tokens: [{ name: a, token: '${KEY}' }, { name: b, token: key-0123456789 }] } }",
      [expect.stringMatching(/tokens\[1\]\.token is the same secret as another token's/)],
    ],
    [
      "a bad permission",
      "control_plane: { auth: { tokens: [{ name: a, token: '${KEY}', permissions: [root] }] } }",
      [expect.stringMatching(/tokens\[0\]\.permissions\[0\] has to be mcp, mcp:GROUP, mcp:GROUP\/SERVER or admin$/)],
    ],
    [
      "a bad time",
      "control_plane: { auth: { tokens: [{ name: a, token: '${KEY}', expires_at: soon }] } }",
      [expect.stringMatching(/expires_at has to be a time such as/)],
    ],
    [
      "several at once",
      "groups: [{ id: g }, { id: g }]\nmcp_servers: [{ id: '${NO}' }]\nx: 1",
      [
        expect.stringMatching(/^2:21: .* no NO$/),
        "1:27: groups[1].id is the id of another group already",
        "2:15: mcp_servers[0].group is missing",
        expect.stringMatching(/type is missing$/),
        expect.stringMatching(/^3:1: x is not a known key/),
      ],
    ],
  ])("%s", (_name, text, expected) => {
    expect(mistakesOf(text)).toEqual(expected);
  });

  test("no message repeats a value that came from the environment", () => {
    const secrets =
      "control_plane: { host: [], auth: { type: '${KEY}', tokens: [{ name: '${KEY}!', token: 'a ${KEY}', permissions: ['${KEY}'] }] } }";
    const servers =
      "groups: [{ id: '${KEY}_' }]\nmcp_servers: [{ id: '${KEY}_', group: '${KEY}', type: '${KEY}', command: '${KEY}' }]";
    for (const text of [secrets, servers]) {
      const mistakes = mistakesOf(text);
      expect(mistakes.length).toBeGreaterThan(3);
      // Ids of groups are told to whoever named another one.
      expect(mistakes.filter((line) => !line.includes("there are")).join("\n")).not.toContain(ENV.KEY);
    }
  });

  test("texts made to exhaust the reader are refused", () => {
    const laughs = "abcdefghi".split("").map((name, index, names) => {
      const items = Array.from({ length: 9 }, () => (index === 0 ? "x" : `*${names[index - 1]}`));
      return `${name}: &${name} [${items.join(",")}]`;
    });
    const deep = `groups: ${"[".repeat(3_000)}${"]".repeat(3_000)}`;
    for (const text of [laughs.join("\n"), deep, "[".repeat(20_000), `a: "${"x".repeat(1_100_000)}"`, "a: *nowhere"]) {
      expect(() => load(text)).toThrow(AppError);
    }
  });
});
