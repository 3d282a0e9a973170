import { createHash, randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, inject } from "vitest";

/** The NATS server and PostgreSQL cluster that a run's tests share; see shared-servers.ts. */
export interface SharedServers {
  readonly natsUrl: string;
  readonly adminUrl: string;
  readonly templateDatabase: string;
  readonly rolePassword: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    infrastructure: SharedServers;
  }
}

export interface Infrastructure {
  readonly natsUrl: string;
  /** Keeps the streams and subjects of this test file apart from all others. */
  readonly busPrefix: string;
  readonly serviceKey: string;
  /** What calls' arguments and results are hashed and kept with. */
  readonly recordingKeys: string;
  /** What the registry's stored secrets are wrapped with. */
  readonly secretKeys: string;
  readonly signingSecret: string;
  /** The superuser's URL of this test file's own database. */
  readonly adminUrl: string;
  /** The service's own role in this test file's database. */
  databaseUrl(service: string): string;
}

const CREATE_ATTEMPTS_MAX = 40;

/** Real NATS and a database of its own for one test file. Call it at the top level or in a `describe`. */
export function useInfrastructure(): Infrastructure {
  const infra = createInfrastructure(inject("infrastructure"));
  beforeAll(() => infra.createDatabase(), 60_000);
  afterAll(() => infra.dropDatabase(), 60_000);
  return infra;
}

/** The same where there is no test file: whoever makes it creates and drops its database. */
export function createInfrastructure(
  shared: SharedServers,
): Infrastructure & { createDatabase(): Promise<void>; dropDatabase(): Promise<void> } {
  const name = `t${randomBytes(6).toString("hex")}`;
  return {
    createDatabase: () => withAdmin(shared.adminUrl, (client) => createDatabase(client, name, shared.templateDatabase)),
    dropDatabase: () =>
      withAdmin(shared.adminUrl, async (client) => {
        await client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      }),
    natsUrl: shared.natsUrl,
    busPrefix: name,
    serviceKey: `key-${name}-0123456789`,
    recordingKeys: `k1:${createHash("sha256").update(name).digest("base64url")}`,
    secretKeys: `k1:${createHash("sha256").update(`secrets of ${name}`).digest("base64url")}`,
    signingSecret: `signing-${name}-0123456789abcdef`,
    adminUrl: inDatabase(shared.adminUrl, name),
    databaseUrl(service) {
      const url = new URL(inDatabase(shared.adminUrl, name));
      url.username = `tollgate_${service}`;
      url.password = shared.rolePassword;
      return url.toString();
    },
  };
}

/** A template can be copied only while nobody is connected to it, and TimescaleDB's workers look in now and then. */
async function createDatabase(client: pg.Client, name: string, template: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query(`CREATE DATABASE "${name}" TEMPLATE "${template}"`);
      return;
    } catch (error) {
      const busy = (error as { code?: string }).code === "55006";
      if (!busy || attempt === CREATE_ATTEMPTS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

function inDatabase(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.toString();
}

async function withAdmin(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
