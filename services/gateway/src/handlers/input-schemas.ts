import { createContext, Script } from "node:vm";
import { parseJson } from "@tollgate/mcp";
import { Ajv, type AnySchemaObject, type ErrorObject, type Options, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { RE2JS } from "re2js";

const SCHEMA_MAX_CHARS = 262_144;
const COMPILED_MAX = 1_000;
const ERRORS_MAX = 20;
const PLACE_MAX_CHARS = 200;
/** Wall-clock time: a busy machine takes its share of it. */
const COMPILE_MAX_MS = 1_000;
const CHECK_MAX_MS = 250;
/** For so long a schema that took too long is not tried again: the machine may have been busy, or the schema is bad. */
const RETRY_AFTER_MS = 60_000;
/** Below it a schema without references cannot take long: it looks at each place once for each of its parts. */
const QUICK_MAX_CHARS_SQUARED = 4_000_000;
/** What may look at the same place again and again. */
const REPEATING = /"\$(?:ref|dynamicRef|recursiveRef)"|"uniqueItems"/;

/** Why arguments are not passed on. Names places and rules, never values. */
export interface InputProblem {
  readonly reason: string;
  readonly errors: readonly { readonly path: string; readonly message: string }[];
}

export interface InputSchemas {
  /** @param definition of the tool, as its server wrote it */
  check(definition: string, callArguments: unknown): InputProblem | undefined;
}

type Check = (callArguments: unknown) => InputProblem | undefined;

interface Prepared {
  readonly check: Check;
  /** Monotonic milliseconds. */
  readonly until: number;
}

/**
 * Arguments against tools' own `inputSchema`, in JSON Schema 2020-12 (MCP's default) or draft-07. Schemas come from
 * servers, which nobody here trusts: nothing is fetched, patterns run in linear time, and what could take long is
 * stopped. A schema that cannot be used lets nothing pass.
 */
export function createInputSchemas(): InputSchemas {
  const checks = new Map<string, Prepared>();
  return {
    check(definition, callArguments) {
      let prepared = checks.get(definition);
      if (prepared === undefined || prepared.until < performance.now()) {
        prepared = prepare(definition);
        // The oldest goes; tools that are called come back.
        if (checks.size >= COMPILED_MAX) checks.delete(checks.keys().next().value!);
        checks.set(definition, prepared);
      }
      return prepared.check(callArguments);
    },
  };
}

function prepare(definition: string): Prepared {
  const schema = (parseJson(definition) as { inputSchema?: unknown }).inputSchema ?? { type: "object" };
  const unusable = (why: string, until = Infinity): Prepared => {
    const problem = { reason: `the tool's input schema cannot be used, so its calls are refused: ${why}`, errors: [] };
    return { check: () => problem, until };
  };
  if (typeof schema !== "object" || Array.isArray(schema)) return unusable("it is no object");
  const text = JSON.stringify(schema);
  if (text.length > SCHEMA_MAX_CHARS) return unusable(`it is longer than ${SCHEMA_MAX_CHARS} characters`);
  try {
    const dialect = dialectOf(schema);
    const validate = within(COMPILE_MAX_MS, () => compile(schema as AnySchemaObject, dialect));
    return { check: (callArguments) => run(validate, callArguments, text), until: Infinity };
  } catch (error) {
    return unusable(reasonOf(error, COMPILE_MAX_MS), isLate(error) ? performance.now() + RETRY_AFTER_MS : Infinity);
  }
}

interface Dialect {
  readonly make: typeof Ajv | typeof Ajv2020;
  /** Knows the dialect's own schema, and never another one; compiling that takes a hundred times what others take. */
  readonly checkSchema: (schema: AnySchemaObject) => void;
}

const DIALECTS: ReadonlyMap<string, () => Dialect> = new Map([
  ["https://json-schema.org/draft/2020-12/schema", lazyDialect(Ajv2020)],
  ["http://json-schema.org/draft-07/schema", lazyDialect(Ajv)],
]);
const DEFAULT_DIALECT = "https://json-schema.org/draft/2020-12/schema";

/** ECMA-262's syntax as far as it can be matched in linear time. @throws where it cannot */
const regExp = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
    // Ajv takes patterns for the same whose text is the same.
    return { test: (text: string) => compiled.test(text), toString: () => pattern };
  },
  { code: "linearRegExp" },
);

/** `strict` off: keywords and formats that are not known mean nothing, as the specification has it. */
const OPTIONS: Options = { strict: false, allErrors: true, logger: false, code: { regExp } };

/** Made when it is needed first. */
function lazyDialect(make: Dialect["make"]): () => Dialect {
  let made: Dialect | undefined;
  return () => {
    if (made !== undefined) return made;
    const own = new make({ strict: false, logger: false });
    void own.validateSchema({});
    made = { make, checkSchema: (schema) => void own.validateSchema(schema, true) };
    return made;
  };
}

function dialectOf({ $schema = DEFAULT_DIALECT }: AnySchemaObject): Dialect {
  const found = typeof $schema === "string" ? DIALECTS.get($schema.replace(/#$/, "")) : undefined;
  if (found) return found();
  throw new Error("its $schema is neither JSON Schema 2020-12 nor draft-07");
}

/** An instance of its own: no schema can refer to another server's, nor take the place of a dialect's own. */
function compile(schema: AnySchemaObject, { make, checkSchema }: Dialect): ValidateFunction {
  checkSchema(schema);
  const ajv = new make({ ...OPTIONS, meta: false, validateSchema: false });
  formats.default(ajv);
  return ajv.compile(schema);
}

function run(validate: ValidateFunction, callArguments: unknown, schemaText: string): InputProblem | undefined {
  try {
    const isQuick =
      !REPEATING.test(schemaText) &&
      schemaText.length * JSON.stringify(callArguments).length <= QUICK_MAX_CHARS_SQUARED;
    const fits = isQuick ? validate(callArguments) : within(CHECK_MAX_MS, () => validate(callArguments));
    if (fits) return undefined;
  } catch (error) {
    return { reason: `the arguments could not be checked: ${reasonOf(error, CHECK_MAX_MS)}`, errors: [] };
  }
  const errors = (validate.errors ?? []).slice(0, ERRORS_MAX).map(toPlace);
  const first = errors[0];
  const where = first === undefined ? "" : `: ${first.path || "they"} ${first.message}`;
  return { reason: `the arguments do not fit the tool's input schema${where}`, errors };
}

function toPlace({ instancePath, message }: ErrorObject): { path: string; message: string } {
  const short = (text: string) => text.slice(0, PLACE_MAX_CHARS);
  return { path: short(instancePath), message: short(message ?? "does not fit") };
}

const sandbox = createContext({ work: undefined as (() => unknown) | undefined });
const script = new Script("work()");

/** The only way to stop what runs on this thread. @throws when it takes longer, whatever it does */
function within<T>(timeoutMs: number, work: () => T): T {
  sandbox["work"] = work;
  try {
    return script.runInContext(sandbox, { timeout: timeoutMs }) as T;
  } finally {
    sandbox["work"] = undefined;
  }
}

function reasonOf(error: unknown, limitMs: number): string {
  if (isLate(error)) return `it takes longer than ${limitMs} ms`;
  return String((error as { message?: unknown }).message).slice(0, PLACE_MAX_CHARS);
}

function isLate(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
}
