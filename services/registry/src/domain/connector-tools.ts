import { AppError } from "@tollgate/errors";
import { isObject } from "./item.ts";

type Value = Readonly<Record<string, unknown>>;

/**
 * What is to be registered: JSON with the name of a tool.
 * @throws {AppError} invalid_argument
 */
export function toolNameIn(json: string): { readonly name: string; readonly value: Value } {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new AppError("invalid_argument", "the tool is not JSON");
  }
  const name = isObject(value) ? value["name"] : undefined;
  if (!isObject(value) || typeof name !== "string" || name === "")
    throw new AppError("invalid_argument", "name: is missing");
  return { name, value };
}

/**
 * A group's entry with one operation more in one of its connectors. What is left out of a document stays so: that does not
 * concern the connector's own operations.
 * @throws {AppError} not_found, already_exists
 */
export function withOperation(group: Value, connectorId: string, operation: Value): Value {
  return withConnector(group, connectorId, (connector) => {
    const name = operation["name"];
    const operations = listIn(connector, "operations");
    if (operations.some((each) => nameOf(each) === name))
      throw new AppError("already_exists", `connector "${connectorId}" has the operation "${String(name)}" already`);
    return { ...connector, operations: [...operations, operation] };
  });
}

/**
 * Likewise with one less of those that are `inForce`. Where there is a document its operation of the name is left out too:
 * behind one of the connector's own it would come back.
 * @throws {AppError} not_found
 */
export function withoutOperation(
  group: Value,
  { connectorId, name, inForce }: { connectorId: string; name: string; inForce: readonly string[] },
): Value {
  return withConnector(group, connectorId, (connector) => {
    const operations = listIn(connector, "operations");
    const others = operations.filter((each) => nameOf(each) !== name);
    const isOwn = others.length < operations.length;
    if (!isOwn && !inForce.includes(name))
      throw new AppError("not_found", `connector "${connectorId}" has no operation "${name}"`);
    const hasDocument = connector["openapi"] !== undefined;
    return {
      ...connector,
      ...(isOwn ? { operations: others } : {}),
      ...(hasDocument ? { exclude: [...new Set([...listIn(connector, "exclude"), name])] } : {}),
    };
  });
}

function withConnector(group: Value, id: string, change: (connector: Value) => Value): Value {
  const connectors = listIn(group, "connectors");
  const at = connectors.findIndex((each) => isObject(each) && each["id"] === id);
  if (at < 0) throw new AppError("not_found", `there is no connector "${id}"`);
  return { ...group, connectors: connectors.with(at, change(connectors[at] as Value)) };
}

function listIn(value: Value, key: string): readonly unknown[] {
  const list = value[key];
  return Array.isArray(list) ? list : [];
}

function nameOf(value: unknown): unknown {
  return isObject(value) ? value["name"] : undefined;
}
