import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadDesiredState } from "@tollgate/desired-state";
import { eventually, fixtureServer, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

// What docs/policies.md tells its readers: commands as they are pasted, and policies as they are copied.

const COMMAND_TIMEOUT_MS = 30_000;

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo }]
mcp_servers:
  - { id: everything, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: demo-for-all, effect: allow, principals: ["*"], actions: ["*"], resources: ["group:demo"] }
`,
});
let folder = "";
let text = "";

beforeAll(async () => {
  text = await readFile(join(import.meta.dirname, "../docs/policies.md"), "utf8");
  folder = await mkdtemp(join(tmpdir(), "tollgate-policies-"));
  await mkdir(join(folder, ".tollgate"));
  await writeFile(join(folder, ".tollgate/connect.json"), JSON.stringify({ adminToken: system.adminToken }));
  await eventually(async () => expect(await paste("curl -sf http://127.0.0.1:8080/readyz")).not.toBe(""));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map((match) => match[1]!);

async function paste(block: string): Promise<string> {
  const here = block.replaceAll("http://127.0.0.1:8080", system.gatewayUrl).replaceAll("default-user", "caller");
  const options = { cwd: folder, timeout: COMMAND_TIMEOUT_MS };
  const { stdout } = await promisify(execFile)("bash", ["-euc", here], options);
  return stdout;
}

test("its commands do what it says", async () => {
  const [ask, whatIf, rollOut, lookBack, rollBack, ...others] = blocks("sh");
  expect(others).toEqual([]);
  expect(JSON.parse(await paste(ask!))).toMatchObject({ allow: true, policies: ["demo-for-all"] });
  expect(JSON.parse(await paste(whatIf!))).toMatchObject({ complete: true, changed: [] });
  expect(JSON.parse(await paste(rollOut!))).toMatchObject({ id: "no-echo", version: 1 });
  expect(JSON.parse(await paste(ask!))).toMatchObject({ allow: false, policies: ["no-echo"] });
  expect(await paste(lookBack!)).toContain('-  - "everything:echo"\n+  - "everything:*"\n');
  expect(await paste(rollBack!)).toContain('"version":3');
  expect(JSON.parse(await paste(ask!))).toMatchObject({ allow: true });
});

test("its policies are taken as they are", () => {
  const policies = blocks("yaml").map((yaml) => loadDesiredState(yaml, { file: "tollgate.yaml", env: {} }).policies);
  expect(policies.map((each) => each.map(({ name }) => name))).toEqual([["office-hours"], ["no-parent-folders"]]);
});
