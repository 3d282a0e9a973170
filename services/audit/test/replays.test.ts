import { auditV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { describe, expect, it } from "vitest";
import {
  httpExport,
  idsOf,
  linesOf,
  PATIENCE,
  receivedIds,
  type RunningAudit,
  unaryFor,
  useExporting,
} from "./exporting.ts";

const infra = useInfrastructure();
const exporting = useExporting(infra);
const { configure, publish, start, startProcess, httpReceiver } = exporting;
const unary = unaryFor(infra.serviceKey);

type Filter = Partial<auditV1.EventFilter>;

async function replay({ client }: Pick<RunningAudit, "client">, filter: Filter, id = "lake"): Promise<auditV1.Replay> {
  const asked = { export: id, filter: { ...auditV1.EventFilter.create(), ...filter }, by: "user:ada" };
  return (await callUnary(client.startReplay.bind(client), asked, unary)).replay!;
}

async function cancel({ client }: Pick<RunningAudit, "client">, id: string): Promise<auditV1.Replay> {
  return (await callUnary(client.cancelReplay.bind(client), { id, by: "user:ada" }, unary)).replay!;
}

async function recorded(tenant: string, count: number): Promise<void> {
  await eventually(async () => {
    const { rows } = await exporting.admin.query("SELECT FROM audit.events WHERE tenant = $1 AND kind = 'call'", [
      tenant,
    ]);
    expect(rows).toHaveLength(count);
  }, PATIENCE);
}

const endOf = (audit: Pick<RunningAudit, "replays">, id: string): Promise<auditV1.Replay> =>
  eventually(async () => {
    const found = (await audit.replays()).find((each) => each.id === id)!;
    expect(found.status).not.toBe("running");
    return found;
  }, PATIENCE);

describe("a replay", () => {
  it("sends what was recorded once more, oldest first, and nothing that the export would not get", async () => {
    const receiver = await httpReceiver(() => ({ status: 200 }));
    await configure([httpExport(receiver, { tenants: ["own"], outcomes: ["ok", "error"], batch_max: 40 })]);
    const events = [
      ...(await publish(60, { tenant: "own" })),
      ...(await publish(5, { tenant: "own", outcome: "timeout" })),
      ...(await publish(60, { tenant: "own", outcome: "error" })),
    ];
    await publish(10, { tenant: "strange" });
    const audit = await start();
    await recorded("own", 125);
    await recorded("strange", 10);

    const all = await replay(audit, {});
    expect(all).toMatchObject({ export: "lake", status: "running", sent: 0n, by: "user:ada" });
    expect(await endOf(audit, all.id)).toMatchObject({ status: "done", sent: 120n, total: 120n, problem: "" });
    const wanted = events.filter(({ outcome }) => outcome !== "timeout");
    expect(linesOf(receiver)).toEqual(wanted.map((each) => JSON.stringify(each)));

    const some = await replay(audit, { tenant: "own", outcome: "error", toMs: BigInt(Date.now() + 100_000) });
    expect(await endOf(audit, some.id)).toMatchObject({ status: "done", sent: 60n });
    expect(linesOf(receiver).slice(120)).toEqual(wanted.slice(60).map((each) => JSON.stringify(each)));

    const none = await replay(audit, { tool: "no-such-tool" });
    expect(await endOf(audit, none.id)).toMatchObject({ status: "done", sent: 0n, total: 0n });
    expect((await audit.replays()).map(({ id }) => id).slice(0, 3)).toEqual([none.id, some.id, all.id]);
    const changes = await eventually(async () => {
      const { rows } = await exporting.admin.query<{ event: string }>(
        "SELECT event FROM audit.events WHERE kind = 'change' AND event LIKE '%\"resource\":\"replay\"%' ORDER BY time, id",
      );
      expect(rows).toHaveLength(3);
      return rows.map(({ event }) => JSON.parse(event) as Record<string, unknown>);
    }, PATIENCE);
    expect(changes).toMatchObject([
      { tenant: "tollgate", change: "created", name: all.id, principal: "user:ada", after: { export: "lake" } },
      { tenant: "own", name: some.id, after: { filter: { outcome: "error" } } },
      { name: none.id },
    ]);
  });

  it("goes on at another replica where it was when its own is killed, without a hole", async () => {
    let answered = 0;
    let isOpen = false;
    const receiver = await httpReceiver(() => {
      answered += 1;
      return isOpen || answered <= 3 ? { status: 200 } : undefined;
    });
    await configure([httpExport(receiver, { id: "resumed", batch_max: 50 })]);
    const events = await publish(500, { tenant: "killed" });
    const leader = await startProcess();
    await recorded("killed", 500);
    const standby = await start();
    const { id } = await replay(standby, { tenant: "killed" }, "resumed");
    await eventually(() => expect(answered).toBe(4), PATIENCE);
    await leader.stop("SIGKILL");
    isOpen = true;
    await eventually(async () => {
      const { rows } = await exporting.admin.query("SELECT status, sent FROM audit.replays WHERE id = $1", [id]);
      expect(rows).toEqual([{ status: "done", sent: "500" }]);
    }, PATIENCE);
    expect(receivedIds(receiver)).toEqual(idsOf(events));
    // Three batches had been taken, and the third may not have been written down.
    expect(linesOf(receiver).length).toBeLessThanOrEqual(550);
  }, 60_000);

  it("can be cancelled while its receiver hangs; at most four run at a time", async () => {
    const receiver = await httpReceiver(() => undefined);
    await configure([httpExport(receiver, { id: "hanging" })]);
    await publish(5, { tenant: "waiting" });
    const audit = await start();
    await recorded("waiting", 5);
    const started: auditV1.Replay[] = [];
    for (let at = 0; at < 4; at++) started.push(await replay(audit, { tenant: "waiting" }, "hanging"));
    await expect(replay(audit, {}, "hanging")).rejects.toThrow("4 replays run already");
    await eventually(() => expect(receiver.requests.length).toBeGreaterThanOrEqual(4), PATIENCE);
    for (const { id } of started) expect(await cancel(audit, id)).toMatchObject({ status: "cancelled", sent: 0n });
    // Once more is no mistake, and no second event.
    expect(await cancel(audit, started[0]!.id)).toMatchObject({ status: "cancelled" });
    await replay(audit, { tenant: "waiting" }, "hanging");
    await eventually(async () => {
      const { rows } = await exporting.admin.query(
        `SELECT FROM audit.events WHERE kind = 'change' AND outcome = 'deleted' AND event LIKE '%"resource":"replay"%'`,
      );
      expect(rows).toHaveLength(4);
    }, PATIENCE);
  });

  it("fails when its export is gone, and is refused where it makes no sense", async () => {
    const receiver = await httpReceiver(() => ({ status: 500 }));
    await configure([httpExport(receiver, { id: "going" })]);
    await publish(5, { tenant: "going" });
    const audit = await start();
    await recorded("going", 5);
    await expect(replay(audit, {}, "nowhere")).rejects.toThrow('there is no export "nowhere"');
    await expect(replay(audit, { tenant: "No Tenant" }, "going")).rejects.toThrow("tenant: not a tenant's name");
    await expect(cancel(audit, "019a9e1c-5a40-7000-8f2b-3c1d5e7f9a0b")).rejects.toThrow("there is no such replay");
    const { id } = await replay(audit, { tenant: "going" }, "going");
    await eventually(async () => {
      expect((await audit.replays()).find((each) => each.id === id)!.problem).toBe("the receiver has answered 500");
    }, PATIENCE);
    await configure([]);
    expect(await endOf(audit, id)).toMatchObject({ status: "failed", problem: 'there is no export "going" any more' });
  });
});
