import { NAME_PATTERN } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";

const ID_MAX_CHARS = 63;
/** Parts of routes: no group or server may have them as id. */
const ROUTE_WORDS = ["sse", "ws", "messages"];
const DEFAULT_GROUP = "imported";

/** Makes of each name an id that no other name of the import has. */
export function createIds(): (name: string) => string {
  const taken = new Set([...ROUTE_WORDS, "group"]);
  return (name) => {
    const plain =
      cut(
        name
          .toLowerCase()
          .normalize("NFKD")
          .replaceAll(/[^a-z0-9]+/g, "-"),
      ) || "server";
    let id = plain;
    for (let count = 2; taken.has(id); count += 1) id = `${cut(plain.slice(0, ID_MAX_CHARS - 6))}-${count}`;
    taken.add(id);
    return id;
  };
}

function cut(text: string): string {
  return text.slice(0, ID_MAX_CHARS).replaceAll(/^-+|-+$/g, "");
}

/** @throws {AppError} invalid_argument */
export function groupIdOf(given: string | undefined): string {
  const id = given ?? DEFAULT_GROUP;
  if (NAME_PATTERN.test(id) && !ROUTE_WORDS.includes(id)) return id;
  throw new AppError("invalid_argument", "group: has to be 1 to 63 of a-z, 0-9 and inner -, and no word of routes");
}
