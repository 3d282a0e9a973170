import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SecretsNeeded } from "@tollgate/desired-state";
import { openLife, type Pool } from "@tollgate/service";
import { testLog } from "@tollgate/testkit";
import { expect, onTestFinished, test } from "vitest";
import type { Catalogue } from "./catalogue.ts";
import { openSecretStores } from "./secret-stores.ts";

const TEXT = "secrets: { stores: [files] }";

test("what is asked for by the way is no news; what is in force and changes is", async () => {
  const folder = await mkdtemp(join(tmpdir(), "secret-stores-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const name of ["used", "new"]) await writeFile(join(folder, name), "first");
  const life = openLife(testLog);
  onTestFinished(() => life.close());
  // Of files nothing is asked of a database.
  const without = { pool: {} as Pool, catalogue: {} as Catalogue, envelopes: undefined };
  const stores = openSecretStores({ path: "x", env: { TOLLGATE_SECRETS_DIR: folder }, ...without, life, log: testLog });
  const versionOf = async (occasion: SecretsNeeded["occasion"], ...names: string[]) => {
    const { read, version } = await stores.read({ text: TEXT, names, occasion });
    return { version, answers: names.map((name) => read(name, "server").ok) };
  };
  const { version } = await versionOf("look", "used");
  expect(await versionOf("trial", "used", "new")).toEqual({ version, answers: [true, false] });
  expect([...stores.known().keys()]).toEqual(["used"]);
  expect(await versionOf("load", "used", "new")).toEqual({ version, answers: [true, true] });
  expect(await versionOf("look", "used")).toEqual({ version, answers: [true] });
  expect([...stores.known().keys()]).toEqual(["used"]);
  await writeFile(join(folder, "used"), "second");
  // Somebody else's load takes nothing away from the next look.
  await versionOf("load", "used", "new");
  expect((await versionOf("look", "used")).version).toBe(version + 1);
});
