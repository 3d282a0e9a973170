import { AppError } from "@tollgate/errors";
import { withOperation, withoutOperation } from "../domain/connector-tools.ts";
import { type EntryValue, keyOf, valueInForce } from "../domain/layers.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Entries } from "./entries.ts";

// The tools of a connector are operations in its group's entry: changed there, and seen when a runner has told of them.

interface Around {
  readonly entries: Entries;
  readonly catalogue: Catalogue;
}

interface Asked {
  readonly serverId: string;
  readonly name: string;
  readonly actor: string;
  readonly address: string;
}

/** @throws {AppError} invalid_argument with `mistakes`; already_exists */
export function addOperation(around: Around, asked: Asked & { readonly operation: EntryValue }): Promise<bigint> {
  return changeGroup(around, asked, (group) => withOperation(group, asked.serverId, asked.operation));
}

/** @throws {AppError} not_found */
export function removeOperation(around: Around, asked: Asked): Promise<bigint> {
  const { serverId: connectorId, name } = asked;
  const operations = around.entries.serverOf(connectorId)?.connector?.operations ?? [];
  const inForce = operations.map((each) => each.name);
  return changeGroup(around, asked, (group) => withoutOperation(group, { connectorId, name, inForce }));
}

async function changeGroup(
  { entries, catalogue }: Around,
  { serverId, actor: principal, address }: Asked,
  change: (group: EntryValue) => EntryValue,
): Promise<bigint> {
  const id = catalogue.latest.value.servers.find((server) => server.id === serverId)?.group ?? "";
  const key = { kind: "group", id } as const;
  const { revision } = await entries.change(
    ({ known, file }) => {
      const entry = known.get(keyOf(key));
      const value = entry && valueInForce(entry, file.get(keyOf(key))?.value);
      if (value === undefined) throw new AppError("not_found", `there is no group "${id}"`);
      return [{ ...key, value: change(value) }];
    },
    { principal, ...(address === "" ? {} : { address }) },
  );
  return revision;
}
