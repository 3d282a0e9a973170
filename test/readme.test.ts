import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "@tollgate/embedded";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const NOT_COPIED = new Set([".git", ".nx", ".tollgate", "node_modules"]);
const COMMAND_TIMEOUT_MS = 120_000;
const LAST = "npm stop";

let copy = "";
let port = 0;

/** Runs a block as a reader pastes it, in a copy of the repository and on a port that is free. */
async function paste(block: string): Promise<string> {
  const here = block.replaceAll("127.0.0.1:8080", `127.0.0.1:${port}`).replace("--detach", `--detach --port ${port}`);
  const options = { cwd: copy, timeout: COMMAND_TIMEOUT_MS, env: { ...process.env, INIT_CWD: copy } };
  const { stdout } = await promisify(execFile)("bash", ["-euc", here], options);
  return stdout;
}

/** The blocks marked `sh`, in the order in which a reader comes by them. */
async function readBlocks(): Promise<string[]> {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  return [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!.trim());
}

beforeAll(async () => {
  port = await freePort();
  copy = await mkdtemp(join(tmpdir(), "tollgate-readme-"));
  for (const name of await readdir(ROOT)) {
    if (!NOT_COPIED.has(name))
      await cp(join(ROOT, name), join(copy, name), { recursive: true, verbatimSymlinks: true });
  }
  // Hard links: the packages are not installed once more, but lie where this copy looks for them.
  await promisify(execFile)("cp", ["-al", join(ROOT, "node_modules"), join(copy, "node_modules")]);
}, 120_000);

afterAll(async () => {
  await paste(LAST);
  await rm(copy, { recursive: true, force: true });
}, 120_000);

test("every command of the README works when pasted", async () => {
  const blocks = await readBlocks();
  const [start, tests, ...tasks] = blocks;
  // `npm start` stays in the foreground and `npm test` is what runs here: both are shown first, as they are.
  expect([start, tests]).toEqual(["npm start", "npm test"]);
  expect(tasks.at(0)).toBe("npm start -- --detach");
  expect(tasks.at(-1)).toBe(LAST);

  const outputs: string[] = [];
  for (const block of tasks) outputs.push(await paste(block));
  const everything = outputs.join("\n");
  expect(everything).toContain("Tollgate is ready.");
  expect(everything).toContain("Echo: hello");
  expect(everything).toMatch(/"id":"filesystem"[^}]*"status":"ready"/);
  expect(everything).toMatch(/"kind":"call"[^\n]*"decision":\{"allow":true/);
  expect(everything).toMatch(/"cost":"0\.\d+"/);
  expect(everything).toContain("time,id,kind,outcome,tenant");
  expect(everything).toMatch(/Proven: \d+ events/);
  expect(everything).toMatch(/"effect":"deny"/);
  expect(everything).toContain("mcpServers");
  expect(await paste(LAST)).toContain("does not run");
}, 300_000);
