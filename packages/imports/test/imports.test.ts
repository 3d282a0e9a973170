import { loadDesiredState } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IMPORT_FORMATS, importDocument, type Imported, type ImportOptions, toYaml } from "../src/index.ts";
import { CLAUDE, CURSOR, OPENAPI, REGISTRY, REGISTRY_LIST, VSCODE } from "./documents.ts";

function load(imported: Imported) {
  return loadDesiredState(toYaml(imported), {
    file: "tollgate.yaml",
    env: {},
    readSecret: (name) => ({ ok: true, value: imported.values.get(name) ?? "given" }),
    sections: ["groups", "mcp_servers"],
  });
}

function entry(imported: Imported, id: string) {
  const found = imported.servers.find((each) => each.id === id);
  if (found === undefined) throw new Error(`no ${id} among ${imported.servers.map((each) => each.id).join(", ")}`);
  return found;
}

/** All that may be shown. */
function shown(imported: Imported): string {
  const { values: _, ...rest } = imported;
  return JSON.stringify(rest) + toYaml(imported);
}

describe("Claude Desktop's file", () => {
  const imported = importDocument(CLAUDE, { group: "office" });

  it("is known by itself, and its servers are in one group", () => {
    expect(imported.format).toBe("claude-desktop");
    expect(imported.groups).toEqual([{ id: "office" }]);
    expect(imported.servers.map(({ id, group }) => [id, group])).toEqual(
      ["github", "files", "search", "git", "weather", "reports", "crm", "own"].map((id) => [id, "office"]),
    );
  });

  it("has secrets in plain text, which are kept apart from everything that is shown", () => {
    expect(entry(imported, "github").env).toEqual({
      GITHUB_PERSONAL_ACCESS_TOKEN: "${secret:github.GITHUB_PERSONAL_ACCESS_TOKEN}",
    });
    expect([...imported.values]).toEqual([
      ["github.GITHUB_PERSONAL_ACCESS_TOKEN", "ghp_made0up0made0up0made0up"],
      ["search.SEARCH_API_KEY", "plain-key"],
      ["reports.password", "hunter2-hunter2"],
      ["crm.Authorization", "crm-secret-1"],
    ]);
    expect(imported.secrets.map(({ name, server, from }) => [name, server, from])).toContainEqual([
      "search.SEARCH_API_KEY",
      "search",
      "env SEARCH_API_KEY",
    ]);
    for (const value of imported.values.values()) expect(shown(imported)).not.toContain(value);
  });

  it("starts packages, images, projects and scripts: each as the type that can be kept best", () => {
    expect(entry(imported, "github")).toMatchObject({
      name: "GitHub",
      type: "container",
      command: "images.example.com/github-mcp-server:0.9.1",
      args: ["stdio"],
    });
    expect(entry(imported, "files")).toEqual({
      id: "files",
      group: "office",
      type: "npx",
      command: "@modelcontextprotocol/server-filesystem@2026.8.31",
      args: ["/srv/files"],
    });
    expect(entry(imported, "search")).toMatchObject({
      type: "npx",
      command: "@example/search",
      env: { SEARCH_API_KEY: "${secret:search.SEARCH_API_KEY}", SEARCH_REGION: "eu", DEBUG: "true" },
      enabled: false,
    });
    expect(entry(imported, "git")).toMatchObject({ type: "command", command: "uvx" });
    expect(entry(imported, "weather")).toMatchObject({
      type: "uv",
      command: "weather.py",
      working_dir: "/srv/weather",
    });
    expect(entry(imported, "reports")).toMatchObject({
      type: "python",
      command: "/srv/reports.py",
      args: ["--password", "${secret:reports.password}"],
    });
    expect(entry(imported, "own")).toMatchObject({ type: "command", command: "/opt/own/server", args: ["--verbose"] });
  });

  it("goes to the web through mcp-remote, which is not needed here", () => {
    expect(entry(imported, "crm")).toEqual({
      id: "crm",
      group: "office",
      type: "remote",
      url: "https://crm.example.com/sse",
      transport: "sse",
      headers: { Authorization: "Bearer ${secret:crm.Authorization}" },
    });
  });

  it("leaves warnings for what has to be looked at", () => {
    expect(imported.warnings).toEqual([
      "github: --name of docker run is left out; see sandbox and limits",
      "search: @example/search names no exact version: what runs may change; pin it",
      "git: uvx has to be on the runner's PATH, and fetches the package when it starts",
      "git: mcp-server-git names no exact version: what runs may change; pin it",
      "weather: /srv/weather has to have a uv.lock",
      "reports: it gets a virtual environment of its own: name what it needs in requirements",
      "reports: a secret in args is seen by whoever sees the machine's processes; give it in env, if the server can",
    ]);
  });

  it("loads", () => {
    const { servers } = load(imported);
    expect(servers.find(({ id }) => id === "crm")?.headers).toEqual({ Authorization: "Bearer crm-secret-1" });
    expect(servers.find(({ id }) => id === "reports")?.args).toEqual(["--password", "hunter2-hunter2"]);
  });
});

