import { once } from "node:events";
import { createInterface } from "node:readline";
import { AppError } from "@tollgate/errors";
import type { Api, Query } from "./api.ts";

interface Tail {
  readonly query: Query;
  /** Is given an event, in JSON. */
  readonly show: (event: string) => void;
  readonly progress: (text: string) => void;
}

/** Until Ctrl-C, which is no failure, or until the gateway ends it. */
export async function tailEvents(api: Api, { query, show, progress }: Tail): Promise<number> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, end);
  const headers = { accept: "text/event-stream" };
  try {
    const body = await api.open("/api/v1/audit/tail", { query, headers, signal: ending.signal });
    progress("Listening …");
    const lines = createInterface({ input: body });
    // Both say it; its end is what is waited for.
    for (const each of [body, lines]) each.on("error", () => lines.close());
    lines.on("line", (line) => {
      if (line.startsWith("data:") && line.includes("{")) show(line.slice("data:".length).trim());
      else if (line === "event: gap") progress("Events are missing here: the stream does not hold them any more.");
    });
    await once(lines, "close");
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, end);
  }
  if (ending.signal.aborted) return 0;
  throw new AppError("unavailable", "the gateway has ended it: events that come now are not shown");
}
