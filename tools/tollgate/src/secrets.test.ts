import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseKeyList, parseRecordingKeys } from "@tollgate/evidence";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { openSecrets } from "./secrets.ts";
import { stateDirAt, prepareStateDir, type StateDir } from "./state-dir.ts";

let state: StateDir;

beforeEach(() => {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-secrets-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  state = stateDirAt(dir);
  prepareStateDir(state);
});

test("are made once, each another, for their owner's eyes only", () => {
  const secrets = openSecrets(state);
  expect(openSecrets(state)).toEqual(secrets);
  const values = Object.values({ ...secrets, ...secrets.rolePasswords, rolePasswords: "" });
  expect(new Set(values).size).toBe(values.length);
  expect((statSync(state.secretsFile).mode & 0o777).toString(8)).toBe("600");
  expect(parseRecordingKeys(secrets.recordingKeys)).toMatchObject({ ok: true });
  expect(parseKeyList(secrets.secretKeys)).toMatchObject({ ok: true });
});

test("those that an older version did not know are added, once; the others stay", () => {
  const { recordingKeys: _keys, secretKeys: _others, signingSecret: _secret, ...older } = openSecrets(state);
  writeFileSync(state.secretsFile, JSON.stringify(older));
  const secrets = openSecrets(state);
  expect(secrets).toMatchObject(older);
  expect(openSecrets(state)).toEqual(secrets);
  expect(JSON.parse(readFileSync(state.secretsFile, "utf8"))).toEqual(secrets);
});
