import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stateV1 } from "@tollgate/contracts";
import { callUnary, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { MeteringService } from "../src/service.ts";
import { type MeteringClient, openMeteringClient } from "./metering-client.ts";
import { startService } from "./metering-service.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let folder: string;
let configFile: string;
let service: MeteringService;
let metering: MeteringClient;
let state: {
  reconcile(document: string, more?: Partial<stateV1.ReconcileRequest>): Promise<stateV1.ReconcileResponse>;
  drift(): Promise<stateV1.Drift[]>;
};

async function start(): Promise<void> {
  service = await startService(infra, { configFile });
  const { serviceKey } = infra;
  const { grpcPort: port } = service;
  metering = openMeteringClient({ port, serviceKey, life });
  const client = openGrpcClient(stateV1.StateServiceClient, { address: `127.0.0.1:${port}`, name: "metering", life });
  const unary = { metadata: serviceMetadata(serviceKey), timeoutMs: 10_000, service: "metering" };
  state = {
    reconcile: (document, more = {}) => {
      const asked = { name: "sent.yaml", dryRun: false, prune: false, actor: "token:finance", address: "", ...more };
      return callUnary(client.reconcile.bind(client), { document, ...asked }, unary);
    },
    drift: async () => (await callUnary(client.getDrift.bind(client), {}, unary)).items,
  };
}

const write = (cards: string) => writeFile(configFile, `rate_cards:\n${cards}`);
const versionsOf = async (wanted: string) =>
  (await metering.listRateCards())
    .filter(({ id }) => id === wanted)
    .map(({ version, perCall, createdBy }) => `${version}: ${perCall} by ${createdBy}`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tollgate-metering-"));
  configFile = join(folder, "tollgate.yaml");
  await write(
    '- { id: default, per_call: "0.5" }\n- { id: sums, tool: sum, per_call: "1", valid_from: 2020-01-01T00:00:00Z }',
  );
  await start();
});
afterAll(async () => {
  await service.close();
  await life.close();
  await rm(folder, { recursive: true });
});

test("cards of the file are versions; the same file again is none", async () => {
  expect(await versionsOf("default")).toEqual(["1: 0.0001 by ", "2: 0.5 by file"]);
  expect(await versionsOf("sums")).toEqual(["1: 1 by file"]);
  await service.close();
  await start();
  expect(await versionsOf("default")).toHaveLength(2);
  expect(await state.drift()).toEqual([]);
});

test("what the API says anew stays over a restart, as drift, until the file says something else of that card", async () => {
  await metering.putRateCard({ id: "default", perCall: "0.7" });
  await service.close();
  await start();
  expect(await versionsOf("default")).toHaveLength(3);
  expect(await state.drift()).toMatchObject([{ kind: "rate_card", id: "default", drift: "changed" }]);
  const [{ fileEntry, entry }] = (await state.drift()) as [stateV1.Drift];
  expect(JSON.parse(fileEntry)).toMatchObject({ per_call: "0.5" });
  expect(JSON.parse(entry)).toMatchObject({ per_call: "0.7" });

  await write('- { id: default, per_call: "0.5" }\n- { id: sums, tool: sum, per_call: "2" }');
  await eventually(async () => expect(await versionsOf("sums")).toEqual(["1: 1 by file", "2: 2 by file"]));
  expect(await versionsOf("default")).toHaveLength(3);
  await write('- { id: default, per_call: "0.6" }\n- { id: sums, tool: sum, per_call: "2" }');
  await eventually(async () => expect((await versionsOf("default")).at(-1)).toBe("4: 0.6 by file"));
  expect(await state.drift()).toEqual([]);
});

test("a document is planned, then applied, and then changes nothing", async () => {
  const document = 'rate_cards:\n- { id: default, per_call: "0.6" }\n- { id: crm, group: crm, per_call: "3" }';
  const planned = await state.reconcile(document, { dryRun: true });
  expect(planned.changes).toMatchObject([{ kind: "rate_card", id: "crm", change: "create", before: "" }]);
  expect(await versionsOf("crm")).toEqual([]);
  expect((await state.reconcile(document)).changes).toEqual(planned.changes);
  expect(await versionsOf("crm")).toEqual(["1: 3 by token:finance"]);
  const again = await state.reconcile(document, { prune: true });
  expect(again.changes).toEqual([]);
  expect(again.warnings).toEqual([expect.stringContaining("sums")]);
  expect(await state.drift()).toMatchObject([{ id: "crm", drift: "added", updatedBy: "token:finance" }]);
});

test("a document with a mistake changes nothing, whichever section it is in; nor does one that asks for too much", async () => {
  const card = 'rate_cards: [{ id: late, per_call: "1" }]\n';
  await expect(state.reconcile(`${card}groups: [{ id: "NO" }]`)).rejects.toThrow("sent.yaml:2:16: groups[0].id");
  const other = 'rate_cards: [{ id: late, per_call: "1" }, { id: crm, group: other, per_call: "1" }]';
  await expect(state.reconcile(other, { dryRun: true })).rejects.toThrow("a card for these needs an id of its own");
  await expect(state.reconcile(other)).rejects.toThrow("a card for these needs an id of its own");
  expect(await versionsOf("late")).toEqual([]);
});
