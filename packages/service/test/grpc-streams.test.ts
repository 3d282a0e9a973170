import { auditV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { eventually, testLog } from "@tollgate/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import {
  type Life,
  openGrpcClient,
  openLife,
  readStream,
  serverStream,
  serviceMetadata,
  startGrpcServer,
} from "../src/index.ts";

const KEY = "service-key-0123456789";
/** Far more than the buffers on the way hold. */
const MESSAGES = 2_000;
const MESSAGE_CHARS = 20_000;

const life: Life = openLife(testLog);
let client: auditV1.AuditServiceClient;
let made = 0;
let ended = false;
let failAt: number | undefined;

async function* produce(_request: auditV1.ExportEventsRequest): AsyncGenerator<auditV1.ExportEventsResponse> {
  try {
    for (; made < MESSAGES; made++) {
      if (made === failAt) throw new AppError("overloaded", "that was enough");
      yield { events: [`${made} ${"x".repeat(MESSAGE_CHARS)}`] };
    }
  } finally {
    ended = true;
  }
}

beforeAll(async () => {
  const implementation = { exportEvents: serverStream(testLog, produce) } as unknown as auditV1.AuditServiceServer;
  const services = [{ definition: auditV1.AuditServiceService, implementation }];
  const { port } = await startGrpcServer({ host: "127.0.0.1", port: 0, serviceKey: KEY, services, life });
  client = openGrpcClient(auditV1.AuditServiceClient, { address: `127.0.0.1:${port}`, name: "test", life });
});
afterAll(() => life.close());
beforeEach(() => {
  made = 0;
  ended = false;
  failAt = undefined;
});

const open = () => readStream(client.exportEvents(auditV1.ExportEventsRequest.create(), serviceMetadata(KEY)), "audit");

test("a stream arrives whole and in order", async () => {
  let at = 0;
  for await (const { events } of open()) expect(events[0]!.startsWith(`${at++} `)).toBe(true);
  expect(at).toBe(MESSAGES);
  expect(ended).toBe(true);
});

test("whoever does not read holds the maker up, and whoever stops ends it", async () => {
  const stream = open();
  await stream.next();
  let before = -1;
  await eventually(() => {
    const now = made;
    expect([before, (before = now)][0]).toBe(now);
  });
  expect(made).toBeLessThan(MESSAGES / 2);
  expect(ended).toBe(false);
  await stream.return();
  await eventually(() => expect(ended).toBe(true));
  expect(made).toBeLessThan(MESSAGES / 2);
});

test("an error keeps its code, after what came before it", async () => {
  failAt = 3;
  let received = 0;
  const reading = (async () => {
    for await (const { events } of open()) received += events.length;
  })();
  await expect(reading).rejects.toMatchObject({ code: "overloaded", message: "that was enough" });
  expect(received).toBe(3);
});