describe("Cursor's file", () => {
  const imported = importDocument(CURSOR);

  it("reaches servers by url, and takes values from the environment", () => {
    expect(imported.format).toBe("cursor");
    expect(entry(imported, "linear")).toMatchObject({
      type: "remote",
      url: "https://mcp.linear.example/mcp",
      headers: { Authorization: "Bearer ${secret:linear.LINEAR_TOKEN}", "X-Team": "core" },
    });
    expect(imported.secrets[0]).toEqual({
      name: "linear.LINEAR_TOKEN",
      server: "linear",
      from: "the environment variable LINEAR_TOKEN",
    });
  });

  it("takes passwords and keys out of urls", () => {
    expect(entry(imported, "old")).toMatchObject({
      url: "https://old.example.com/sse?api_key=${secret:old.api_key}&v=2",
      transport: "sse",
      headers: { Authorization: "Basic ${secret:old.Authorization}" },
    });
    expect(imported.values.get("old.Authorization")).toBe(Buffer.from("user:pa ss").toString("base64"));
    expect(load(imported).servers.find(({ id }) => id === "old")?.url).toContain("api_key=abc123def");
  });
});

describe("VS Code's file", () => {
  it("may have comments and trailing commas, asks its user, and puts folders in", () => {
    const imported = importDocument(VSCODE);
    expect(imported.format).toBe("vscode");
    expect(entry(imported, "jira-cloud")).toEqual({
      id: "jira-cloud",
      name: "Jira // Cloud",
      group: "imported",
      type: "node",
      command: "$${workspaceFolder}/jira.js",
      args: ["--url", "https://jira.example.com/a//b"],
      env: { JIRA_TOKEN: "${secret:jira-cloud.jira-token}", TEMPLATE: "cost: $${" },
    });
    expect(imported.secrets).toEqual([{ name: "jira-cloud.jira-token", server: "jira-cloud", from: "Jira API token" }]);
    expect(imported.warnings[0]).toContain("${workspaceFolder} is put in by the editor");
    expect(entry(imported, "docs")).toMatchObject({ type: "remote", transport: "streamable-http" });
    load(imported);
  });

  it("may describe its inputs in words that YAML would take for entries", () => {
    const inputs = [{ id: "key", description: "A key\n\u2028mcp_servers: []\rgroups: 1" }];
    const imported = importDocument(
      JSON.stringify({ inputs, servers: { a: { command: "own", env: { KEY: "${input:key}" } } } }),
    );
    expect(toYaml(imported)).toContain("#   a.key (A key mcp_servers: [] groups: 1)\n");
    expect(load(imported).servers).toHaveLength(1);
  });

  it("may start a package that is called like its program", () => {
    for (const [command, ...args] of [
      ["npx", "npx"],
      ["node", "node"],
      ["python", "python3"],
    ])
      expect(load(importDocument(JSON.stringify({ mcpServers: { a: { command, args } } }))).servers).toMatchObject([
        { type: "command", command, args },
      ]);
  });

  it("may be its settings", () => {
    const settings = { "editor.tabSize": 2, mcp: { servers: { a: { command: "npx", args: ["-y", "a@1.0.0"] } } } };
    expect(importDocument(JSON.stringify(settings)).servers).toMatchObject([{ id: "a", command: "a@1.0.0" }]);
  });
});

