// Readies the installation before its services start: "setup" of the command line, with the servers' addresses filled in.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, renameSync } from "node:fs";

const servers = "/run/servers";
const state = "/run/tollgate";
const runner = "/run/runner";

const password = (name) => readFileSync(`${servers}/${name}`, "utf8");
// Set where an installation uses servers of its own instead of compose's.
const ownDatabaseUrl = process.env.TOLLGATE_ADMIN_DATABASE_URL;
const ownNatsUrl = process.env.TOLLGATE_NATS_URL;
const env = {
  ...process.env,
  TOLLGATE_ADMIN_DATABASE_URL:
    ownDatabaseUrl || `postgres://postgres:${password("postgres-password")}@postgres:5432/tollgate`,
  TOLLGATE_NATS_URL: ownNatsUrl || `nats://tollgate:${password("nats-password")}@nats:4222`,
};

const { status } = spawnSync(process.execPath, ["tools/tollgate/src/main.ts", "setup", "--state", state], {
  env,
  stdio: "inherit",
});
process.exitCode = status ?? 1;
// Runners start programs of others, so they get a volume that holds their own settings and no other secret.
if (status === 0) {
  mkdirSync(`${runner}/env`, { recursive: true, mode: 0o700 });
  copyFileSync(`${state}/env/runner.env`, `${runner}/env/runner.env.part`);
  renameSync(`${runner}/env/runner.env.part`, `${runner}/env/runner.env`);
}
