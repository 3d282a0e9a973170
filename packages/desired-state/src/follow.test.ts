import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AppError } from "@tollgate/errors";
import { followDesiredState } from "./follow.ts";
import type { DesiredState } from "./state.ts";

let folder: string;
let file: string;
let ending: AbortController;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "desired-state-"));
  file = join(folder, "tollgate.yaml");
  ending = new AbortController();
});
afterEach(async () => {
  ending.abort();
  await rm(folder, { recursive: true });
});

async function follow(
  apply?: (state: DesiredState) => Promise<void>,
  env: Record<string, string> = {},
  fingerprint?: () => Promise<string>,
) {
  const applied: string[][] = [];
  const problems: string[] = [];
  await followDesiredState({
    file,
    env,
    signal: ending.signal,
    ...(fingerprint && { fingerprint }),
    apply: async (state) => {
      await apply?.(state);
      applied.push(state.groups.map(({ id }) => id));
    },
    onProblem: (error) => problems.push((error as Error).message),
  });
  return { applied, problems };
}

test("applies the file at once, and each later content once, however it gets there", async () => {
  await writeFile(file, "groups: [{ id: a }]");
  const { applied, problems } = await follow();
  expect(applied).toEqual([["a"]]);

  await writeFile(file, "groups: [{ id: b }]");
  await vi.waitFor(() => expect(applied).toEqual([["a"], ["b"]]), { timeout: 5_000 });

  const other = join(folder, "other.yaml");
  await writeFile(other, "groups: [{ id: c }]");
  await rename(other, file);
  await vi.waitFor(() => expect(applied).toEqual([["a"], ["b"], ["c"]]), { timeout: 5_000 });
  expect(problems).toEqual([]);
});

test("what else is read with the file is followed like it", async () => {
  await writeFile(file, "groups: [{ id: a }]");
  let fingerprint = "first";
  const { applied, problems } = await follow(undefined, {}, () => Promise.resolve(fingerprint));
  fingerprint = "second";
  await vi.waitFor(() => expect(applied).toEqual([["a"], ["a"]]), { timeout: 5_000 });
  expect(problems).toEqual([]);
});

test("a secret that changes is taken as a change of the file; one that goes is a mistake", async () => {
  await writeFile(file, "groups: [{ id: '${secret:group}' }]");
  await writeFile(join(folder, "group"), "a\n");
  const { applied, problems } = await follow(undefined, { TOLLGATE_SECRETS_DIR: folder });
  await writeFile(join(folder, "group"), "b\n");
  await vi.waitFor(() => expect(applied).toEqual([["a"], ["b"]]), { timeout: 5_000 });
  await rm(join(folder, "group"));
  await vi.waitFor(() => expect(problems).toEqual([expect.stringContaining("needs the secret group")]), {
    timeout: 5_000,
  });
  expect(applied).toHaveLength(2);
});

test("a text that is still being written is not taken", async () => {
  await writeFile(file, "groups: [{ id: a }]");
  const { applied } = await follow();
  for (let count = 0; count < 20; count += 1) {
    await writeFile(file, `groups: [{ id: part-${count} }]`);
    await sleep(50);
  }
  await writeFile(file, "groups: [{ id: whole }]");
  await vi.waitFor(() => expect(applied.at(-1)).toEqual(["whole"]), { timeout: 5_000 });
  expect(applied).toEqual([["a"], ["whole"]]);
});

test("a mistake or a missing file is told once, and the last state goes on", async () => {
  await writeFile(file, "groups: [{ id: a }]");
  const { applied, problems } = await follow();
  await writeFile(file, "groups: [{ id: A }]");
  await vi.waitFor(() => expect(problems).toEqual([expect.stringContaining("tollgate.yaml:1:16: groups[0].id")]), {
    timeout: 5_000,
  });
  await rm(file);
  await vi.waitFor(
    () => expect(problems).toEqual([expect.anything(), expect.stringContaining("cannot be read: ENOENT")]),
    {
      timeout: 5_000,
    },
  );
  expect(applied).toEqual([["a"]]);
  await writeFile(file, "groups: [{ id: b }]");
  await vi.waitFor(() => expect(applied).toEqual([["a"], ["b"]]), { timeout: 5_000 });
  expect(problems).toHaveLength(2);
});

test("what could not be applied is tried again", async () => {
  await writeFile(file, "groups: []");
  let failures = 1;
  const { applied, problems } = await follow(async (state) => {
    if (state.groups.length > 0 && failures-- > 0) throw new AppError("unavailable", "the database is away");
  });
  await writeFile(file, "groups: [{ id: a }]");
  await vi.waitFor(() => expect(applied).toEqual([[], ["a"]]), { timeout: 10_000 });
  expect(problems).toEqual(["the database is away"]);
});

test("a wrong or missing file at the start is the caller's error", async () => {
  await expect(follow()).rejects.toThrow("cannot be read: ENOENT");
  await writeFile(file, "nonsense");
  await expect(follow()).rejects.toThrow("tollgate.yaml:1:1");
});
