const DISTANCE_MAX = 2;

/** The known word that was probably meant, if one is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const near = known
    .map((candidate) => ({ candidate, distance: distanceBetween(word.toLowerCase(), candidate) }))
    .filter(({ candidate, distance }) => distance <= DISTANCE_MAX && distance < candidate.length / 2)
    .toSorted((one, other) => one.distance - other.distance);
  return near[0]?.candidate;
}

/** Levenshtein's distance; words that differ much in length are not worth the table. */
function distanceBetween(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > DISTANCE_MAX) return Infinity;
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const substituted = previous[column - 1]! + (one[row - 1] === other[column - 1] ? 0 : 1);
      current.push(Math.min(substituted, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[other.length]!;
}
