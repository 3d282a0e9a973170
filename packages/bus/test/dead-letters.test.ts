import { eventually, useInfrastructure } from "@tollgate/testkit";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import {
  dropDeadLetter,
  getDeadLetter,
  type KeptDeadLetter,
  listDeadLetters,
  putAside,
  putBack,
} from "../src/dead-letters.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
let bus: Bus;
let given = 0;

beforeAll(async () => {
  bus = await connect();
});
beforeEach(async () => {
  await bus.jsm.streams.purge(bus.subjects.streams.dead);
  await bus.jsm.streams.purge(bus.subjects.streams.audit);
});

/** Puts a text aside, and gives it as it is kept. */
async function kept(text: string, changes: Partial<Parameters<typeof putAside>[1]> = {}): Promise<KeptDeadLetter> {
  await putAside(bus, {
    service: "audit",
    subject: bus.subjects.audit("acme", "call"),
    reason: "not JSON",
    text,
    id: `dead-${(given += 1)}`,
    untilMs: Date.now() + 5_000,
    ...changes,
  });
  const { state } = await bus.jsm.streams.info(bus.subjects.streams.dead);
  return (await getDeadLetter(bus, state.last_seq))!;
}

const audited = async () => (await bus.jsm.streams.info(bus.subjects.streams.audit)).state.messages;
const idsOf = (letters: readonly KeptDeadLetter[]) => letters.map(({ id }) => id);

describe("dead letters", () => {
  it("say what could not be processed, where it came from, why and when", async () => {
    const before = Date.now();
    const letter = await kept("neither JSON\nnor short ä\u{1f600}");
    const { at, id } = letter;
    const subject = bus.subjects.audit("acme", "call");
    const data = "neither JSON\nnor short ä\u{1f600}";
    expect(letter).toEqual({ id, at, service: "audit", subject, reason: "not JSON", data, truncated: false });
    expect(at).toBeGreaterThanOrEqual(before);
    expect(at).toBeLessThanOrEqual(Date.now());
  });

  it("are kept once, however often they are put aside", async () => {
    for (let i = 0; i < 3; i++) await kept("bad", { id: "dead-same" });
    expect((await listDeadLetters(bus, { from: 0, limit: 10 })).items).toHaveLength(1);
  });

  it("are listed in pages, oldest first, past those that are gone, of every service or of one", async () => {
    const letters: KeptDeadLetter[] = [];
    for (const service of ["audit", "runner", "audit", "audit", "runner"]) letters.push(await kept("x", { service }));
    await dropDeadLetter(bus, letters[2]!.id);
    const ids = idsOf(letters.filter((_, at) => at !== 2));
    expect(idsOf((await listDeadLetters(bus, { from: 0, limit: 4 })).items)).toEqual(ids);
    const first = await listDeadLetters(bus, { from: 0, limit: 2 });
    expect([idsOf(first.items), first.next]).toEqual([ids.slice(0, 2), ids[2]]);
    const second = await listDeadLetters(bus, { from: first.next!, limit: 2 });
    expect([idsOf(second.items), second.next]).toEqual([ids.slice(2), undefined]);
    const ofRunner = await listDeadLetters(bus, { service: "runner", from: 0, limit: 10 });
    expect(idsOf(ofRunner.items)).toEqual([letters[1]!.id, letters[4]!.id]);
    expect(await listDeadLetters(bus, { from: letters[4]!.id + 1, limit: 10 })).toEqual({ items: [] });
  });

  it("that nobody of ours wrote can be looked at, and not put back", async () => {
    for (const text of ["no JSON", "null", '{"subject":"x","line":"y"}']) {
      const { seq } = await bus.js.publish(bus.subjects.dead("old"), text);
      const letter = (await getDeadLetter(bus, seq))!;
      expect(letter).toMatchObject({ id: seq, service: "old", data: text, truncated: true });
      await expect(putBack(bus, letter)).rejects.toMatchObject({ code: "failed_precondition" });
    }
  });

  it("are gone when they are dropped, and dropping them again says so", async () => {
    const { id } = await kept("bad");
    expect([await dropDeadLetter(bus, id), await dropDeadLetter(bus, id)]).toEqual([true, false]);
    expect(await getDeadLetter(bus, id)).toBeUndefined();
  });
});

describe("putting back", () => {
  it("publishes the text as it was, once, and removes the letter", async () => {
    const letter = await kept('{"fixed": "by now", "n":1.0}');
    await Promise.all([putBack(bus, letter), putBack(bus, letter)]);
    await putBack(bus, letter);
    expect(await audited()).toBe(1);
    const { audit } = bus.subjects.streams;
    const message = await bus.jsm.streams.getMessage(audit, { last_by_subj: letter.subject });
    expect(message!.string()).toBe(letter.data);
    await eventually(async () => expect(await getDeadLetter(bus, letter.id)).toBeUndefined());
  });

  it("is refused where the text is not all that there was", async () => {
    for (const text of ["x".repeat(1024 * 1024 + 1), "half \uFFFD a character"]) {
      const letter = await kept(text);
      await expect(putBack(bus, letter)).rejects.toMatchObject({
        code: "failed_precondition",
        message: expect.stringContaining("its data is not all that there was"),
      });
      expect(await getDeadLetter(bus, letter.id)).toEqual(letter);
    }
    expect(await audited()).toBe(0);
  });

  it("is refused to any subject but those of calls and events", async () => {
    for (const subject of [bus.subjects.dead("audit"), "$JS.API.STREAM.PURGE.AUDIT", bus.subjects.allAudit]) {
      const letter = await kept("{}", { subject });
      await expect(putBack(bus, letter)).rejects.toMatchObject({
        code: "failed_precondition",
        message: expect.stringContaining("not of calls or events"),
      });
      expect(await getDeadLetter(bus, letter.id)).toEqual(letter);
    }
  });
});
