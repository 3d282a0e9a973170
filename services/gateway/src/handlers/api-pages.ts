import { AppError } from "@tollgate/errors";
import { z } from "zod";

const PAGE_MAX = 1_000;
const PAGE_DEFAULT = 100;
const CURSOR_MAX_CHARS = 8_192;
const SORT_FIELDS_MAX = 4;
const SORT_MAX_CHARS = 256;
/** Of a text, for its place in an order: a cursor holds it. */
const ORDERED_MAX_CHARS = 200;
const WORDS_MAX_CHARS = 200;

const page = {
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
  cursor: z.string().max(CURSOR_MAX_CHARS).default("").meta({ description: "nextCursor of the page before" }),
};

/** One field of an order. */
interface SortField<Field extends string> {
  readonly field: Field;
  readonly descending: boolean;
}

/**
 * What the query of a list takes that is at hand as a whole: see pageOf.
 * @param fields of its items, by which they can be sorted
 * @param usual how they are sorted where it is not said, such as "tenant,-version"
 */
export function pageQuery<const Field extends string>(fields: readonly Field[], usual: NoInfer<Field> | (string & {})) {
  const one = `-?(${fields.join("|")})`;
  const sort = z
    .string()
    .max(SORT_MAX_CHARS)
    .regex(new RegExp(`^${one}(,${one}){0,${SORT_FIELDS_MAX - 1}}$`), {
      error: `has to be up to ${SORT_FIELDS_MAX} of ${fields.join(", ")}, separated by commas; with - before it a field is sorted the other way round`,
    })
    .default(usual)
    .meta({ description: "By which fields; with - before it the other way round. What has none comes last" })
    .transform((text) => text.split(",").map((each) => toSortField<Field>(each)));
  const q = z
    .string()
    .max(WORDS_MAX_CHARS)
    .default("")
    .meta({ description: "Words, all of which are to be somewhere in an item's texts" });
  return { ...page, sort, q };
}

function toSortField<Field extends string>(text: string): SortField<Field> {
  const descending = text.startsWith("-");
  return { field: (descending ? text.slice(1) : text) as Field, descending };
}

type Cell = string | number | boolean | null;

/** An item's place in an order: its values of the fields, and its key where those are the same. */
type Place = readonly Cell[];

/**
 * One page of a list that is at hand as a whole: of what holds the words, in the order that was asked for. A cursor is
 * the place of a page's last item: the next page begins behind it, whatever was added or removed meanwhile.
 * @throws {AppError} invalid_argument: a cursor of another list or order
 */
export function pageOf<T extends object, Field extends Extract<keyof T, string>>(
  items: readonly T[],
  options: {
    limit: number;
    cursor: string;
    sort: readonly SortField<Field>[];
    q: string;
    keyOf: (item: T) => string;
  },
): { items: T[]; nextCursor: string | null } {
  const { limit, cursor, sort, keyOf } = options;
  const words = wordsOf(options.q);
  const directions = [...sort.map(({ descending }) => (descending ? -1 : 1)), 1];
  const compare = (a: Place, b: Place): number => {
    const at = directions.findIndex((_, each) => a[each] !== b[each]);
    return at < 0 ? 0 : compareCells(a[at]!, b[at]!, directions[at]!);
  };
  const last = cursor === "" ? undefined : placeIn(cursor, sort);
  const found = items
    .filter((item) => words.length === 0 || hasWords(item, words))
    .map((item) => ({ item, place: [...sort.map(({ field }) => toCell(item[field])), keyOf(item)] }))
    .filter(({ place }) => last === undefined || compare(place, last) > 0)
    .toSorted((a, b) => compare(a.place, b.place));
  const shown = found.slice(0, limit);
  const nextCursor = found.length > limit ? toCursor(shown.at(-1)!.place, sort) : null;
  return { items: shown.map(({ item }) => item), nextCursor };
}

/** By code units: the same in every process and language. */
function compareCells(a: Cell, b: Cell, direction: number): number {
  if (a === null || b === null) return a === null ? 1 : -1;
  return a < b ? -direction : direction;
}

function toCell(value: unknown): Cell {
  if (typeof value === "string") return value === "" ? null : value.slice(0, ORDERED_MAX_CHARS);
  return typeof value === "number" || typeof value === "boolean" ? value : null;
}

function toCursor(place: Place, sort: readonly SortField<string>[]): string {
  return Buffer.from(JSON.stringify([sortText(sort), ...place])).toString("base64url");
}

function placeIn(cursor: string, sort: readonly SortField<string>[]): Place {
  const [of, ...place] = parseCursor(cursor);
  if (of !== sortText(sort)) throw new AppError("invalid_argument", "cursor: is of a list that is sorted otherwise");
  const isPlace = place.length === sort.length + 1 && typeof place.at(-1) === "string";
  if (!isPlace || place.slice(0, -1).some((each) => each !== toCell(each))) throw notACursor();
  return place as Cell[];
}

function parseCursor(cursor: string): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (Array.isArray(parsed)) return parsed;
  } catch {
    // Neither is one.
  }
  throw notACursor();
}

function notACursor(): AppError {
  return new AppError("invalid_argument", "cursor: is not one of this list");
}

function sortText(sort: readonly SortField<string>[]): string {
  return sort.map(({ field, descending }) => (descending ? `-${field}` : field)).join(",");
}

function wordsOf(q: string): string[] {
  return q
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
}

function hasWords(item: object, words: readonly string[]): boolean {
  const texts = textsOf(item).join("\n").toLowerCase();
  return words.every((word) => texts.includes(word));
}

function textsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsOf) : [];
}
