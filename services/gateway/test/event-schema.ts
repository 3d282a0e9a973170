import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";

interface ObjectSchema {
  readonly properties: Readonly<Record<string, unknown>>;
  readonly required: readonly string[];
}

/** docs/events.schema.json. */
export const eventSchema = JSON.parse(
  readFileSync(new URL("../../../docs/events.schema.json", import.meta.url), "utf8"),
) as {
  readonly $defs: Readonly<Record<string, ObjectSchema>>;
};

/** @param grows as published: fields that are not known are taken. Else each has to be a known one. */
export function openEventSchema({ grows = false } = {}): { problemsOf(this: void, event: unknown): string[] } {
  const $defs = Object.fromEntries(
    Object.entries(eventSchema.$defs).map(([name, schema]) => [
      name,
      grows || schema.properties === undefined ? schema : { ...schema, additionalProperties: false },
    ]),
  );
  const validate = new Ajv2020({ allErrors: true, strict: true, strictTypes: false }).compile({
    ...eventSchema,
    $defs,
  });
  return {
    problemsOf(event) {
      const kind = (event as { kind?: unknown }).kind;
      if (validate(event)) return [];
      // Of the other kinds it is none anyway.
      const own = validate.errors!.filter(({ schemaPath }) => schemaPath.startsWith(`#/$defs/${String(kind)}/`));
      return (own.length === 0 ? validate.errors! : own).map(
        ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
      );
    },
  };
}
