import type { Life, Log, Pool } from "@tollgate/service";
import { adoptTools } from "../store/tool-adoption.ts";
import { forgetTools } from "../store/tool-memory.ts";

const FORGET_MS = 3_600_000;

/** What is known of tools is made whole at the start, and what nobody has listed for long is forgotten. */
export async function keepTools({ pool, life, log }: { pool: Pool; life: Life; log: Log }): Promise<void> {
  await adoptTools(pool, Date.now());
  let current: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    current = forgetTools(pool).catch((error: unknown) =>
      log.warn({ err: error }, "tools that are gone could not be forgotten; trying again"),
    );
  }, FORGET_MS);
  life.onClose("tools", 2_000, () => {
    clearInterval(timer);
    return current;
  });
}
