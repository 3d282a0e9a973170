import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { findNatsServer } from "../src/index.ts";
import { listMirrors } from "../src/debian-package.ts";
import { isUsable } from "../src/nats-binary.ts";
import { scratchDir } from "./scratch.ts";

afterEach(() => vi.unstubAllEnvs());

async function placeFake(dir: string, version: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  const file = join(dir, "nats-server");
  await writeFile(file, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(file, 0o755);
  return file;
}

test("2.11 is the oldest usable version", () => {
  expect(["2.11.0", "2.15.1", "3.0.0"].map(isUsable)).toEqual([true, true, true]);
  expect(["2.10.29", "1.99.0", "", undefined].map(isUsable)).toEqual([false, false, false, false]);
});

test("a new enough server on the PATH is taken before the cached one; an old one is passed over and said", async () => {
  const dir = await scratchDir();
  const cached = await placeFake(join(dir, "cache"), "2.15.1");
  const path = process.env["PATH"] ?? "";
  const lines: string[] = [];
  const find = (): Promise<string> => findNatsServer({ cacheDir: join(dir, "cache"), log: (line) => lines.push(line) });

  const fresh = await placeFake(join(dir, "fresh"), "2.12.0");
  vi.stubEnv("PATH", [join(dir, "fresh"), path].join(delimiter));
  expect(await find()).toBe(fresh);

  await placeFake(join(dir, "old"), "2.9.10");
  vi.stubEnv("PATH", [join(dir, "old"), path].join(delimiter));
  expect(await find()).toBe(cached);
  expect(lines.join("\n")).toContain("is 2.9.10; 2.11 or newer is needed");
});

test("without any way to it, one line says how to get it, and nothing is left behind", async () => {
  const dir = await scratchDir();
  await placeFake(join(dir, "bin"), "2.9.10");
  vi.stubEnv("PATH", join(dir, "bin"));
  const error = await findNatsServer({ cacheDir: join(dir, "cache"), log: () => undefined }).catch(
    (each: unknown) => each,
  );
  expect(error).toMatchObject({ code: "unavailable" });
  const message = error instanceof Error ? error.message : "";
  expect(message).toMatch(/brew install nats-server.*apt install.*releases/);
  expect(message).not.toContain("\n");
  expect(await readdir(join(dir, "cache"))).toEqual([]);
});

test("mirrors are read from both of apt's formats, without security and media", async () => {
  const dir = await scratchDir();
  await mkdir(join(dir, "sources.list.d"));
  await writeFile(
    join(dir, "sources.list.d/debian.sources"),
    "Types: deb\n# URIs: http://commented.example/\nURIs: http://one.example/debian/\nSuites: x\n\nTypes: deb\nURIs: http://one.example/debian-security\n",
  );
  await writeFile(
    join(dir, "sources.list"),
    "deb cdrom:[disc]/ x main\n#deb http://off.example/debian x main\ndeb [arch=amd64 signed-by=/k] https://two.example/debian x main\ndeb http://one.example/debian x main\n",
  );
  expect(await listMirrors(dir)).toEqual(["http://one.example/debian", "https://two.example/debian"]);
});
