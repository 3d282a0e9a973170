import type { toolsV1 } from "@tollgate/contracts";
import { folded, skeletonOf } from "./confusables.ts";
import { textsOf } from "./definition-texts.ts";

/** Shorter names are one letter apart from each other by chance. */
const TYPO_MIN_CHARS = 8;
const MENTIONS_MAX = 3;
/** A longer text is told as such. */
const TEXT_MAX_CHARS = 32_768;
const SENTENCE_CHARS = 160;
const EXCERPT_MAX_CHARS = 120;

/** A name as tools have them, and no word of English: of several words, or with the prefix of a server. */
const NAME = /(?<![\w./@-])[a-z][a-z0-9]*(?:(?:_{1,2}|-)[a-z0-9]+)+(?![\w/@-]|\.\w)/gi;
/** What a text may not say of other people's tools. */
const INSTRUCTS =
  /\b(?:always|never|must|instead|before|after|whenever|do not|don't|should|only|first|every time|each time|deprecated|unsafe|broken|replaces?)\b/;

/** A name that a text gives an instruction about. */
interface Mention {
  readonly name: string;
  readonly where: string;
  readonly excerpt: string;
}

/** What has to be known of a tool to see it among those of other servers. */
export interface NamedTool {
  readonly server: string;
  readonly name: string;
  /** Unix milliseconds: of two that are alike the later one is told about. */
  readonly firstSeenMs: number;
  readonly mentions: readonly Mention[];
}

/** The names of tools that a definition instructs about, its own left out. */
export function mentionsIn(definition: Readonly<Record<string, unknown>>): Mention[] {
  const mentions: Mention[] = [];
  for (const { text, isName, where } of textsOf(definition)) {
    if (isName) continue;
    for (const { 0: name, index } of text.slice(0, TEXT_MAX_CHARS).matchAll(NAME)) {
      if (name === definition["name"]) continue;
      const sentence = text.slice(Math.max(0, index - SENTENCE_CHARS), index + name.length + SENTENCE_CHARS);
      if (!INSTRUCTS.test(folded(sentence))) continue;
      mentions.push({ name, where: where(), excerpt: sentence.slice(0, EXCERPT_MAX_CHARS) });
      if (mentions.length >= MENTIONS_MAX) return mentions;
    }
  }
  return mentions;
}

/**
 * Tools that mislead about those of other servers, by `server` and `name`. The same name is told and asks for nothing:
 * where several servers are behind a route, names say whose they are.
 */
export function shadowingAmong(tools: readonly NamedTool[]): Map<NamedTool, toolsV1.Finding[]> {
  const found = new Map<NamedTool, toolsV1.Finding[]>();
  const add = (tool: NamedTool, finding: Omit<toolsV1.Finding, "kind">): void => {
    found.set(tool, [...(found.get(tool) ?? []), { kind: "tool_shadowing", ...finding }]);
  };
  const byName = Map.groupBy(tools, ({ name }) => name);
  const owned = new Set(tools.map(({ server, name }) => `${server}\n${name}`));
  for (const [name, alike] of byName) findSame(name, alike, add);
  findLookAlikes(byName, add);
  findTypos(byName, add);
  for (const tool of tools) findMentioned(tool, { byName, owned, add });
  return found;
}

type Add = (tool: NamedTool, finding: Omit<toolsV1.Finding, "kind">) => void;
type ByName = ReadonlyMap<string, readonly NamedTool[]>;

function findSame(name: string, alike: readonly NamedTool[], add: Add): void {
  if (alike.length === 1) return;
  const first = earliest(alike);
  for (const tool of alike) {
    if (tool.server === first.server) continue;
    add(tool, { where: "name", why: `server ${first.server} had a tool called ${name} before`, risk: "LOW" });
  }
}

function findLookAlikes(byName: ByName, add: Add): void {
  for (const names of Map.groupBy(byName.keys(), skeletonOf).values()) {
    if (names.length > 1) tellApart(names, byName, { add, how: "reads like", risk: "HIGH" });
  }
}

/** Names that become the same when one character is left out, or two neighbours are swapped. */
function findTypos(byName: ByName, add: Add): void {
  const byShortened = new Map<string, string[]>();
  for (const name of byName.keys()) {
    const plain = name.toLowerCase();
    if (plain.length < TYPO_MIN_CHARS) continue;
    const shortenedNames = new Set([plain]);
    for (let at = 0; at < plain.length; at++)
      if (!isNoLetter(plain[at]!)) shortenedNames.add(plain.slice(0, at) + plain.slice(at + 1));
    for (const shortened of shortenedNames) {
      const names = byShortened.get(shortened);
      if (names === undefined) byShortened.set(shortened, [name]);
      else names.push(name);
    }
  }
  const told = new Set<string>();
  for (const names of byShortened.values()) {
    for (const [at, one] of names.entries()) {
      for (const other of names.slice(at + 1)) {
        const key = `${one}\n${other}`;
        if (told.has(key) || !isTypo(one.toLowerCase(), other.toLowerCase())) continue;
        told.add(key);
        tellApart([one, other], byName, { add, how: "is one letter from", risk: "MEDIUM" });
      }
    }
  }
}

/** `get` and `set`, plurals and numbers are no mistakes of spelling: nor is what differs in a word's first letter. */
function isTypo(one: string, other: string): boolean {
  if (one === other) return false;
  let from = 0;
  while (from < Math.min(one.length, other.length) && one[from] === other[from]) from += 1;
  let back = 0;
  while (back < Math.min(one.length, other.length) - from && one.at(-1 - back) === other.at(-1 - back)) back += 1;
  const [mine, theirs] = [one.slice(from, one.length - back), other.slice(from, other.length - back)];
  if (mine.length > 2 || theirs.length > 2) return false;
  const isSwapped = mine.length === 2 && theirs.length === 2 && mine[0] === theirs[1] && mine[1] === theirs[0];
  if (Array.from(mine + theirs).some(isNoLetter)) return false;
  // Names that read alike are told of as such. Dearest, and so last: most pairs are none of these.
  if (isSwapped) return skeletonOf(one) !== skeletonOf(other);
  if (mine.length > 1 || theirs.length > 1 || from === 0 || /[-_.]/.test(one[from - 1]!)) return false;
  const isPlural =
    (mine + theirs === "s" || mine + theirs === "es") && /^(?:$|[-_.])/.test(one.slice(one.length - back));
  return !isPlural && skeletonOf(one) !== skeletonOf(other);
}

/** What names are numbered and put together with; names that differ in it do so on purpose. */
function isNoLetter(character: string): boolean {
  return /[\d_.-]/.test(character);
}

/** Of tools of different servers all but the first there was are told about. */
function tellApart(names: readonly string[], byName: ByName, options: { add: Add; how: string; risk: string }): void {
  const { add, how, risk } = options;
  const alike = names.flatMap((name) => byName.get(name)!);
  const first = earliest(alike);
  for (const tool of alike) {
    if (tool.server === first.server || tool.name === first.name) continue;
    const why = `it ${how} ${first.name} of server ${first.server}, which was there before`;
    add(tool, { where: "name", why, risk });
  }
}

function findMentioned(tool: NamedTool, among: { byName: ByName; owned: ReadonlySet<string>; add: Add }): void {
  const { byName, owned, add } = among;
  for (const { name, where, excerpt } of tool.mentions) {
    const prefixed = name.indexOf("__");
    const own = prefixed > 0 ? name.slice(prefixed + 2) : name;
    if (owned.has(`${tool.server}\n${name}`) || owned.has(`${tool.server}\n${own}`)) continue;
    const others = byName.get(name) ?? byName.get(own);
    if (others === undefined) continue;
    const why = `it instructs about ${others[0]!.name} of server ${others[0]!.server}: "${excerpt}"`;
    add(tool, { where, why, risk: "HIGH" });
  }
}

function earliest(tools: readonly NamedTool[]): NamedTool {
  return tools.reduce((first, each) =>
    each.firstSeenMs < first.firstSeenMs || (each.firstSeenMs === first.firstSeenMs && each.server < first.server)
      ? each
      : first,
  );
}