describe("the MCP registry", () => {
  it("says in server.json how a package is started and what it needs", () => {
    const imported = importDocument(JSON.stringify(REGISTRY));
    expect(imported.format).toBe("registry");
    expect(imported.servers).toEqual([
      {
        id: "brave-search",
        name: "Brave Search",
        group: "imported",
        type: "npx",
        command: "@acme/server-brave-search@1.0.2",
        args: ["stdio", "--region", "eu", "--account", "${secret:brave-search.account}", "--cache", "cache/data"],
        env: { BRAVE_API_KEY: "${secret:brave-search.BRAVE_API_KEY}", LOG_LEVEL: "info" },
      },
    ]);
    expect(imported.secrets.map(({ name }) => name)).toEqual(["brave-search.account", "brave-search.BRAVE_API_KEY"]);
    expect(imported.warnings).toContain("brave-search: the package of kind mcpb cannot be run here");
    expect(imported.warnings).toContain("brave-search: it also comes as remote");
    load(imported);
  });

  it("answers with a list, of which old versions and what cannot be run are left out", () => {
    const imported = importDocument(JSON.stringify(REGISTRY_LIST));
    expect(imported.servers).toEqual([
      {
        id: "remote",
        name: "com.example/remote",
        group: "imported",
        type: "remote",
        url: "https://${secret:remote.tenant}.example.com/mcp",
        transport: "streamable-http",
        headers: { Authorization: "Bearer ${secret:remote.token}" },
      },
      {
        id: "database",
        name: "io.example/database",
        group: "imported",
        type: "container",
        command: "images.example.com/example/database:3.1.0",
        env: { DB_TYPE: "postgres", DB_PASSWORD: "${secret:database.DB_PASSWORD}" },
      },
      {
        id: "python",
        name: "io.example/python",
        group: "imported",
        type: "command",
        command: "uvx",
        args: ["weather-mcp@0.5.0"],
      },
    ]);
    expect(imported.warnings).toContain("none: is left out: it has no package or remote server that could be used");
    load(imported);
  });
});

describe("an OpenAPI document", () => {
  const imported = importDocument(OPENAPI, { group: "shop" });

  it("becomes a connector with what its API asks for", () => {
    expect(imported).toMatchObject({ format: "openapi", servers: [], groups: [{ id: "shop" }] });
    expect(imported.connectors).toMatchObject([
      {
        group: "shop",
        entry: {
          id: "pet-shop",
          name: "Pet Shop",
          base_url: "https://pets.example.com/v1",
          auth: { type: "api_key", in: "header", name: "X-Key", value: "${secret:pet-shop.key}" },
          pagination: { style: "auto" },
        },
      },
    ]);
    expect(imported.secrets).toEqual([{ name: "pet-shop.key", server: "pet-shop", from: "the security scheme key" }]);
  });

  it("loads with its document, and is written with the name of a file in its place", () => {
    expect(load(imported).servers).toMatchObject([{ id: "pet-shop", type: "connector", group: "shop" }]);
    expect(toYaml(imported, { openapiFile: "pets.yaml" })).toContain("openapi: pets.yaml");
  });

  it("that does not say where its API is leads nowhere until somebody says it", () => {
    const nowhere = importDocument(JSON.stringify({ openapi: "3.1.0", paths: { "/a": { get: {} } } }), {
      name: "My API",
    });
    expect(nowhere.connectors[0]?.entry).toMatchObject({ id: "my-api", base_url: "https://my-api.invalid" });
    expect(nowhere.warnings).toEqual(["my-api: its document does not say where the API is: set base_url"]);
    load(nowhere);
  });
});

describe("what cannot be imported", () => {
  it.each<[string, string, ImportOptions?]>([
    ["is nothing that is known", '{"a": 1}'],
    ["is empty", ""],
    ["is an API without operations", '{"openapi": "3.1.0", "paths": {}}'],
    ["is no object", "[1, 2]"],
    ["is of another format", CLAUDE, { format: "openapi" }],
    ["goes into a group that cannot be", CLAUDE, { group: "No Group" }],
    ["is too large", `{"mcpServers": {}, "x": "${"x".repeat(4 * 1024 * 1024)}"}`],
  ])("%s", (_why, text, options) => expect(() => importDocument(text, options)).toThrow(AppError));

  it("is refused or cut where it is deeper than anything could be", { timeout: 60_000 }, () => {
    const deep = (open: string, close: string) => open.repeat(50_000) + close.repeat(50_000);
    for (const text of [deep("[", "]"), deep("a: [", "]"), `openapi: ${deep("[", "]")}`])
      expect(() => importDocument(text)).toThrow(AppError);
    expect(importDocument(`{"remotes": [{"url": "https://a.example", "x": ${deep("[", "]")}}]}`).servers).toHaveLength(
      1,
    );
  });

  it("is told as fast as anything else", () => {
    for (const text of ['{"a": "' + '\\"'.repeat(1_000_000), "{" + "/*".repeat(1_000_000), `{${",".repeat(1_000_000)}`])
      expect(() => importDocument(text)).toThrow(AppError);
  });

  it("is told with its place, and never with what is there", () => {
    const secret = "ghp_secret0secret0secret";
    for (const text of [`{\n  "mcpServers": { "a": ${secret} }\n}`, `a: [1\nb: ${secret}: x`]) {
      const failed = (() => {
        try {
          return importDocument(text);
        } catch (error) {
          return error as AppError;
        }
      })() as AppError;
      expect(failed).toMatchObject({ code: "invalid_argument" });
      expect((failed.details["mistakes"] as string[])[0]).toMatch(/^the document:[12]:\d+: /);
      expect(JSON.stringify([failed.message, failed.details])).not.toContain(secret);
    }
  });
});

