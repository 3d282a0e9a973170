import { beforeAll, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";

const installation = useInstallation();

async function importing(body: unknown, token = "admin"): Promise<{ status: number; answer: any }> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(installation.url("/api/v1/imports"), {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  return { status: response.status, answer: await response.json() };
}

beforeAll(() => {
  const { policy } = installation.around;
  policy.tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
  policy.tokens.set("user", principal({ id: "user" }));
  policy.administers = (request) => request.principal!.permissions.includes("admin");
});

describe("POST /api/v1/imports", () => {
  test("answers with entries and with the names of secrets, and never with their values", async () => {
    const env = { NOTES_TOKEN: "made-up-secret-value", NOTES_REGION: "eu" };
    const document = JSON.stringify({ mcpServers: { Notes: { command: "npx", args: ["-y", "@example/notes"], env } } });
    const { status, answer } = await importing({ document, group: "office" });
    expect(status).toBe(200);
    expect(answer).toEqual({
      format: "claude-desktop",
      groups: [{ id: "office" }],
      servers: [
        {
          id: "notes",
          name: "Notes",
          group: "office",
          type: "npx",
          command: "@example/notes",
          env: { NOTES_TOKEN: "${secret:notes.NOTES_TOKEN}", NOTES_REGION: "eu" },
        },
      ],
      connectors: [],
      secrets: [{ name: "notes.NOTES_TOKEN", server: "notes", from: "env NOTES_TOKEN" }],
      warnings: ["notes: @example/notes names no exact version: what runs may change; pin it"],
    });
  });

  test("takes OpenAPI documents in YAML, which come back as they were", async () => {
    const document = "openapi: 3.1.0\ninfo: { title: Pets }\npaths: { /pets: { get: { operationId: listPets } } }\n";
    const { status, answer } = await importing({ document, name: "My Pets" });
    expect(status).toBe(200);
    expect(answer.connectors).toEqual([
      {
        group: "imported",
        entry: {
          id: "my-pets",
          name: "Pets",
          base_url: "https://my-pets.invalid",
          openapi: {
            openapi: "3.1.0",
            info: { title: "Pets" },
            paths: { "/pets": { get: { operationId: "listPets" } } },
          },
        },
      },
    ]);
  });

  test("says where a document is wrong, without what is there", async () => {
    const { status, answer } = await importing({ document: '{\n  "mcpServers": secret-word\n}' });
    expect(status).toBe(400);
    expect(answer).toMatchObject({ code: "invalid_argument", mistakes: ["the document:2:17: is not JSON"] });
    expect(JSON.stringify(answer)).not.toContain("secret-word");
  });

  test("takes 4 MiB and no more", async () => {
    const padded = (chars: number) => ({ document: `{"mcpServers": {}, "x": "${"\\n".repeat(chars / 2)}"}` });
    expect((await importing(padded(4_100_000))).status).toBe(200);
    expect((await importing(padded(4_300_000))).status).toBe(400);
    expect((await importing(padded(16_000_000))).status).toBe(413);
  });

  test("keeps nobody else waiting", async () => {
    const lines = Array.from({ length: 2_000 }, (_, at) => `  /p${at}: { x: [1, 2, 3] }\n`);
    let isDone = false;
    const long = importing({ document: `openapi: 3.1.0\npaths:\n${lines.join("")}  /a: { get: {} }\n` }).finally(() => {
      isDone = true;
    });
    for (let count = 0; count < 5; count += 1) {
      const headers = { authorization: "Bearer admin" };
      expect((await fetch(installation.url("/api/v1/groups"), { headers })).status).toBe(200);
    }
    expect(isDone).toBe(false);
    expect((await long).status).toBe(200);
  });

  test("reads two at a time, and tells others when to come back", async () => {
    const document = `openapi: 3.1.0\npaths:\n${Array.from({ length: 500 }, (_, at) => `  /p${at}: {}\n`).join("")}  /a: { get: {} }\n`;
    const answers = await Promise.all(Array.from({ length: 5 }, () => importing({ document })));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(3);
    expect(refused[0]?.answer).toMatchObject({ code: "overloaded", retryAfterSeconds: 5 });
    expect((await importing({ document })).status).toBe(200);
  });

  test("is for those who may see servers", async () => {
    expect((await importing({ document: "{}" }, "user")).status).toBe(403);
  });
});
