import { join, resolve } from "node:path";
import { configFrom, envSchema } from "@tollgate/service";
import { z } from "zod";
import { prepareDatabase } from "./database.ts";
import { readConfigFile } from "./desired.ts";
import { openSecrets } from "./secrets.ts";
import {
  DATABASE_SERVICES,
  type Place,
  planEnvironments,
  type ServiceName,
  SERVICES,
  toEnvFile,
} from "./service-plan.ts";
import { prepareFilesDir, prepareStateDir, type StateDir, writePrivateFile } from "./state-dir.ts";
import { renderWelcome } from "./welcome.ts";

const DATABASE_WAIT_MS = 60_000;
const HTTP_PORTS: Readonly<Record<ServiceName, number>> = {
  gateway: 8080,
  policy: 8081,
  registry: 8082,
  runner: 8083,
  audit: 8084,
  metering: 8085,
};
/** A service's gRPC port is its HTTP port and this. */
const GRPC_OFFSET = 1_000;

const configSchema = z.object({
  /** Of a superuser; names the database, which is made when it is not there. */
  adminDatabaseUrl: envSchema.url,
  natsUrl: envSchema.url,
  /** Where policy and registry find the configuration file; it has to be readable here under the same path. */
  configFile: z.string().default("tollgate.yaml"),
  /** The gateway as the users reach it. */
  publicUrl: envSchema.url.default("http://127.0.0.1:8080"),
  /** The folder of the `filesystem` server, as the runner sees it; empty means one in the state. */
  filesDir: z.string().default(""),
  logLevel: envSchema.logLevel,
});

/**
 * Readies an installation whose services run on hosts named like them, as with compose: makes the secrets once, the
 * database with its roles, and in the state `env/<service>.env` for each service, `welcome.txt` and `connect.json`. May be
 * run again. Gives what there is to say.
 */
export async function setup(options: {
  root: string;
  state: StateDir;
  env: Readonly<Record<string, string | undefined>>;
}): Promise<string> {
  const { root, state, env } = options;
  const config = configFrom(configSchema, env);
  prepareStateDir(state);
  const secrets = openSecrets(state);
  const filesDir = config.filesDir === "" ? state.filesDir : config.filesDir;
  prepareFilesDir(filesDir);
  const configFile = resolve(root, config.configFile);
  const desired = readConfigFile({ file: configFile, env, secrets, filesDir });
  await prepareDatabase({ databaseUrl: config.adminDatabaseUrl, secrets, waitMs: DATABASE_WAIT_MS });
  const environments = planEnvironments({
    secrets,
    places: Object.fromEntries(SERVICES.map((name) => [name, placeOf(name)])) as Record<ServiceName, Place>,
    natsUrl: config.natsUrl,
    databaseUrl: config.adminDatabaseUrl,
    configFile,
    filesDir,
    controlPlane: desired.controlPlane,
    logLevel: config.logLevel,
  });
  environments.gateway["TOLLGATE_WELCOME_FILE"] = state.welcomeFile;
  for (const name of SERVICES) writePrivateFile(join(state.envDir, `${name}.env`), toEnvFile(environments[name]));
  const gatewayUrl = config.publicUrl.replace(/\/$/, "");
  const { token, adminToken } = secrets;
  const connect = {
    gatewayUrl,
    mcpUrl: `${gatewayUrl}/mcp`,
    token,
    adminToken,
    natsUrl: config.natsUrl,
    databaseUrl: config.adminDatabaseUrl,
  };
  writePrivateFile(state.connectFile, `${JSON.stringify(connect, null, 2)}\n`);
  const compose = "docker compose -f infra/compose/compose.yaml";
  const welcome = renderWelcome({
    gatewayUrl,
    token,
    adminTokenPlace: `"adminToken" in ${state.connectFile} (${compose} exec gateway cat ${state.connectFile})`,
    adminTokenCommand: `${compose} exec -T gateway node -p 'JSON.parse(fs.readFileSync("${state.connectFile}")).adminToken'`,
    bridge: undefined,
    stopCommand: `${compose} down`,
  });
  writePrivateFile(state.welcomeFile, welcome);
  return `Tollgate is set up in ${state.dir}.`;
}

function placeOf(name: ServiceName): Place {
  const httpPort = HTTP_PORTS[name];
  const hasGrpc = (DATABASE_SERVICES as readonly ServiceName[]).includes(name);
  return { bind: "0.0.0.0", host: name, httpPort, grpcPort: hasGrpc ? httpPort + GRPC_OFFSET : 0 };
}
