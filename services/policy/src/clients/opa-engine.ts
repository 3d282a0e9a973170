import type { OpaAnswer } from "../domain/opa.ts";

/** What decides beside the policies. */
export interface OpaEngine {
  /**
   * @param input JSON
   * @param signal the time it has, waiting for its turn included
   * @throws {NoAnswer}
   */
  ask(input: string, signal: AbortSignal): Promise<OpaAnswer>;
  close(): void;
}

/** Its message is shown to callers: it names no address, and repeats nothing that OPA has said. The cause is for the log. */
export class NoAnswer extends Error {}
