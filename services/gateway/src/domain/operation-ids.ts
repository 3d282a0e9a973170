const VERBS: Readonly<Record<string, string>> = { put: "put", patch: "update", delete: "delete" };

/**
 * The name of an operation of the management API, as its method and path say: `listServers`, `getServer`,
 * `restartServer`. Clients are generated from these names: what a path is called is what its operation is called.
 * @param path as OpenAPI has it, `/api/v1/servers/{id}/restart`
 * @param isList whether its answer is a page of items
 */
export function operationIdOf(method: string, path: string, isList: boolean): string {
  const segments = path.split("/").slice(path.startsWith("/api/v1/") ? 3 : 1);
  const names = segments.flatMap((segment, at) => {
    if (segment.startsWith("{")) return [];
    return [{ segment, isOne: segments[at + 1]?.startsWith("{") === true }];
  });
  const noun = (named: typeof names) =>
    named.map(({ segment, isOne }) => pascal(isOne ? singular(segment) : segment)).join("");
  if (method === "get") return (isList ? "list" : "get") + noun(names);
  const verb = VERBS[method];
  if (verb !== undefined) return verb + noun(names);
  const last = names.at(-1)!;
  const before = noun(names.slice(0, -1));
  return singular(last.segment) === last.segment
    ? camel(last.segment) + before
    : `create${before}${pascal(singular(last.segment))}`;
}

function singular(word: string): string {
  return word.replace(/ies$/, "y").replace(/(?<!s)s$/, "");
}

function pascal(words: string): string {
  return words.replace(/(^|-)(\w)/g, (_, _dash, letter: string) => letter.toUpperCase());
}

function camel(words: string): string {
  return words.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
