import type { Risk } from "@tollgate/contracts";
import { writtenOut } from "./definition-texts.ts";

/** Characters that people do not see and models read, or that show people another text than is there. */
export interface Invisible {
  readonly why: string;
  readonly risk: Risk;
}

const SHOWN_MAX = 8;
const DECODED_MAX_CHARS = 120;

/** Flags such as Scotland's end with letters of this block; nothing else has a use for them. */
const FLAG = /\u{1f3f4}[\u{e0020}-\u{e007e}]{1,8}\u{e007f}/gu;
/** They join pictures, and letters of scripts that need it. */
const JOINED =
  /(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Variation_Selector}])\u200d(?=\p{Extended_Pictographic})/gu;
const JOINED_LETTERS =
  /(?<=[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Gujarati}\p{Script=Gurmukhi}\p{Script=Khmer}\p{Script=Mongolian}\p{M}])[\u200c\u200d]/gu;
/** Of an emoji, a digit or an ideograph how it is drawn. */
const DRAWN = /(?<=[\p{Emoji}\p{Script=Han}\p{S}])[\p{Variation_Selector}](?![\p{Variation_Selector}])/gu;
const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}]/u;

const TAGS = /[\u{e0000}-\u{e007f}]/gu;
const KINDS: readonly { readonly pattern: RegExp; readonly why: string; readonly risk: Risk }[] = [
  {
    pattern: /[\p{Variation_Selector}]{2,}/gu,
    why: "variation selectors in a row, which can carry any text unseen",
    risk: "CRITICAL",
  },
  {
    pattern: /[\u202a-\u202e\u2066-\u2069]/gu,
    why: "characters that turn the direction of text around, so that people read another one than models",
    risk: "HIGH",
  },
  {
    pattern: /[\p{Cc}--[\t\n\r]]/gv,
    why: "control characters, with which terminals show another text than is there",
    risk: "HIGH",
  },
  {
    pattern:
      /[\u034f\u200b-\u200d\u2060-\u2064\u206a-\u206f\ufeff\u180e\u00ad\u115f\u1160\u2800\u3164\uffa0\ufff9-\ufffb]/gu,
    why: "characters without width, which hide what is written or break up words that are looked for",
    risk: "HIGH",
  },
  {
    pattern: /[\ue000-\uf8ff\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}]/gu,
    why: "characters of private use, which mean what somebody has agreed on",
    risk: "MEDIUM",
  },
];

/** Quick: of almost all texts nothing more is looked at. */
const SUSPICIOUS = /[[\p{C}\p{Variation_Selector}\u034f\u115f\u1160\u2800\u3164\uffa0]--[\t\n\r]]/v;

export function invisibleIn(text: string): Invisible[] {
  if (!SUSPICIOUS.test(text)) return [];
  let rest = text.replace(FLAG, "").replace(JOINED, "").replace(JOINED_LETTERS, "").replace(DRAWN, "");
  if (RIGHT_TO_LEFT.test(text)) rest = rest.replace(/[\u200e\u200f\u061c]/gu, "");
  const found: Invisible[] = [];
  const tags = rest.match(TAGS);
  if (tags) {
    const decoded = tags.map((tag) => String.fromCodePoint(tag.codePointAt(0)! - 0xe0000)).join("");
    const shown = writtenOut(decoded.slice(0, DECODED_MAX_CHARS));
    found.push({ why: `${tags.length} tag characters, a text that nobody sees: "${shown}"`, risk: "CRITICAL" });
  }
  for (const { pattern, why, risk } of KINDS) {
    const characters = rest.match(pattern)?.flatMap((run) => Array.from(run));
    if (characters) found.push({ why: `${why}: ${listed(characters)}`, risk });
  }
  const marks = rest.match(/[\u200e\u200f\u061c]/gu);
  if (marks) found.push({ why: `marks of a direction in a text that has only one: ${listed(marks)}`, risk: "MEDIUM" });
  return found;
}

function listed(characters: readonly string[]): string {
  const shown = characters.slice(0, SHOWN_MAX).map(writtenOut).join(" ");
  return characters.length > SHOWN_MAX ? `${shown} and ${characters.length - SHOWN_MAX} more` : shown;
}
