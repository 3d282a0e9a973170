import { randomUUID } from "node:crypto";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { openSessions, type SessionStore } from "../src/sessions.ts";
import { useBus } from "./connected.ts";

interface Session {
  readonly principal: string;
  readonly level?: string;
}

const connect = useBus(useInfrastructure());
const ending = new AbortController();
let here: SessionStore<Session>;
let there: SessionStore<Session>;
let bus: Bus;

beforeAll(async () => {
  bus = await connect();
  here = await openSessions<Session>(bus, ending.signal);
  there = await openSessions<Session>(await connect(), ending.signal);
});
afterAll(async () => {
  ending.abort();
  await bus.jsm.streams.delete(`KV_${bus.subjects.sessionsBucket}`);
});

describe("sessions", () => {
  it("made on one replica are known to every other at once", async () => {
    const id = randomUUID();
    await here.put(id, { principal: "alice" });
    expect(await there.get(id)).toEqual({ principal: "alice" });
    expect(await here.get(id)).toEqual({ principal: "alice" });
  });

  it("changed on one replica change on every other", async () => {
    const id = randomUUID();
    await here.put(id, { principal: "alice" });
    expect(await there.get(id)).toEqual({ principal: "alice" });
    await here.put(id, { principal: "alice", level: "debug" });
    expect(await here.get(id)).toMatchObject({ level: "debug" });
    await eventually(async () => expect(await there.get(id)).toMatchObject({ level: "debug" }));
    await there.put(id, { principal: "alice", level: "error" });
    await eventually(async () => expect(await here.get(id)).toMatchObject({ level: "error" }));
  });

  it("ended on one replica end on every other, and stay ended", async () => {
    const id = randomUUID();
    await here.put(id, { principal: "alice" });
    expect(await there.get(id)).toBeDefined();
    await here.delete(id);
    expect(await here.get(id)).toBeUndefined();
    await eventually(async () => expect(await there.get(id)).toBeUndefined());
    expect(await here.get(id)).toBeUndefined();
  });

  it("are the last that was written, however replicas race", async () => {
    const ids = Array.from({ length: 20 }, () => randomUUID());
    await Promise.all(
      ids.map(async (id) => {
        for (let round = 0; round < 5; round++) {
          await Promise.all([
            here.put(id, { principal: "alice", level: `here ${round}` }),
            there.get(id),
            there.put(id, { principal: "alice", level: `there ${round}` }),
            here.get(id),
          ]);
        }
      }),
    );
    const fresh = await openSessions<Session>(await connect(), ending.signal);
    for (const id of ids) {
      const last = await fresh.get(id);
      await eventually(async () => expect([await here.get(id), await there.get(id)]).toEqual([last, last]));
    }
  });

  it("do not come back from a read that was under way while they were ended", async () => {
    const ids = Array.from({ length: 50 }, () => randomUUID());
    for (const id of ids) await here.put(id, { principal: "alice" });
    await Promise.all(ids.map((id) => Promise.all([there.get(id), here.delete(id), there.get(id), here.get(id)])));
    for (const id of ids) {
      expect(await here.get(id)).toBeUndefined();
      await eventually(async () => expect(await there.get(id)).toBeUndefined());
    }
  });

  it.each(["", "a.b", "*", ">", "a b", "../x", "x".repeat(129), "ä"])("are not looked for under %j", async (id) => {
    expect(await here.get(id)).toBeUndefined();
    await expect(here.delete(id)).resolves.toBeUndefined();
  });

  it("keep every change, however many are made at the same time and wherever", async () => {
    const id = randomUUID();
    await here.put(id, { principal: "alice", level: "" });
    const add = (store: SessionStore<Session>, letter: string) =>
      store.update(id, (session) => ({ ...session, level: `${session.level}${letter}` }));
    await Promise.all(
      Array.from({ length: 200 }, (_, at) => add(at % 2 === 0 ? here : there, at % 2 === 0 ? "h" : "t")),
    );
    for (const store of [here, there])
      await eventually(async () =>
        expect(
          Array.from((await store.get(id))!.level!)
            .toSorted()
            .join(""),
        ).toMatch(/^h{100}t{100}$/),
      );
  });

  it("that are not there are not changed, nor made by a change; nor is the change of one that ended", async () => {
    const id = randomUUID();
    const change = () => ({ principal: "mallory" });
    expect(await here.update(id, change)).toBeUndefined();
    await here.put(id, { principal: "alice" });
    expect(await there.update(id, change)).toEqual({ principal: "mallory" });
    await here.delete(id);
    expect(await there.update(id, change)).toBeUndefined();
    expect(await here.get(id)).toBeUndefined();
    expect(await here.update("a.b", change)).toBeUndefined();
  });

  it("go on after a change that cannot be made", async () => {
    const id = randomUUID();
    await here.put(id, { principal: "alice" });
    const failing = here.update(id, () => {
      throw new Error("not like this");
    });
    const next = here.update(id, (session) => ({ ...session, level: "debug" }));
    await expect(failing).rejects.toThrow("not like this");
    expect(await next).toEqual({ principal: "alice", level: "debug" });
  });

  it("say on every replica when they are changed and when they end", async () => {
    const changed: string[] = [];
    const id = randomUUID();
    const other = await openSessions<Session>(await connect(), ending.signal, (each) => void changed.push(each));
    const heard = () => changed.filter((each) => each === id).length;
    await here.put(id, { principal: "alice" });
    await eventually(() => expect(heard()).toBe(1));
    await there.update(id, (session) => ({ ...session, level: "debug" }));
    await eventually(() => expect(heard()).toBe(2));
    await here.delete(id);
    await eventually(() => expect(heard()).toBe(3));
    expect(await other.get(id)).toBeUndefined();
  });
});
