/** Letters of other scripts that look like Latin ones: what Unicode's confusables.txt has of Cyrillic, Greek and Armenian. */
const LOOK_ALIKES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    a: "аαɑ",
    b: "ьƅ",
    c: "сϲᴄ",
    d: "ԁɗ",
    e: "еҽε",
    g: "ɡց",
    h: "һհ",
    i: "іιıɩ",
    j: "јϳ",
    k: "кκ",
    l: "ӏⅼ",
    m: "м",
    n: "пո",
    o: "оοօσ",
    p: "рρ",
    q: "ԛգ",
    r: "гᴦ",
    s: "ѕꜱ",
    t: "тτ",
    u: "υսʋ",
    v: "νѵ",
    w: "ԝѡա",
    x: "хχ",
    y: "уγү",
    z: "ᴢ",
  }).flatMap(([latin, others]) => Array.from(others).map((other): [string, string] => [other, latin])),
);

const NOT_ASCII = /[^\u0000-\u007f]/; // oxlint-disable-line no-control-regex -- a range, not a character
const UNSEEN = /[\p{Cf}\p{Cc}\p{Mn}\u115f\u1160\u2800\u3164\uffa0]/gu;

/** As it reads: compatibility forms, look-alikes and case folded (UAX 15, UTS 39), what is not seen left out. */
export function folded(text: string): string {
  const lower = text.toLowerCase().replace(/[\t\n\v\f\r]/g, " ");
  if (!NOT_ASCII.test(lower)) return lower;
  const plain = lower.normalize("NFKD").replace(UNSEEN, "");
  return Array.from(plain, (character) => LOOK_ALIKES.get(character) ?? character).join("");
}

/** The same for two names that people take for each other at a glance. */
export function skeletonOf(name: string): string {
  return folded(name)
    .replace(/[-_.\s]/g, "")
    .replaceAll("rn", "m")
    .replaceAll("vv", "w")
    .replace(/[1i|]/g, "l")
    .replaceAll("0", "o");
}

/** A word of Latin letters and look-alikes of theirs. */
export function mixedWordIn(text: string): string | undefined {
  if (!NOT_ASCII.test(text)) return undefined;
  const words = text.match(/[\p{L}\p{M}]{3,}/gu) ?? [];
  return words.find(
    (word) => /[a-z]/i.test(word) && Array.from(word.toLowerCase()).some((each) => LOOK_ALIKES.has(each)),
  );
}
