import { loadDesiredState } from "@tollgate/desired-state";
import { describe, expect, it } from "vitest";
import { importDocument, toYaml } from "../src/index.ts";

describe("what is a secret", () => {
  function importOne(server: object) {
    const imported = importDocument(JSON.stringify({ mcpServers: { a: server } }));
    const { values, ...others } = imported;
    const state = loadDesiredState(toYaml(imported), {
      file: "tollgate.yaml",
      env: {},
      readSecret: (name) => ({ ok: true, value: values.get(name) ?? "given" }),
      sections: ["groups", "mcp_servers"],
    });
    expect(state.servers).toHaveLength(1);
    return { imported, entry: imported.servers[0]!, shown: JSON.stringify(others) + toYaml(imported), state };
  }

  const HEADER = "s3cr3t-of-header";
  it.each([
    [
      ["--header", `Authorization: Bearer ${HEADER}`],
      ["--header", "Authorization: Bearer ${secret:a.Authorization}"],
    ],
    [[`--header=Authorization: Bearer ${HEADER}`], ["--header=Authorization: Bearer ${secret:a.Authorization}"]],
    [
      ["-H", "X-Api-Key:abc-of-key"],
      ["-H", "X-Api-Key:${secret:a.X-Api-Key}"],
    ],
    [
      ["-e", "API_KEY=abc-of-key"],
      ["-e", "API_KEY=${secret:a.API_KEY}"],
    ],
    [["API_KEY=${env:KEY}"], ["API_KEY=${secret:a.KEY}"]],
    [
      ["--config", '{"exaApiKey":"abc-of-key"}'],
      ["--config", "${secret:a.config}"],
    ],
    [
      ["--config", JSON.stringify('{"deep":[{"exaApiKey":"abc-of-key"}]}')],
      ["--config", "${secret:a.config}"],
    ],
    [
      ["--config", '{"key":"${input:k}","b":1}'],
      ["--config", '{"key":"${secret:a.k}","b":1}'],
    ],
    [
      ["-c", `PGPASSWORD=of-password serve --api-key of-key --token $TOKEN --header "Authorization: Bearer ${HEADER}"`],
      [
        "-c",
        'PGPASSWORD=${secret:a.PGPASSWORD} serve --api-key ${secret:a.api-key} --token $TOKEN --header "Authorization: Bearer ${secret:a.c}"',
      ],
    ],
    [["Bearer", "basic", "--key-file", "/srv/key", "a=b", "C:\\token", "http://token:80/x"], undefined],
    [["docker.example/a@sha256:0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b"], undefined],
  ])("in arguments: %j", (args, expected) => {
    const { entry: made, shown, state } = importOne({ command: "/opt/serve", args });
    expect(made.args).toEqual(expected ?? args);
    for (const value of ["abc-of-key", "of-password", HEADER]) expect(shown).not.toContain(value);
    // Its process gets what it got.
    if (!args.join("").includes("${")) expect(JSON.stringify(state)).toContain(JSON.stringify(args).slice(1, -1));
  });

  it("in variables: also beside placeholders, in JSON and in urls", () => {
    const { imported, entry: made } = importOne({
      command: "/opt/serve",
      env: {
        DB: "postgres://admin:hunter2pass@${DB_HOST}/db",
        OTHER_DB: "postgres://${DB_USER}:hunter3pass@db/x",
        MAIN_DB: "postgres://admin:${DB_PASSWORD}@db/x",
        OPENAPI_HEADERS: '{"Authorization":"Bearer ntn-of-headers","X":"1"}',
        MIXED: '{"apiKey":"key-of-mixed","url":"${BASE}"}',
        WORDS: "sign with ghp_abcdefghij0123456789 please",
        SESSION_TOKEN: "prefix-of-token${REST}",
        SERVICE_TOKEN: "Bearer ${REST}",
        HOOK: "https://hooks.example.com/mcp/ZDY3NmQ4YjktNTU2Yi00YmM5LTk1/sse",
      },
    });
    expect(made.env).toEqual({
      DB: "postgres://admin:${secret:a.DB}@${secret:a.DB_HOST}/db",
      OTHER_DB: "postgres://${secret:a.DB_USER}:${secret:a.OTHER_DB}@db/x",
      MAIN_DB: "postgres://admin:${secret:a.DB_PASSWORD}@db/x",
      OPENAPI_HEADERS: "${secret:a.OPENAPI_HEADERS}",
      MIXED: "${secret:a.MIXED}",
      WORDS: "sign with ${secret:a.WORDS} please",
      SESSION_TOKEN: "${secret:a.SESSION_TOKEN}${secret:a.REST}",
      SERVICE_TOKEN: "Bearer ${secret:a.REST}",
      HOOK: "https://hooks.example.com/mcp/${secret:a.HOOK}/sse",
    });
    expect(Object.fromEntries(imported.values)).toEqual({
      "a.DB": "hunter2pass",
      "a.OTHER_DB": "hunter3pass",
      "a.OPENAPI_HEADERS": '{"Authorization":"Bearer ntn-of-headers","X":"1"}',
      "a.WORDS": "ghp_abcdefghij0123456789",
      "a.SESSION_TOKEN": "prefix-of-token",
      "a.HOOK": "ZDY3NmQ4YjktNTU2Yi00YmM5LTk1",
    });
    expect(imported.warnings).toContain("a: env MIXED holds secrets and variables: set it as a whole");
  });
});
