/** `ok`: nothing is to be done; `warning`: it works and is unwise; `problem`: it does not work. */
export type Level = "ok" | "warning" | "problem";

export interface Finding {
  readonly level: Level;
  readonly what: string;
  /** What can be done about it. */
  readonly advice?: string;
}

export const ok = (what: string): Finding => ({ level: "ok", what });
export const warning = (what: string, advice: string): Finding => ({ level: "warning", what, advice });
export const problem = (what: string, advice: string): Finding => ({ level: "problem", what, advice });

const NAMED_MAX = 8;

/** The first of them, and that there are more. */
export function some(names: readonly string[]): string {
  const more = names.length - NAMED_MAX;
  return `${names.slice(0, NAMED_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
