import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { startPostgres } from "@tollgate/embedded";
import { useInfrastructure } from "@tollgate/testkit";
import { expect, onTestFinished, test } from "vitest";
import { runLauncher, useState } from "./launcher.ts";

const root = join(import.meta.dirname, "../../..");
const infra = useInfrastructure();
const state = useState();

test("readies an installation whose services run on other hosts, and may be run again", async () => {
  // A server of its own: setup changes the roles' passwords, which the other tests' database shares.
  const postgres = await startPostgres({
    dataDir: state.file("postgres"),
    port: 0,
    password: "setup-test-password",
    logFile: state.file("postgres.log"),
    durable: false,
  });
  onTestFinished(() => postgres.stop());
  const env = {
    TOLLGATE_ADMIN_DATABASE_URL: postgres.adminUrl.replace(/postgres$/, "tollgate"),
    TOLLGATE_NATS_URL: infra.natsUrl,
    TOLLGATE_PUBLIC_URL: "http://gateway.example:9000/",
  };
  const words = ["setup", "--state", state.dir];
  expect(await runLauncher(words, env)).toEqual({ code: 0, output: `Tollgate is set up in ${state.dir}.\n` });
  const connect = state.connect();
  expect(await runLauncher(words, env)).toMatchObject({ code: 0 });
  expect(state.connect()).toEqual(connect);
  expect(connect).toMatchObject({
    mcpUrl: "http://gateway.example:9000/mcp",
    databaseUrl: env.TOLLGATE_ADMIN_DATABASE_URL,
  });
  expect(readFileSync(state.file("welcome.txt"), "utf8")).toContain(connect.token);
  const gateway = readFileSync(state.file("env/gateway.env"), "utf8");
  expect(gateway).toContain("TOLLGATE_POLICY_ADDRESS='policy:9081'\n");
  expect(gateway).toContain("TOLLGATE_HOST='0.0.0.0'\n");
  expect(gateway).not.toContain(connect.adminToken);
  expect((statSync(state.file("env/gateway.env")).mode & 0o777).toString(8)).toBe("600");

  // What it has written is enough for a service to start with.
  const audit = spawn(
    process.execPath,
    [`--env-file=${state.file("env/audit.env")}`, join(root, "services/audit/src/main.ts")],
    {
      env: { TOLLGATE_HTTP_PORT: "0", TOLLGATE_GRPC_PORT: "0", TOLLGATE_BUS_PREFIX: infra.busPrefix },
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    },
  );
  const answer = await new Promise((resolve) => {
    audit.once("message", resolve);
    audit.once("exit", (code) => resolve(`exited with code ${code}`));
  });
  expect(answer).toEqual({ ready: true });
  const ended = new Promise((resolve) => audit.once("exit", resolve));
  audit.disconnect();
  expect(await ended).toBe(0);
}, 60_000);

test("says which settings are missing", async () => {
  const { code, output } = await runLauncher(["setup", "--state", state.dir]);
  expect(output).toMatch(/TOLLGATE_ADMIN_DATABASE_URL is not set\n\s+TOLLGATE_NATS_URL is not set/);
  expect(code).toBe(1);
});
