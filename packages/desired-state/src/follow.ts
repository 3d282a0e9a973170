import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Parsed } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { OverlayEntry } from "./entries.ts";
import { loadDesiredState, type LoadOptions } from "./load.ts";
import { secretsNamed } from "./placeholders.ts";
import { secretsFrom } from "./secret-files.ts";
import type { DesiredState } from "./state.ts";

const POLL_INTERVAL_MS = 250;
const RETRY_INTERVAL_MS = 2_000;

/** The same text again, with something over its entries; and with their secrets, which it may take time to get. */
export type LoadCovered = (overlay: readonly OverlayEntry[]) => Promise<DesiredState>;

interface FollowOptions extends Omit<LoadOptions, "readSecret" | "overlay" | "isOfApi"> {
  readonly signal: AbortSignal;
  readonly apply: (state: DesiredState, loadCovered: LoadCovered) => Promise<void>;
  /** What else is read when the file is applied, as a text that changes with it: a change of it is one of the file. */
  readonly fingerprint?: () => Promise<string>;
  readonly onProblem: (error: unknown) => void;
}

/** What the file says, and its secrets as they are at the same time. */
interface Content {
  readonly text: string;
  readonly secrets: readonly Parsed<string>[];
  readonly fingerprint: string;
}

/**
 * Applies the file now, then again whenever its content or a secret in it changes, until `signal` aborts. The file's text
 * is compared, not its times: editors, mounts and configuration maps replace files in ways that no watcher tells of
 * reliably. A new text counts once it was read twice the same, so that a file half written is not taken.
 * @throws what reading, loading or the first `apply` throws. Later that goes to `onProblem`: once for each text that is
 * wrong, and at each further try of an `apply` that failed; the state applied last goes on.
 */
export async function followDesiredState(options: FollowOptions): Promise<void> {
  const content = await read(options);
  await applyContent(content, options);
  void poll(content, options);
}

async function poll(first: Content, options: FollowOptions): Promise<void> {
  const { signal, onProblem } = options;
  let settled: Content | AppError = first;
  let seen: Content | AppError = first;
  for (let pauseMs = POLL_INTERVAL_MS; await pause(pauseMs, signal);) {
    pauseMs = POLL_INTERVAL_MS;
    const current = await read(options).catch((error: unknown) => error as AppError);
    const isStable = sameContent(current, seen);
    seen = current;
    if (!isStable || sameContent(current, settled)) continue;
    try {
      if (current instanceof AppError) throw current;
      await applyContent(current, options);
    } catch (error) {
      if (signal.aborted) return;
      onProblem(error);
      // A wrong file stays wrong until it changes; a database that is away comes back.
      if (!(error instanceof AppError && error.code === "invalid_argument")) {
        pauseMs = RETRY_INTERVAL_MS;
        continue;
      }
    }
    settled = current;
  }
}

async function applyContent({ text }: Content, options: FollowOptions): Promise<void> {
  const load = (overlay: readonly OverlayEntry[]) =>
    loadDesiredState(text, { ...options, readSecret: secretsFrom(options.env), overlay });
  await options.apply(load([]), async (overlay) => load(overlay));
}

function sameContent(one: Content | AppError, other: Content | AppError): boolean {
  if (one instanceof AppError || other instanceof AppError) {
    return one instanceof AppError && other instanceof AppError && one.message === other.message;
  }
  return isDeepStrictEqual(one, other);
}

async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
  return !signal.aborted;
}

async function read({ file, env, fingerprint }: FollowOptions): Promise<Content> {
  try {
    const text = await readFile(file, "utf8");
    const readSecret = secretsFrom(env);
    return { text, secrets: secretsNamed(text).map(readSecret), fingerprint: (await fingerprint?.()) ?? "" };
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new AppError("invalid_argument", `the configuration file ${file} cannot be read: ${reason}`, {
      cause: error,
    });
  }
}
