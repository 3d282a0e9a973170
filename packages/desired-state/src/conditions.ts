import { isIP } from "node:net";
import { NAME_PATTERN, RISKS } from "@tollgate/contracts";
import { z } from "zod";
import { boolean, number } from "./scalars.ts";

// When a policy holds. The same keys in tollgate.yaml, in the API and in the database.

export const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

const ENTRIES_MAX = 64;
const TEXT_MAX_CHARS = 1_024;
const SIGN_IN_AGE_MAX_SECONDS = 31_536_000;
/** What Cedar's decimals hold, with room to spare. */
const NUMBER_MAX = 900_000_000_000_000;
const DECIMAL_PLACES = 4;

const list = <T extends z.ZodType>(entry: T) => z.array(entry).min(1, "is empty").max(ENTRIES_MAX);
/** One value stands for a list of one. */
const oneOrMore = <T extends z.ZodType>(entry: T) =>
  z.preprocess((value) => (typeof value === "string" ? [value] : value), list(entry));

const clock = (last: RegExp) => z.string().regex(last, 'has to be a time of the day such as "08:00", in quotes');
const time = z
  .strictObject({
    from: clock(/^([01]\d|2[0-3]):[0-5]\d$/).default("00:00"),
    to: clock(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/).default("24:00"),
    timezone: z.string().refine(isTimezone, "has to be the name of a time zone such as Europe/Berlin").default("UTC"),
  })
  .refine(({ from, to }) => from !== to, {
    path: ["to"],
    message: 'is the same as "from": leave out both for all day',
  });

const argumentNumber = number(z.number().min(-NUMBER_MAX).max(NUMBER_MAX)).refine(
  (value) => Number(value.toFixed(DECIMAL_PLACES)) === value,
  `has more than ${DECIMAL_PLACES} decimal places`,
);
const argumentText = z
  .string()
  .max(TEXT_MAX_CHARS)
  .refine((value) => value.isWellFormed(), "is no text");
const argument = z
  .strictObject({
    is: z
      .union([argumentText, z.number().check(fits), z.boolean()], "has to be a text, a number, true or false")
      .optional(),
    in: z
      .union([list(argumentText), list(z.number().check(fits))], "has to be a list of texts or of numbers")
      .optional(),
    like: argumentText.min(1, "is empty").optional(),
    min: argumentNumber.optional(),
    max: argumentNumber.optional(),
  })
  .refine(
    ({ min, max, ...tests }) =>
      Object.values({ ...tests, range: min ?? max }).filter((each) => each !== undefined).length === 1,
    'has to have one of "is", "in", "like", and "min" with or without "max"',
  );

export const conditionsShape = z.strictObject({
  environment: oneOrMore(z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -")).optional(),
  time: time.optional(),
  weekdays: oneOrMore(z.enum(WEEKDAYS, `has to be one of ${WEEKDAYS.join(", ")}`)).optional(),
  network: oneOrMore(z.string().refine(isNetwork, "has to be an address or a network such as 10.0.0.0/8")).optional(),
  risk: oneOrMore(z.enum(RISKS, `has to be one of ${RISKS.join(", ")}`)).optional(),
  mfa: boolean.default(false),
  acr: oneOrMore(argumentText.min(1, "is empty")).optional(),
  max_sign_in_age: number(z.number().int().positive().max(SIGN_IN_AGE_MAX_SECONDS)).optional(),
  arguments: z
    .record(argumentText.min(1, "is empty"), argument)
    .refine((tests) => Object.keys(tests).length <= ENTRIES_MAX, `has more than ${ENTRIES_MAX} entries`)
    .refine((tests) => Object.keys(tests).length > 0, "is empty")
    .optional(),
  require_sandbox: boolean.default(false),
});
type Shape = z.infer<typeof conditionsShape>;

/** Absent: does not matter. Plain JSON, without keys that have no value. */
export type Conditions = {
  readonly [K in Exclude<keyof Shape, "mfa" | "require_sandbox">]?: NonNullable<Shape[K]>;
} & { readonly mfa?: true; readonly require_sandbox?: true };
export type ArgumentTest = z.infer<typeof argument>;

export const CONDITIONS_KEYS: Readonly<Record<string, readonly string[]>> = {
  "policies.conditions": Object.keys(conditionsShape.shape),
  "policies.conditions.time": Object.keys(time.shape),
  "policies.conditions.arguments": Object.keys(argument.shape),
};

/** One way to say the same: what does not matter is left out, and days are in their order. */
export function toConditions(given: Shape): Conditions {
  const { mfa, require_sandbox, weekdays, ...rest } = given;
  const conditions = {
    ...rest,
    ...(mfa ? { mfa } : {}),
    ...(require_sandbox ? { require_sandbox } : {}),
    ...(weekdays ? { weekdays: WEEKDAYS.filter((day) => weekdays.includes(day)) } : {}),
  };
  return JSON.parse(JSON.stringify(conditions)) as Conditions;
}

function fits(payload: { value: number; issues: z.core.$ZodRawIssue[] }): void {
  const { value } = payload;
  if (Math.abs(value) <= NUMBER_MAX && Number(value.toFixed(DECIMAL_PLACES)) === value) return;
  const message = `has to be at most ${NUMBER_MAX}, with at most ${DECIMAL_PLACES} decimal places`;
  payload.issues.push({ code: "custom", message, input: value });
}

function isTimezone(name: string): boolean {
  try {
    // Offsets such as +02:00 are taken by some versions only, and know no summer time.
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat("en-US", { timeZone: name }).format() !== "";
  } catch {
    return false;
  }
}

/** IPv4 within IPv6 is written as IPv4, as the client's address is. */
export function isNetwork(text: string): boolean {
  const [, address, prefix] = /^([\d.]+|[\da-fA-F:]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  const version = address === undefined ? 0 : isIP(address);
  return version !== 0 && Number(prefix ?? 0) <= (version === 4 ? 32 : 128);
}
