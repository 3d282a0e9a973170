import { isObject } from "./item.ts";

const PLACE_MAX_CHARS = 200;

/** A text somewhere in a tool's definition: a value, or the name of an argument. */
export interface DefinitionText {
  readonly text: string;
  readonly isName: boolean;
  /** Such as `inputSchema.properties.path.description`; made only where it is asked for. */
  readonly where: () => string;
}

interface Step {
  readonly above: Step | undefined;
  readonly key: string | number;
}

/** All of them, whatever member they are in: a model may be given the whole. Not by recursion: depth is the server's choice. */
export function textsOf(definition: Readonly<Record<string, unknown>>): DefinitionText[] {
  const texts: DefinitionText[] = [];
  const open: { readonly value: unknown; readonly step: Step | undefined }[] = [{ value: definition, step: undefined }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, step } = next;
    if (typeof value === "string") {
      texts.push({ text: value, isName: step?.key === "name" && step.above === undefined, where: () => placeOf(step) });
    } else if (Array.isArray(value)) {
      for (const [key, each] of value.entries()) open.push({ value: each, step: { above: step, key } });
    } else if (isObject(value)) {
      const areNames = step?.key === "properties";
      for (const [key, each] of Object.entries(value)) {
        const below = { above: step, key };
        if (areNames) texts.push({ text: key, isName: true, where: () => placeOf(below) });
        open.push({ value: each, step: below });
      }
    }
  }
  return texts;
}

function placeOf(step: Step | undefined): string {
  const steps: string[] = [];
  let chars = 0;
  for (let at = step; at !== undefined && chars < PLACE_MAX_CHARS; at = at.above) {
    const part = typeof at.key === "number" ? `[${at.key}]` : `.${writtenOut(at.key)}`;
    steps.push(part);
    chars += part.length;
  }
  return steps.toReversed().join("").replace(/^\./, "").slice(0, PLACE_MAX_CHARS);
}

/** What could not be seen, or would change how the rest is shown, as U+XXXX. */
export function writtenOut(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0\p{Variation_Selector}]/gu,
    (character) => `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`,
  );
}
