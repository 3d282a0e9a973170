import { parseJson } from "@tollgate/mcp";
import MiniSearch from "minisearch";
import type { Catalogue, Item, Server } from "./catalogue.ts";

const TEXT_MAX_CHARS = 4_000;
const ARGUMENTS_MAX = 200;
/** Each is looked for beside others that are like it: a search of more would hold up calls. */
const WORDS_MAX = 8;
/** Too many words begin with less. */
const PREFIX_MIN_CHARS = 3;
/** Shorter words have too many others beside them that are almost the same. */
const FUZZY_MIN_CHARS = 4;
const FUZZY_SHARE = 0.2;
const SLIPS_MAX = 2;
const WEIGHTS = { name: 4, title: 3, server: 2, description: 1, arguments: 1 };

/** One tool of the catalogue, and what is said of it. */
export interface FoundTool {
  readonly item: Item;
  readonly title: string;
  readonly description: string;
  /** How well it fits; 0 where nothing was searched for. */
  readonly score: number;
}

interface Document extends Omit<FoundTool, "score"> {
  readonly id: string;
  readonly name: string;
  readonly server: string;
  readonly arguments: string;
}

/** The words of the catalogue's tools. What is there of servers that have not changed stays. */
export interface ToolIndex {
  /** Drops servers that are gone, and gives those that are to be put in. */
  outdated(catalogue: Catalogue): Server[];
  put(server: Server): void;
  /** Best first, by the text's first 8 words; all of them, in the catalogue's order, without any. */
  find(text: string): FoundTool[];
}

export function createToolIndex(): ToolIndex {
  const index = new MiniSearch<Document>({
    fields: Object.keys(WEIGHTS),
    tokenize: (text) => [...new Set([...wordsOf(text), ...partsOf(text)])],
    searchOptions: {
      tokenize: askedWordsOf,
      boost: WEIGHTS,
      prefix: (term) => term.length >= PREFIX_MIN_CHARS,
      fuzzy: (term) => (term.length < FUZZY_MIN_CHARS ? false : FUZZY_SHARE),
      maxFuzzy: SLIPS_MAX,
    },
  });
  const held = new Map<string, { readonly server: Server; readonly documents: readonly Document[] }>();
  const byId = new Map<string, Document>();
  let order: readonly string[] = [];

  function drop(id: string): void {
    for (const document of held.get(id)?.documents ?? []) {
      index.remove(document);
      byId.delete(document.id);
    }
    held.delete(id);
  }

  return {
    outdated({ servers }) {
      order = [...servers.keys()];
      for (const id of held.keys()) if (!servers.has(id)) drop(id);
      return [...servers.values()].filter((server) => held.get(server.info.id)?.server !== server);
    },
    put(server) {
      drop(server.info.id);
      const documents = documentsOf(server);
      index.addAll(documents);
      for (const document of documents) byId.set(document.id, document);
      held.set(server.info.id, { server, documents });
    },
    find(text) {
      const words = askedWordsOf(text).length;
      if (words === 0) return order.flatMap((id) => (held.get(id)?.documents ?? []).map((each) => toFound(each, 0)));
      // What fits every word; where nothing does, what fits any.
      const any = index.search(text);
      const all = any.filter(({ queryTerms }) => queryTerms.length === words);
      return (all.length > 0 ? all : any).map(({ id, score }) => toFound(byId.get(id as string)!, score));
    },
  };
}

function toFound({ item, title, description }: Document, score: number): FoundTool {
  return { item, title, description, score };
}

function askedWordsOf(text: string): string[] {
  const words = wordsOf(text).map((word) => word.toLowerCase());
  return [...new Set(words)].filter((word) => word !== "").slice(0, WORDS_MAX);
}

/** Names are made of words too: `read_file`, `readFile`. */
function wordsOf(text: string): string[] {
  return partsOf(text.replace(/(\p{Ll}|\d)(\p{Lu})/gu, "$1 $2"));
}

function partsOf(text: string): string[] {
  return text.split(/[\s\p{Z}\p{P}\p{S}]+/u);
}

/** What is withheld is there for those who look after the catalogue. */
function documentsOf({ info: { id: server }, items, withheld }: Server): Document[] {
  return [...new Map([...withheld, ...items.tool]).values()].map((item) => {
    const { name, definition } = item;
    return { ...aboutTool(definition), item, id: `${server}\n${name}`, name, server };
  });
}

function aboutTool(definition: string): { title: string; description: string; arguments: string } {
  const tool = (parseJson(definition) ?? {}) as {
    title?: unknown;
    description?: unknown;
    annotations?: { title?: unknown } | null;
    inputSchema?: { properties?: unknown } | null;
  };
  const properties = tool.inputSchema?.properties;
  const names = typeof properties === "object" && properties !== null ? Object.keys(properties) : [];
  return {
    title: textOf(tool.title) || textOf(tool.annotations?.title),
    description: textOf(tool.description),
    arguments: names.slice(0, ARGUMENTS_MAX).join(" ").slice(0, TEXT_MAX_CHARS),
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.slice(0, TEXT_MAX_CHARS) : "";
}
