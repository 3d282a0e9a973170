import type { AuditEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { testLog } from "@tollgate/testkit";
import type { FastifyRequest } from "fastify";
import { afterEach, expect, test } from "vitest";
import { createAccessEvents } from "../src/handlers/access-events.ts";

const life = openLife(testLog);
afterEach(() => life.close());

/** As many as are folded at a time. */
const KEPT_MAX = 2_000;

const asking = (text: string) =>
  ({
    url: `/api/v1/audit/events?text=${text}`,
    params: {},
    caller: { principal: { id: "auditor", tenant: "acme" }, address: "" },
  }) as unknown as FastifyRequest;

test("while the stream is away a bounded number of reads is kept; what is beyond is refused", async () => {
  const published: AuditEvent[] = [];
  let isAway = true;
  const publish = async (event: AuditEvent): Promise<void> => {
    if (isAway) throw new Error("the stream is away");
    published.push(event);
  };
  const access = createAccessEvents({ events: { publish }, life, log: testLog });
  for (let at = 0; at < KEPT_MAX; at++) await access.read(asking(String(at)), "read", 1);
  await expect(access.read(asking("one-more"), "read", 1)).rejects.toMatchObject({ code: "unavailable" });
  // What is known already costs nothing.
  await access.read(asking("0"), "read", 1);

  isAway = false;
  await access.read(asking("another"), "read", 1);
  expect(published).toMatchObject([{ kind: "access", query: { text: "another" } }]);
  await life.close();
  expect(published).toHaveLength(1 + KEPT_MAX);
  expect(published).toContainEqual(expect.objectContaining({ query: { text: "0" }, count: 2 }));
});
