import { type Risk, RISKS, type toolsV1 } from "@tollgate/contracts";
import { folded, mixedWordIn } from "./confusables.ts";
import { type DefinitionText, textsOf, writtenOut } from "./definition-texts.ts";
import { NAME_RULES, type Rule, RULES } from "./finding-rules.ts";
import { invisibleIn } from "./invisible-characters.ts";

const FINDINGS_MAX = 20;
const EXCERPT_MAX_CHARS = 120;
/** Of one text, and of all texts together, so much is looked at: more is nothing that anybody reads. */
const TEXT_MAX_CHARS = 32_768;
const DEFINITION_MAX_CHARS = 131_072;
const DESCRIPTION_MAX_CHARS = 6_000;
const OTHER_MAX_CHARS = 3_000;

const ENCODED: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: /[A-Za-z0-9+/_-]{80,}={0,2}/g, what: "base64" },
  { pattern: /(?:\\x[0-9a-fA-F]{2}){8}|(?:\\u[0-9a-fA-F]{4}){8}/g, what: "escaped characters" },
  { pattern: /(?:&#x?[0-9a-fA-F]{2,6};){6}/g, what: "HTML's character references" },
  { pattern: /(?:%[0-9a-fA-F]{2}){12}/g, what: "percent-encoding" },
];
/** Of icons; no text. */
const PICTURE = /^data:image\/[\w.+-]{1,40};base64,[A-Za-z0-9+/]*={0,2}$/;
/** Text behind so much of nothing is out of people's sight. */
const OUT_OF_SIGHT = /(?:\S[ \t]{60,}|\n[ \t]{0,8}(?:\n[ \t]{0,8}){14})\S/;

export type Finding = toolsV1.Finding;

/**
 * What in a definition could mislead a model or a person, the worst first. It is looked for in each of its texts: their
 * words as they read, and what is not seen. Patterns find what is known; a definition without findings is not thereby safe.
 */
export function findingsIn(definition: Readonly<Record<string, unknown>>): Finding[] {
  const findings = new Map<string, Finding>();
  let left = DEFINITION_MAX_CHARS;
  for (const each of textsOf(definition)) {
    if (PICTURE.test(each.text)) continue;
    for (const { kind, why, risk } of left <= 0 ? [TOO_LONG] : each.isName ? inName(each.text) : inText(each)) {
      const where = left <= 0 ? "" : each.where();
      // The same in other words is one finding.
      const key = `${kind} ${where} ${why.split(': "')[0]}`;
      if (!findings.has(key)) findings.set(key, { kind, where, why, risk });
    }
    if (left <= 0 || findings.size > FINDINGS_MAX * 4) break;
    left -= Math.min(each.text.length, TEXT_MAX_CHARS);
  }
  const rank = ({ risk }: Finding): number => -RISKS.indexOf(risk as Risk);
  return [...findings.values()].toSorted((a, b) => rank(a) - rank(b)).slice(0, FINDINGS_MAX);
}

/** The most that the findings ask for; undefined where they ask for nothing. */
export function riskOf(findings: readonly Finding[]): Risk | undefined {
  return RISKS.toReversed().find((risk) => risk !== "LOW" && findings.some((each) => each.risk === risk));
}

type Found = Omit<Finding, "where">;

/** What is not looked at is told as the worst that is usually found. */
const TOO_LONG: Found = { kind: "overlong", why: "so long that not all of it was looked at", risk: "HIGH" };

function inText({ text: whole, where }: DefinitionText): Found[] {
  const text = whole.slice(0, TEXT_MAX_CHARS);
  const found: Found[] = invisibleIn(text).map(({ why, risk }) => ({ kind: "invisible_characters", why, risk }));
  found.push(...inWords(spaced(folded(text)), RULES));
  const word = mixedWordIn(text);
  if (word !== undefined)
    found.push({
      kind: "confusable_characters",
      why: `letters of several scripts in "${excerpt(word)}"`,
      risk: "MEDIUM",
    });
  if (OUT_OF_SIGHT.test(text))
    found.push({ kind: "hidden_instructions", why: "text far behind blank space, where nobody looks", risk: "MEDIUM" });
  found.push(...encodedIn(text));
  const max = where() === "description" ? DESCRIPTION_MAX_CHARS : OTHER_MAX_CHARS;
  if (whole.length > TEXT_MAX_CHARS) found.push(TOO_LONG);
  else if (text.length > max)
    found.push({ kind: "overlong", why: `${text.length} characters; people read no more than ${max}`, risk: "MEDIUM" });
  return found;
}

function inName(name: string): Found[] {
  const words = name.replace(/(?<=[a-z0-9])(?=[A-Z])/g, " ").replace(/[-_.]/g, " ");
  const found: Found[] = invisibleIn(name).map(({ why, risk }) => ({ kind: "invisible_characters", why, risk }));
  found.push(...inWords(spaced(folded(words)), [...RULES, ...NAME_RULES]));
  const word = mixedWordIn(words);
  if (word !== undefined)
    found.push({
      kind: "confusable_characters",
      why: `letters of several scripts in "${excerpt(word)}"`,
      risk: "HIGH",
    });
  return found;
}

function inWords(words: string, rules: readonly Rule[]): Found[] {
  return rules.flatMap(({ kind, pattern, why, risk }) => {
    const match = pattern.exec(words);
    return match === null ? [] : [{ kind, why: `it ${why}: "${excerpt(match[0])}"`, risk }];
  });
}

/** A text that hides words behind an encoding is worse when they are an instruction. */
function encodedIn(text: string): Found[] {
  return ENCODED.flatMap(({ pattern, what }): Found[] => {
    const run = text.match(pattern)?.find(isMixed);
    if (run === undefined) return [];
    const decoded = what === "base64" ? Buffer.from(run, "base64").toString() : "";
    const readable = /^[\x20-\x7e\s]{20,}$/.test(decoded);
    const why = readable
      ? `${what} that reads "${excerpt(decoded)}"`
      : `${what} of ${run.length} characters: "${excerpt(run)}"`;
    return [{ kind: "encoded_text", why, risk: readable ? "HIGH" : "MEDIUM" }];
  });
}

/** Words and lines of dashes are none. */
function isMixed(run: string): boolean {
  return /\d/.test(run) && /[a-fA-F]/.test(run) && new Set(run).size >= 8;
}

/** Marks of emphasis do not part what they emphasise. */
function spaced(text: string): string {
  return text.replace(/[*`]+/g, "").replace(/[’‘ʼ]/g, "'").replace(/\s+/g, " ").trim();
}

function excerpt(text: string): string {
  const shown = writtenOut(text.slice(0, EXCERPT_MAX_CHARS));
  return text.length > EXCERPT_MAX_CHARS ? `${shown}…` : shown;
}
