import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { AppError } from "@tollgate/errors";
import { z } from "zod";

const VERDICTS = ["same", "different", "failed"] as const;
export type Verdict = (typeof VERDICTS)[number];

const head = z.object({ replay: z.record(z.string(), z.unknown()), to: z.string() });
const done = z.object({ id: z.string(), verdict: z.enum(VERDICTS) });

/** What was run again already: a line for each, so that a process that is killed loses nothing but the last. */
export interface ReplayState {
  /** Calls before this are run again, also when it goes on later. */
  readonly to: string;
  readonly done: ReadonlyMap<string, Verdict>;
  add(id: string, verdict: Verdict): void;
}

/**
 * @param asked what is compared: a file of another question is not gone on with
 * @throws {AppError} failed_precondition
 */
export function openReplayState(
  file: string | undefined,
  asked: Readonly<Record<string, unknown>>,
  to: string,
): ReplayState {
  if (file === undefined) {
    const known = new Map<string, Verdict>();
    return { to, done: known, add: (id, verdict) => known.set(id, verdict) };
  }
  if (!existsSync(file)) writeFileSync(file, `${JSON.stringify({ replay: asked, to })}\n`, { mode: 0o600 });
  const text = readFileSync(file, "utf8");
  const [first = "", ...lines] = text.split("\n");
  const begun = parse(first, head);
  if (begun === undefined) throw new AppError("failed_precondition", `${file} was not written by tollgate replay`);
  if (JSON.stringify(begun.replay) !== JSON.stringify(asked))
    throw new AppError("failed_precondition", `${file} is of another replay: ${JSON.stringify(begun.replay)}`);
  // The last line may be cut off: what comes next does not belong to it.
  if (!text.endsWith("\n")) appendFileSync(file, "\n");
  const known = new Map<string, Verdict>();
  for (const line of lines) {
    const entry = parse(line, done);
    if (entry !== undefined) known.set(entry.id, entry.verdict);
  }
  return {
    to: begun.to,
    done: known,
    add(id, verdict) {
      known.set(id, verdict);
      appendFileSync(file, `${JSON.stringify({ id, verdict })}\n`);
    },
  };
}

function parse<T>(line: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
