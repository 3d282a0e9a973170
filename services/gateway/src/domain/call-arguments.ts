import { findMembers, type RequestFrame } from "@tollgate/mcp";
import { AppError } from "@tollgate/errors";

/** Of arguments that a decision varies by. */
const ARGUMENTS_MAX_CHARS = 65_536;
const SHOWN_MAX_CHARS = 100;
/** Every parser reads so many digits the same. */
const SAFE_DIGITS = 15;
/** Of a text that JSON.parse has accepted. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]|-?\d[\d.eE+-]*/g;

/**
 * A call's arguments as its client wrote them, for what is decided by them.
 * @throws {AppError} `payload_too_large`: what is not seen whole cannot be decided; `invalid_argument` when the server
 * might read them otherwise than they are read here
 */
export function argumentsOf(frame: RequestFrame): string {
  const given = argumentsText(frame);
  if (given.length > ARGUMENTS_MAX_CHARS) {
    const reason = `the arguments have ${given.length} characters; where they are decided on, ${ARGUMENTS_MAX_CHARS} are allowed`;
    throw new AppError("payload_too_large", reason);
  }
  const ambiguous = ambiguityIn(given);
  if (ambiguous !== undefined) throw new AppError("invalid_argument", `"params.arguments": ${ambiguous}`);
  return given;
}

/** As the client wrote them. */
export function argumentsText({ text, members }: RequestFrame): string {
  const params = members.spans["params"];
  const span = params && findMembers(text, params.start, ["arguments"])?.spans["arguments"];
  return span === undefined ? "{}" : text.slice(span.start, span.end);
}

/** What parsers read differently: the same key twice, in whatever letters, and numbers that are no double. Never with a value. */
export function ambiguityIn(json: string): string | undefined {
  /** Of each object that is open its keys; undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let isKey = false;
  for (const [token] of json.matchAll(TOKENS)) {
    const keys = open.at(-1);
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : undefined);
      isKey = token === "{";
    } else if (token === "}" || token === "]") {
      open.pop();
      isKey = false;
    } else if (token === ",") {
      isKey = keys !== undefined;
    } else if (token.startsWith('"')) {
      if (!isKey) continue;
      isKey = false;
      const key = (JSON.parse(token) as string).toLowerCase();
      if (keys!.has(key)) return `the key ${JSON.stringify(key.slice(0, SHOWN_MAX_CHARS))} is given more than once`;
      keys!.add(key);
    } else if (!isExact(token)) return "a number has more digits than a double can hold";
  }
  return undefined;
}

function isExact(number: string): boolean {
  const value = Number(number);
  if (!Number.isFinite(value)) return false;
  const digits = number
    .replace(/[eE].*$/, "")
    .replace(/[-.]/g, "")
    .replace(/^0+/, "");
  return digits.length <= SAFE_DIGITS || String(value) === number;
}
