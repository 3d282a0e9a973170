import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { inspect } from "node:util";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openLife } from "../src/life.ts";
import { openPartitions } from "../src/partitions.ts";
import { bootstrapDatabase, openPool, type Pool, withTransaction } from "../src/postgres.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let pool: Pool;
let admin: pg.Client;

beforeAll(async () => {
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("admin", 5_000, () => admin.end());
  pool = await openPool({ url: infra.databaseUrl("audit"), max: 3, name: "test", life, log: testLog });
  await pool.query("CREATE TABLE audit.notes (note text)");
});
afterAll(() => life.close());

async function notes(): Promise<string[]> {
  const { rows } = await pool.query<{ note: string }>("SELECT note FROM audit.notes ORDER BY note");
  return rows.map(({ note }) => note);
}

describe("a transaction", () => {
  it("gives back what its work gives back, and keeps what it wrote", async () => {
    const given = await withTransaction(pool, async (client) => {
      await client.query("INSERT INTO audit.notes VALUES ('kept')");
      return 7;
    });
    expect(given).toBe(7);
    expect(await notes()).toEqual(["kept"]);
  });

  it("leaves nothing behind when its work fails, and its connection is used again", async () => {
    const failing = withTransaction(pool, async (client) => {
      await client.query("INSERT INTO audit.notes VALUES ('lost')");
      await client.query("SELECT no_such_column FROM audit.notes");
    });
    await expect(failing).rejects.toThrow("no_such_column");
    const thrown = withTransaction(pool, async (client) => {
      await client.query("INSERT INTO audit.notes VALUES ('lost')");
      throw new Error("of the work itself");
    });
    await expect(thrown).rejects.toThrow("of the work itself");
    expect(await notes()).toEqual(["kept"]);
    expect(pool.idleCount).toBe(pool.totalCount);
  });

  it("fails, and the process lives on, when the database goes away in the middle of it", async () => {
    for (const waiting of ["between two statements", "in a statement"]) {
      const failing = withTransaction(pool, async (client) => {
        const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
        const slow = waiting === "in a statement" ? client.query("SELECT pg_sleep(20)") : undefined;
        slow?.catch(() => {});
        const lost = new Promise((resolve) => client.once("end", resolve));
        await admin.query("SELECT pg_terminate_backend($1)", [rows[0]!.pid]);
        await lost;
        await (slow ?? client.query("INSERT INTO audit.notes VALUES ('lost')"));
      });
      await expect(failing, waiting).rejects.toThrow(/terminat|not queryable/);
    }
    expect(await notes()).toEqual(["kept"]);
    expect(pool.idleCount).toBe(pool.totalCount);
  });
});

describe("a pool", () => {
  it("waits for a database that is still starting, and stops waiting when the service stops", async () => {
    let tries = 0;
    const server = createServer((socket) => ((tries += 1), socket.destroy()));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const waiting = openLife(testLog);
    const url = `postgres://tollgate_audit:secret-password@127.0.0.1:${port}/tollgate`;
    let failure: Error | undefined;
    const opening = openPool({ url, max: 1, name: "test", life: waiting, log: testLog }).catch(
      (error: unknown) => (failure = error as Error),
    );
    await eventually(() => expect(tries).toBeGreaterThan(1));
    expect(failure).toBeUndefined();
    await waiting.close();
    await opening;
    expect(failure).toBeInstanceOf(Error);
    expect(inspect(failure)).not.toContain("secret-password");
    await new Promise((resolve) => server.close(resolve));
  });

  it("outlives an idle connection that the server ends", async () => {
    const { rows } = await pool.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    await admin.query("SELECT pg_terminate_backend($1)", [rows[0]!.pid]);
    await eventually(async () => expect(await notes()).toEqual(["kept"]));
  });
});

