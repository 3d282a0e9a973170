import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { findBubblewrap } from "../src/index.ts";
import { scratchDir } from "./scratch.ts";

afterEach(() => vi.unstubAllEnvs());

async function placeFake(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  const file = join(dir, "bwrap");
  await writeFile(file, "#!/bin/sh\necho bubblewrap 0.8.0\n");
  await chmod(file, 0o755);
  return file;
}

test("what is installed is taken before what was downloaded", async () => {
  const dir = await scratchDir();
  const cacheDir = join(dir, "cache");
  const cached = await placeFake(cacheDir);
  vi.stubEnv("PATH", join(dir, "nothing"));
  expect(await findBubblewrap({ cacheDir })).toBe(cached);
  await placeFake(join(dir, "bin"));
  vi.stubEnv("PATH", join(dir, "bin"));
  expect(await findBubblewrap({ cacheDir })).toBe("bwrap");
});

test("without any way to it, one line says how to get it, and nothing is left behind", async () => {
  const dir = await scratchDir();
  const cacheDir = join(dir, "cache");
  vi.stubEnv("PATH", join(dir, "nothing"));
  const error = await findBubblewrap({ cacheDir }).catch((each: unknown) => each);
  expect(error).toMatchObject({ code: "unavailable", message: expect.stringContaining("apt-get install bubblewrap") });
  expect(await readdir(cacheDir)).toEqual([]);
});
