import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Parsed } from "@tollgate/contracts";
import type { DesiredOpa } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Life, Log } from "@tollgate/service";
import type { OpaEngine } from "../clients/opa-engine.ts";
import { openOpaRest } from "../clients/opa-rest.ts";
import { openOpaWasm } from "../clients/opa-wasm.ts";
import type { Target } from "../domain/cedar-question.ts";
import type { Decision, Question } from "../domain/decision.ts";
import type { DecisionCaller } from "../domain/principal.ts";
import {
  awaitsArguments,
  combineOpaAnswers,
  type OpaAnswer,
  type OpaQuestion,
  type OpaSettings,
  toOpaInput,
  undecided,
  withOpaAnswer,
} from "../domain/opa.ts";
import type { PolicyState } from "../domain/state.ts";
import type { PolicyMetrics } from "../metrics.ts";

const WASM_MAX_BYTES = 32 * 1024 * 1024;

/** The Open Policy Agent that the file names, if any. What it is asked with is a part of the state; its token is not. */
export interface Opa {
  /**
   * Opens what the file names, beside what is in force.
   * @throws {AppError} `invalid_argument` where the compiled policy cannot be used
   */
  prepare(desired: DesiredOpa | undefined): Promise<OpaSettings | null>;
  /** What was prepared last is in force. */
  settle(): void;
  /** A text that changes with the file of the compiled policy. */
  fingerprint(): Promise<string>;
  /** What becomes of the policies' decisions, of which some may be asked about; undefined where none are. */
  judgeFor(
    state: PolicyState,
    caller: Parsed<DecisionCaller>,
    question: Omit<Question, "principal">,
  ): Judge | undefined;
}

type Judge = (decision: Decision, target: Target) => Promise<Decision>;

/** What answers under some settings. */
interface Setup {
  readonly desired: DesiredOpa;
  readonly settings: OpaSettings;
  readonly engines: readonly OpaEngine[];
}

export function createOpa(options: {
  /** Relative names of files start at its folder. */
  readonly configFile: string;
  readonly metrics: PolicyMetrics;
  readonly life: Life;
  readonly log: Log;
}): Opa {
  const { configFile, metrics, life, log } = options;
  const fileOf = (desired: DesiredOpa) => desired.wasm && resolve(dirname(configFile), desired.wasm.file);
  let inForce: Setup | undefined;
  let prepared: Setup | undefined;
  /** The one that the file names, also where it cannot be used. */
  let watched: string | undefined;
  let isTroubled = false;
  life.onClose("opa", 1_000, () => {
    close(inForce);
    if (prepared !== inForce) close(prepared);
  });

  /** An answer that is missing is told once, until there is one again. */
  function note(troubled: boolean, cause?: unknown): void {
    if (troubled && !isTroubled)
      log.warn({ err: cause }, "OPA does not answer: what it would be asked about is denied");
    if (!troubled && isTroubled) log.info("OPA answers again");
    isTroubled = troubled;
  }

  async function askOne(engine: OpaEngine, input: string, signal: AbortSignal): Promise<OpaAnswer> {
    try {
      const answer = await engine.ask(input, signal);
      note(false);
      return answer;
    } catch (error) {
      note(true, error);
      return undecided((error as Error).message);
    }
  }

  async function ask(settings: OpaSettings, question: OpaQuestion): Promise<OpaAnswer> {
    // A replica with another file has stored its own: what this one has must not answer in its place.
    const setup = [inForce, prepared].find((each) => each && isDeepStrictEqual(each.settings, settings));
    if (setup === undefined) return undecided("OPA is being set up");
    const input = toOpaInput(settings, question);
    if (input === undefined) return undecided("the arguments cannot be put to OPA");
    const signal = AbortSignal.any([life.signal, AbortSignal.timeout(settings.timeoutMs)]);
    return combineOpaAnswers(await Promise.all(setup.engines.map((engine) => askOne(engine, input, signal))));
  }

  return {
    async prepare(desired) {
      if (prepared !== inForce) close(prepared);
      prepared = undefined;
      watched = desired && fileOf(desired);
      if (desired === undefined) return null;
      const bytes = watched === undefined ? undefined : await readWasm(watched);
      const settings = settingsOf(desired, bytes);
      const isSame = isDeepStrictEqual([inForce?.desired, inForce?.settings], [desired, settings]);
      prepared = isSame ? inForce : { desired, settings, engines: await openEngines(desired, bytes) };
      return settings;
    },
    settle() {
      if (inForce !== prepared) close(inForce);
      inForce = prepared;
    },
    async fingerprint() {
      if (watched === undefined) return "";
      try {
        const { dev, ino, size, mtimeNs, ctimeNs } = await stat(watched, { bigint: true });
        return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
      } catch (error) {
        return String((error as NodeJS.ErrnoException).code);
      }
    },
    judgeFor(state, caller, question) {
      const { opa: settings } = state.settings;
      if (settings === null || !settings.actions.includes(question.action) || !caller.ok) return undefined;
      const { action, nowMs, address = "", arguments: callArguments } = question;
      const asked = { ...caller.value, action, nowMs, address, callArguments };
      return async (decision, target) => {
        if (!decision.allow) return decision;
        if (awaitsArguments(settings, asked)) return { ...decision, variesByArguments: true };
        const answer = await ask(settings, { ...asked, target });
        metrics.opaAnswers.inc({ answer: answer.kind });
        return withOpaAnswer(decision, answer, { cacheMs: settings.cacheMs, nowMs });
      };
    },
  };
}

function close(setup: Setup | undefined): void {
  for (const engine of setup?.engines ?? []) engine.close();
}

function settingsOf(desired: DesiredOpa, bytes: Uint8Array | undefined): OpaSettings {
  const { rest, wasm, timeoutMs, cacheMs, sendsArguments, actions } = desired;
  const sha256 = createHash("sha256")
    .update(bytes ?? "")
    .digest("hex");
  const compiled = wasm ? { sha256, entrypoint: wasm.entrypoint } : null;
  return { rest: rest ?? null, wasm: compiled, timeoutMs, cacheMs, sendsArguments, actions };
}

async function openEngines(desired: DesiredOpa, bytes: Uint8Array<ArrayBuffer> | undefined): Promise<OpaEngine[]> {
  const { rest, token, wasm } = desired;
  const engines: OpaEngine[] = rest ? [openOpaRest({ ...rest, token })] : [];
  if (wasm === undefined || bytes === undefined) return engines;
  try {
    return [...engines, await openOpaWasm({ bytes, entrypoint: wasm.entrypoint })];
  } catch (error) {
    throw wrongFile(`is not a policy that can be used: ${(error as Error).message}`, error);
  }
}

async function readWasm(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { size } = await stat(file);
    if (size > WASM_MAX_BYTES) throw new Error(`it is larger than ${WASM_MAX_BYTES} bytes`);
    return Uint8Array.from(await readFile(file));
  } catch (error) {
    throw wrongFile(`cannot be read: ${(error as Error).message}`, error);
  }
}

function wrongFile(reason: string, cause: unknown): AppError {
  return new AppError("invalid_argument", `control_plane.opa.wasm_file ${reason}`, { cause });
}
