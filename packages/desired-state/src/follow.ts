import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Parsed } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { documentsBeside, documentsNamed, documentState } from "./documents.ts";
import type { OverlayEntry } from "./entries.ts";
import { loadDesiredState, type LoadOptions } from "./load.ts";
import { type ReadServerSecret, secretsNamed } from "./placeholders.ts";
import { secretsFrom } from "./secret-files.ts";
import { serverSecretsNamed } from "./server-secrets.ts";
import type { DesiredState } from "./state.ts";

const POLL_INTERVAL_MS = 250;
const RETRY_INTERVAL_MS = 2_000;

/** Of those that servers' entries name in all. */
const SECRETS_MAX = 5_000;

/**
 * The same text again, with something over its entries; and with their secrets, which it may take time to get. In a trial
 * none is asked for that is not known already.
 */
export type LoadCovered = (
  overlay: readonly OverlayEntry[],
  options?: { readonly isTrial?: boolean },
) => Promise<DesiredState>;

/** Which secrets are asked for, and on what occasion. */
export interface SecretsNeeded {
  readonly text: string;
  readonly names: readonly string[];
  /** `look`: at the file, again and again; `load`: for what is to stand over it; `trial`: the same, and nobody is to run with it. */
  readonly occasion: "look" | "load" | "trial";
}

/** Secrets of servers as they are at one time. */
export interface ServerSecrets {
  readonly read: ReadServerSecret;
  /** Another one whenever what is read is. */
  readonly version: number;
}

interface FollowOptions extends Omit<
  LoadOptions,
  "readSecret" | "readServerSecret" | "readDocument" | "overlay" | "isOfApi"
> {
  readonly signal: AbortSignal;
  readonly apply: (state: DesiredState, loadCovered: LoadCovered) => Promise<void>;
  /** What else is read when the file is applied, as a text that changes with it: a change of it is one of the file. */
  readonly fingerprint?: () => Promise<string>;
  /** Reads the secrets that servers' entries name, at each look at the file; without it they are files like all others. */
  readonly readSecrets?: (needed: SecretsNeeded) => Promise<ServerSecrets>;
  readonly onProblem: (error: unknown) => void;
}

/** What the file says, and its secrets as they are at the same time. */
interface Content {
  readonly text: string;
  /** Of the secrets that its servers ask for. */
  readonly names: readonly string[];
  /** Files that connectors name, and what changes when one of them does. */
  readonly documents: readonly string[];
  readonly documentStates: readonly string[];
  readonly secrets: readonly Parsed<string>[];
  /** Of the secrets of servers, where they are not files alone. */
  readonly version: number;
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
    const current: Content | AppError = await read(options, seen).catch((error: unknown) => error as AppError);
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

async function applyContent({ text, names }: Content, options: FollowOptions): Promise<void> {
  const load: LoadCovered = async (overlay, { isTrial = false } = {}) => {
    const needed = [...new Set([...names, ...secretsNamed(JSON.stringify(overlay))])];
    if (needed.length > SECRETS_MAX) throw tooManySecrets(needed.length);
    const occasion = isTrial ? "trial" : "load";
    const secrets = await options.readSecrets?.({ text, names: needed, occasion });
    const reading = { readSecret: secretsFrom(options.env), ...(secrets && { readServerSecret: secrets.read }) };
    const readDocument = documentsBeside(options.file);
    return loadDesiredState(text, { ...options, ...reading, readDocument, overlay });
  };
  await options.apply(await load([]), load);
}

function tooManySecrets(count: number): AppError {
  const mistake = `servers name ${count} secrets; at most ${SECRETS_MAX} are read`;
  return new AppError("invalid_argument", mistake, { details: { mistakes: [mistake] } });
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

/** @param before what was read before: the same text names the same */
async function read(options: FollowOptions, before?: Content | AppError): Promise<Content> {
  const { file, env, fingerprint, readSecrets } = options;
  try {
    const text = await readFile(file, "utf8");
    const secrets = secretsNamed(text).map(secretsFrom(env));
    const isSame = before !== undefined && !(before instanceof AppError) && before.text === text;
    const names = isSame ? before.names : serverSecretsNamed(text);
    const documents = isSame
      ? before.documents
      : options.sections?.includes("groups") === false
        ? []
        : documentsNamed(text);
    const documentStates = documents.map((each) => documentState(file, each));
    // Too many are a mistake, which shows when it is loaded.
    const wanted = names.length > SECRETS_MAX ? [] : names;
    const stores = await readSecrets?.({ text, names: wanted, occasion: "look" });
    const version = stores?.version ?? 0;
    return { text, names, documents, documentStates, secrets, version, fingerprint: (await fingerprint?.()) ?? "" };
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new AppError("invalid_argument", `the configuration file ${file} cannot be read: ${reason}`, {
      cause: error,
    });
  }
}
