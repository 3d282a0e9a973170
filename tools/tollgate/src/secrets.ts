import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { AppError } from "@tollgate/errors";
import { z } from "zod";
import { DATABASE_SERVICES } from "./service-plan.ts";
import { type StateDir, writePrivateFile } from "./state-dir.ts";

const secret = z.string().min(16);
const schema = z.object({
  serviceKey: secret,
  natsPassword: secret,
  databasePassword: secret,
  rolePasswords: z.record(z.enum(DATABASE_SERVICES), secret),
  /** Of the user's AI clients. */
  token: secret,
  /** Of the management API. */
  adminToken: secret,
  /** What calls' arguments and results are hashed and kept with: `ID:KEY,…`; the first one is used, all can be read with. */
  recordingKeys: secret.default(newKey),
  /** What the registry's stored secrets are wrapped with: `ID:KEY,…`, the newest first. */
  secretKeys: secret.default(newKey),
  /** Seals the private keys that the record's checkpoints are signed with. */
  signingSecret: secret.default(random),
});
export type Secrets = z.infer<typeof schema>;

/** An installation's own secrets: made once, then kept for as long as its state. */
export function openSecrets(state: StateDir): Secrets {
  if (existsSync(state.secretsFile)) return readSecrets(state.secretsFile);
  if (existsSync(state.postgresDir)) {
    throw new AppError(
      "failed_precondition",
      `${state.secretsFile} is gone, and the database in ${state.postgresDir} opens only with it: bring it back, or begin anew with "npm start -- --reset"`,
    );
  }
  return writeSecrets(state.secretsFile, {
    serviceKey: random(),
    natsPassword: random(),
    databasePassword: random(),
    rolePasswords: Object.fromEntries(DATABASE_SERVICES.map((name) => [name, random()])) as Secrets["rolePasswords"],
    token: `tg_${random()}`,
    adminToken: `tga_${random()}`,
    recordingKeys: newKey(),
    secretKeys: newKey(),
    signingSecret: random(),
  });
}

function writeSecrets(file: string, secrets: Secrets): Secrets {
  writePrivateFile(file, `${JSON.stringify(secrets, null, 2)}\n`);
  return secrets;
}

/** Those that an older version did not know are made now, and kept like the others. */
function readSecrets(file: string): Secrets {
  const { secrets, isWhole } = parseSecrets(file);
  return isWhole ? secrets : writeSecrets(file, secrets);
}

function parseSecrets(file: string): { secrets: Secrets; isWhole: boolean } {
  try {
    const written = JSON.parse(readFileSync(file, "utf8")) as object;
    const secrets = schema.parse(written);
    return { secrets, isWhole: Object.keys(secrets).every((name) => name in written) };
  } catch {
    // Neither the parser's message nor zod's: they could repeat a secret.
    throw new AppError(
      "failed_precondition",
      `${file} is damaged: bring it back, or begin anew with "npm start -- --reset"`,
    );
  }
}

/** 256 bits, and a name that no other key has. */
function newKey(): string {
  return `k${randomBytes(4).toString("hex")}:${randomBytes(32).toString("base64url")}`;
}

/** 192 bits in characters that need no quoting in URLs, environment files or NATS's configuration. */
function random(): string {
  return randomBytes(24).toString("base64url");
}