describe("bootstrapping a database", () => {
  const service = `s${randomBytes(4).toString("hex")}`;
  const other = `${service}_other`;
  const urlOf = (name: string, password: string): string => {
    const url = new URL(infra.adminUrl);
    url.username = `tollgate_${name}`;
    url.password = encodeURIComponent(password);
    return url.toString();
  };

  async function as<T>(name: string, password: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: urlOf(name, password) });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  // Roles are the whole cluster's, which other tests use too.
  afterAll(async () => {
    for (const name of [service, other]) {
      await admin.query(`DROP SCHEMA IF EXISTS "${name}" CASCADE`);
      await admin.query(`DROP ROLE IF EXISTS "tollgate_${name}"`);
    }
  });

  it("gives each service a role and a schema that no other service can use", async () => {
    await bootstrapDatabase(infra.adminUrl, [
      { service, password: "first" },
      { service: other, password: `quotes ' " \\ and more` },
    ]);
    await as(service, "first", (client) => client.query(`CREATE TABLE "${service}".own (at int)`));
    await as(other, `quotes ' " \\ and more`, async (client) => {
      await expect(client.query(`SELECT * FROM "${service}".own`)).rejects.toThrow("permission denied");
      await expect(client.query(`CREATE TABLE "${service}".planted (at int)`)).rejects.toThrow("permission denied");
      await expect(client.query("CREATE TABLE public.planted (at int)")).rejects.toThrow("permission denied");
      const { rows } = await client.query("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user");
      expect(rows).toEqual([{ rolsuper: false, rolcreaterole: false }]);
    });
  });

  it("may be run again: passwords change, data stays", async () => {
    await as(service, "first", (client) => client.query(`INSERT INTO "${service}".own VALUES (1)`));
    await bootstrapDatabase(infra.adminUrl, [{ service, password: "second" }]);
    const found = await as(service, "second", (client) => client.query(`SELECT at FROM "${service}".own`));
    expect(found.rows).toEqual([{ at: 1 }]);
    await expect(as(service, "first", (client) => client.query("SELECT 1"))).rejects.toThrow("password authentication");
  });

  it("may be run by several at once", async () => {
    const roles = [service, other].map((name) => ({ service: name, password: "third" }));
    await Promise.all([1, 2, 3].map(() => bootstrapDatabase(infra.adminUrl, roles)));
    await expect(as(other, "third", (client) => client.query("SELECT 1"))).resolves.toBeDefined();
  });
});

describe("monthly partitions in the database", () => {
  it("are made once by replicas that reach a month together, and hold its rows", async () => {
    await pool.query("CREATE TABLE audit.parted (time timestamptz NOT NULL) PARTITION BY RANGE (time)");
    const times = [Date.UTC(2026, 10, 30, 23, 59, 59, 999), Date.UTC(2026, 11, 1), Date.UTC(1970, 0, 1)];
    const replicas = await Promise.all(
      [1, 2, 3].map(() => openPartitions({ pool, schema: "audit", table: "parted", log: testLog })),
    );
    await Promise.all(replicas.map((partitions) => partitions.ensure(times)));
    for (const time of times) {
      await pool.query("INSERT INTO audit.parted VALUES (to_timestamp($1::float8 / 1000))", [time]);
    }
    const { rows } = await pool.query(
      "SELECT tableoid::regclass::text AS name, count(*)::int FROM audit.parted GROUP BY 1 ORDER BY 1",
    );
    expect(rows).toEqual([
      { name: "audit.parted_197001", count: 1 },
      { name: "audit.parted_202611", count: 1 },
      { name: "audit.parted_202612", count: 1 },
    ]);
    // The month after the newest is there before it is reached.
    const ahead = await pool.query("SELECT to_regclass('audit.parted_202701') IS NOT NULL AS there");
    expect(ahead.rows).toEqual([{ there: true }]);
  });

  it("are left to the extension, or to nobody, for a table that is not made for them", async () => {
    const partitions = await openPartitions({ pool, schema: "audit", table: "notes", log: testLog });
    await partitions.ensure([Date.UTC(2026, 10, 1)]);
    const { rows } = await pool.query("SELECT to_regclass('audit.notes_202611') IS NULL AS absent");
    expect(rows).toEqual([{ absent: true }]);
  });

  it("are looked for again after somebody has dropped one", async () => {
    const partitions = await openPartitions({ pool, schema: "audit", table: "parted", log: testLog });
    const time = Date.UTC(2026, 11, 5);
    await partitions.ensure([time]);
    await pool.query("DROP TABLE audit.parted_202612");
    await partitions.ensure([time]);
    const insert = () => pool.query("INSERT INTO audit.parted VALUES (to_timestamp($1::float8 / 1000))", [time]);
    await expect(insert()).rejects.toThrow("no partition");
    partitions.forget();
    await partitions.ensure([time]);
    await expect(insert()).resolves.toMatchObject({ rowCount: 1 });
  });
});
