import { isDeepStrictEqual } from "node:util";
import type { Change } from "@tollgate/contracts";

/** Something that is declared, without secrets. */
export interface DeclaredResource {
  readonly resource: "tenant" | "group" | "server" | "tool" | "tool_set";
  readonly name: string;
  readonly group?: string;
  readonly server?: string;
  readonly tool?: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** Stands for what is not shown: it is another one when a secret is. */
  readonly unshown?: string;
}

/** One change for each resource that is not as it was before. Who has made it is not known here. */
export function changesBetween(
  before: readonly DeclaredResource[],
  after: readonly DeclaredResource[],
): Omit<Change, "principal">[] {
  const [was, is] = [before, after].map((all) => new Map(all.map((each) => [`${each.resource} ${each.name}`, each])));
  return [...new Set([...was!.keys(), ...is!.keys()])].flatMap((key) => changeOf(was!.get(key), is!.get(key)));
}

function changeOf(
  before: DeclaredResource | undefined,
  after: DeclaredResource | undefined,
): Omit<Change, "principal">[] {
  const { value: _value, unshown: _unshown, ...place } = (after ?? before)!;
  // What is said of all else concerns all tenants.
  const about = { ...place, tenant: place.resource === "tenant" ? place.name : "" };
  if (before === undefined) return [{ ...about, change: "created", after: after!.value }];
  if (after === undefined) return [{ ...about, change: "deleted", before: before.value }];
  const sides = { before: before.value, after: after.value };
  if (!isDeepStrictEqual(before.value, after.value)) return [{ ...about, change: "updated", ...sides }];
  if (before.unshown === after.unshown) return [];
  return [{ ...about, change: "updated", ...sides, reason: "a value that is not shown is another one" }];
}
