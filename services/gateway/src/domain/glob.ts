/**
 * Whether the text is what the pattern says, in which `*` stands for any characters, or none. At most their lengths
 * multiplied in steps, whatever both say.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  let [at, from] = [0, 0];
  /** Behind the last star, and where what it stands for ends. */
  let star: { readonly at: number; from: number } | undefined;
  while (from < text.length) {
    if (pattern[at] === "*") {
      at += 1;
      star = { at, from };
    } else if (pattern[at] === text[from]) {
      at += 1;
      from += 1;
    } else if (star !== undefined) {
      star.from += 1;
      [at, from] = [star.at, star.from];
    } else return false;
  }
  while (pattern[at] === "*") at += 1;
  return at === pattern.length;
}