describe("any document", () => {
  const word = fc.oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.constantFrom(
      "${env:A}",
      "${input:x}",
      "${",
      "$${",
      "${secret:x}",
      "${A:-b}",
      "-y",
      "--from",
      "run",
      "-e",
      "A=1",
      "\n- x",
    ),
    fc.constantFrom(
      "npx",
      "uvx",
      "uv",
      "docker",
      "python3",
      "node",
      "pnpm",
      "dlx",
      "mcp-remote",
      "a@1.0.0",
      "--header",
    ),
    fc.constantFrom(
      "https://u:p@x.example/a?token=1#b",
      "ws://x",
      "http://[::1",
      "Bearer a b",
      "ghp_abcdefghijklmnopq",
    ),
  );
  const texts = fc.dictionary(
    fc.oneof(word, fc.constantFrom("A_TOKEN", "Accept", "X-Y", "constructor", "__proto__")),
    fc.oneof(word, fc.integer()),
    { maxKeys: 3 },
  );
  const server = fc.record(
    {
      command: word,
      args: fc.array(fc.oneof(word, fc.integer()), { maxLength: 6 }),
      env: texts,
      url: word,
      headers: texts,
      cwd: word,
      type: fc.constantFrom("stdio", "http", "sse", "constructor"),
      disabled: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  const input = fc.record(
    {
      name: word,
      type: fc.constantFrom("named", "positional"),
      value: word,
      default: word,
      isRequired: fc.boolean(),
      isSecret: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  const packaged = fc.record(
    {
      registryType: fc.constantFrom("npm", "oci", "pypi", "nuget", "x"),
      identifier: word,
      version: word,
      packageArguments: fc.array(input, { maxLength: 2 }),
      runtimeArguments: fc.array(input, { maxLength: 2 }),
      environmentVariables: fc.array(input, { maxLength: 2 }),
    },
    { requiredKeys: [] },
  );
  const remote = fc.record({ type: word, url: word, headers: fc.array(input, { maxLength: 2 }) }, { requiredKeys: [] });
  const document = fc.oneof(
    fc.record({ mcpServers: fc.dictionary(word, server, { maxKeys: 3 }) }),
    fc.record({ servers: fc.dictionary(word, server, { minKeys: 1, maxKeys: 3 }) }),
    fc.record({
      name: word,
      title: word,
      packages: fc.array(packaged, { maxLength: 2 }),
      remotes: fc.array(remote, { maxLength: 2 }),
    }),
    fc.record({
      openapi: fc.constant("3.1.0"),
      info: fc.record({ title: word }),
      servers: fc.array(fc.record({ url: word })),
      security: fc.constant([{ s: [] }]),
      paths: fc.constant({ "/a": { get: {} } }),
      components: fc.record({
        securitySchemes: fc.record({
          s: fc.record({
            type: fc.constantFrom("apiKey", "http", "oauth2"),
            scheme: fc.constantFrom("bearer", "basic"),
            in: fc.constantFrom("header", "query"),
            name: word,
          }),
        }),
      }),
    }),
  );

  it("gives entries that load, with all its secrets named", () => {
    fc.assert(
      fc.property(document, (given) => {
        const imported = importDocument(JSON.stringify(given));
        const { servers } = load(imported);
        expect(servers).toHaveLength(imported.servers.length + imported.connectors.length);
        const named = new Set(imported.secrets.map(({ name }) => name));
        expect(new Set(servers.flatMap(({ secretNames }) => secretNames))).toEqual(named);
        for (const name of imported.values.keys()) expect(named).toContain(name);
      }),
      { numRuns: 300 },
    );
  });

  it("is read or refused, whatever the text and the format", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.json(),
      document.map((each) => JSON.stringify(each).slice(0, -3)),
    );
    fc.assert(
      fc.property(text, fc.option(fc.constantFrom(...IMPORT_FORMATS), { nil: undefined }), (given, format) => {
        try {
          importDocument(given, format === undefined ? {} : { format });
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
  });
});
