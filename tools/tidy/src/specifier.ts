import { isBuiltin } from "node:module";

/** The package that a specifier means; undefined for a file, and for what Node brings itself. */
export function packageOf(specifier: string): string | undefined {
  if (/^(?:\.|\/|file:|data:|#)/.test(specifier) || isBuiltin(specifier)) return undefined;
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}
