import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@tollgate/embedded";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { runLauncher } from "./launcher.ts";

const LETTER = {
  id: 7,
  at: "2026-11-21T07:00:00.000Z",
  service: "runner",
  subject: "calls.of.acme",
  reason: "an envelope\nwithout a deadline",
  data: 'first\n{"second":\t1}',
  truncated: false,
};
const OTHER = { ...LETTER, id: 12, service: "audit", reason: "not JSON", truncated: true };

const dir = mkdtempSync(join(tmpdir(), "tollgate-dead-"));
/** The gateway's answers, by request; the rest is 404. */
const answers: Record<string, { status?: number; body: unknown }> = {};
const asked: string[] = [];
let gateway: Server;

beforeAll(async () => {
  gateway = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    const { status = 200, body } = answers[`${request.method} ${request.url?.split("?")[0]}`] ?? {
      status: 404,
      body: { detail: "there is no dead letter 9" },
    };
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body === null ? undefined : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  gateway.close();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => {
  const { port } = gateway.address() as AddressInfo;
  connectTo(`http://127.0.0.1:${port}`);
});
afterEach(() => {
  for (const key of Object.keys(answers)) delete answers[key];
  asked.length = 0;
});

function connectTo(gatewayUrl: string): void {
  writeFileSync(join(dir, "connect.json"), JSON.stringify({ gatewayUrl, adminToken: "tga_secret", token: "x" }));
}

const dead = (...words: string[]) => runLauncher(["dead-letters", ...words, "--state", dir]);
const LIST = "GET /api/v1/dead-letters";

describe("the list of dead letters", () => {
  test("is a table, and says how it goes on", async () => {
    answers[LIST] = { body: { items: [LETTER, OTHER], nextCursor: "13" } };
    const { code, output } = await dead("list", "--service", "runner", "--limit", "2");
    expect(output.split("\n").toSorted()).toEqual(
      [
        "id  at                        service  subject        reason",
        "7   2026-11-21T07:00:00.000Z  runner   calls.of.acme  an envelope without a deadline",
        "12  2026-11-21T07:00:00.000Z  audit    calls.of.acme  not JSON",
        "There are more: --limit 20",
        "",
      ].toSorted(),
    );
    expect(code).toBe(0);
    expect(asked).toEqual([`${LIST}?service=runner&limit=2 Bearer tga_secret`]);
  });

  test("may be empty", async () => {
    answers[LIST] = { body: { items: [], nextCursor: null } };
    expect(await dead("list")).toEqual({ code: 0, output: "There is no dead letter.\n" });
  });

  test("is the API's answer with --json", async () => {
    const body = { items: [LETTER], nextCursor: null };
    answers[LIST] = { body };
    expect(JSON.parse((await dead("list", "--json")).output)).toEqual(body);
  });
});

describe("one dead letter", () => {
  test("is shown whole", async () => {
    answers[`${LIST}/12`] = { body: OTHER };
    const { code, output } = await dead("show", "12");
    expect(output).toBe(`id       12
at       2026-11-21T07:00:00.000Z
service  audit
subject  calls.of.acme
reason   not JSON
It cannot be put back: its data is not all that there was, or no text.

first
{"second":\t1}
`);
    expect(code).toBe(0);
  });

  test("says nothing to the terminal that it is shown on", async () => {
    const evil = "\u001b]0;title\u0007\u009b2J\r\u007f";
    answers[`${LIST}/7`] = { body: { ...LETTER, data: evil, reason: evil } };
    const { output } = await dead("show", "7");
    expect(output).toContain("\\x1b]0;title\\x07\\x9b2J\\x0d\\x7f");
    expect(output).not.toMatch(/(?!\n)\p{Cc}/u);
  });

  test("can be put back, and dropped", async () => {
    answers["POST /api/v1/dead-letters/7/put-back"] = { body: { id: 7, subject: "calls.of.acme" } };
    answers["DELETE /api/v1/dead-letters/7"] = { status: 204, body: null };
    expect(await dead("put-back", "7")).toEqual({ code: 0, output: "Dead letter 7 is back on calls.of.acme.\n" });
    expect(await dead("drop", "7")).toEqual({ code: 0, output: "Dead letter 7 is gone.\n" });
    expect(JSON.parse((await dead("drop", "7", "--json")).output)).toEqual({ id: 7 });
  });

  test("that is not there is an error that says so", async () => {
    for (const action of ["show", "put-back", "drop"])
      expect(await dead(action, "9")).toEqual({
        code: 1,
        output: expect.stringMatching(/^there is no dead letter 9\n/),
      });
  });
});

describe("without a Tollgate", () => {
  test("that has been started here", async () => {
    const { code, output } = await runLauncher(["dead-letters", "list", "--state", join(dir, "none")]);
    expect({ code, output }).toEqual({
      code: 1,
      output: expect.stringContaining("Tollgate does not run here: there is no"),
    });
  });

  test("that answers", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    connectTo(url);
    const { code, output } = await dead("list");
    expect({ code, output }).toEqual({
      code: 1,
      output: `nobody answers at ${url}\nStart it with npm start, or name the gateway with --url URL.\n`,
    });
  });
});

test.each<[string[], string]>([
  [[], "Usage: tollgate dead-letters"],
  [["put"], "unknown command 'put'"],
  [["show"], "missing required argument 'id'"],
  [["drop", "0"], "It has to be the number of a dead letter."],
  [["put-back", "7", "8"], "too many arguments"],
  [["list", "7"], "too many arguments"],
  [["list", "--bogus"], "unknown option '--bogus'"],
])("dead-letters %j is not understood", async (words, message) => {
  const { code, output } = await dead(...words);
  expect({ code, output }).toEqual({ code: 2, output: expect.stringContaining(message) });
  expect(asked).toEqual([]);
});
