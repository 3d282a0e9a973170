// There is no compiler for OPA's language here: a module is put together by hand that keeps to the interface of what
// `opa build -t wasm` makes (https://www.openpolicyagent.org/docs/wasm, ABI 1.2), with rules as simple as can be.

/** What the module does with an input: answer with that result, say nothing, or misbehave. */
type Deed = { readonly result: unknown } | "undefined" | "loop" | "trap" | "grow" | "garbage" | "huge";

interface ModuleRules {
  readonly entrypoint?: string;
  /** The first whose text stands somewhere in the input's JSON counts. */
  readonly rules?: readonly (readonly [text: string, deed: Deed])[];
  readonly otherwise: Deed;
}

const I32 = 0x7f;
const STRINGS_AT = 1_024;
const HEAP_AT = 48 * 1024;
const NEXT = 0x0b;
const FIND = 0;

export function opaModule({
  entrypoint = "tollgate/allow",
  rules = [],
  otherwise,
}: ModuleRules): Uint8Array<ArrayBuffer> {
  const strings = createStrings();
  const constant = (value: number) => [0x41, ...signed(value)];
  const text = (json: string) => constant(strings.put(`${json}\0`));
  const answer = (json: string) => [...text(json), 0x0f];

  function perform(deed: Deed): number[] {
    if (deed === "undefined") return answer("[]");
    if (deed === "garbage") return answer("{not json");
    if (deed === "trap") return [0x00];
    // loop { br 0 }
    if (deed === "loop") return [0x03, 0x40, 0x0c, 0, NEXT, 0x00];
    // loop { br_if 0 (memory.grow(16) != -1) }; unreachable
    if (deed === "grow") return [0x03, 0x40, ...constant(16), 0x40, 0, ...constant(-1), 0x47, 0x0d, 0, NEXT, 0x00];
    // memory.fill(HEAP_AT, "[", 1 MiB - HEAP_AT): an answer of brackets only
    if (deed === "huge") {
      return [
        ...constant(HEAP_AT),
        ...constant(0x5b),
        ...constant(1024 * 1024 - HEAP_AT),
        0xfc,
        0x0b,
        0,
        ...constant(HEAP_AT),
        0x0f,
      ];
    }
    return answer(JSON.stringify([{ result: deed.result }]));
  }

  const evaluate = rules.map(([needle, deed]) => {
    const given = [constant(strings.put(needle)), constant(Buffer.byteLength(needle))];
    // if (find(input, needle)) …
    return [[0x20, 3], [0x20, 4], ...given, [0x10, FIND, 0x04, 0x40], perform(deed), [NEXT]].flat();
  });
  const functions = [
    { params: 4, body: findBody(), locals: 2 },
    { name: "opa_eval", params: 7, body: [...evaluate.flat(), ...perform(otherwise)] },
    { name: "builtins", params: 0, body: text("{}") },
    { name: "entrypoints", params: 0, body: text(JSON.stringify({ [entrypoint]: 0 })) },
    { name: "opa_json_dump", params: 1, body: [0x20, 0] },
    { name: "opa_json_parse", params: 2, body: [0x20, 0] },
    { name: "opa_malloc", params: 1, body: constant(HEAP_AT) },
    { name: "opa_heap_ptr_get", params: 0, body: constant(HEAP_AT) },
  ];
  const named = functions.flatMap(({ name }, index) => (name === undefined ? [] : [[...bytesOf(name), 0, index]]));
  const versions = ["opa_wasm_abi_version", "opa_wasm_abi_minor_version"].map((name, at) => [...bytesOf(name), 3, at]);
  const types = functions.map(({ params }) => [0x60, params, ...Array.from({ length: params }, () => I32), 1, I32]);
  const bodies = functions.map(({ body, locals = 0 }) => sized([...(locals ? [1, locals, I32] : [0]), ...body, NEXT]));
  const sections = [
    section(1, types),
    section(2, [[...bytesOf("env"), ...bytesOf("memory"), 2, 0, 2]]),
    section(
      3,
      [...functions.keys()].map((index) => [index]),
    ),
    section(
      6,
      [constant(1), constant(2)].map((version) => [I32, 0, ...version, NEXT]),
    ),
    section(7, [...named, ...versions]),
    section(10, bodies),
    section(11, [[0, ...constant(STRINGS_AT), NEXT, ...sized([...strings.all()])]]),
  ];
  return Uint8Array.from([[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], ...sections].flat());
}

/** (at, length, needle, needleLength) → 1 where the needle stands in it, else 0. */
function findBody(): number[] {
  const [at, length, needle, needleLength, i, j] = [
    [0x20, 0],
    [0x20, 1],
    [0x20, 2],
    [0x20, 3],
    [0x20, 4],
    [0x20, 5],
  ];
  const [add, equal, greater, load] = [[0x6a], [0x46], [0x4b], [0x2d, 0, 0]];
  const [zero, one, loop, then, end, back] = [[0x41, 0], [0x41, 1], [0x03, 0x40], [0x04, 0x40], [NEXT], [0x0f]];
  const parts = [
    // for (;;) { if (i + needleLength > length) return 0;
    [loop, i, needleLength, add, length, greater, then, zero, back, end],
    // j = 0; for (;;) { if (j === needleLength) return 1;
    [zero, [0x21, 5], loop, j, needleLength, equal, then, one, back, end],
    // if (at[i + j] === needle[j]) { j += 1; continue; } break; }
    [at, i, add, j, add, load, needle, j, add, load, equal, then, j, one, add, [0x21, 5, 0x0c, 1], end, end],
    // i += 1; }
    [i, one, add, [0x21, 4, 0x0c, 0], end, [0x00]],
  ];
  return parts.flat(2);
}

function createStrings() {
  let bytes = Buffer.alloc(0);
  return {
    /** Where it stands in the memory. */
    put(text: string): number {
      const at = STRINGS_AT + bytes.length;
      bytes = Buffer.concat([bytes, Buffer.from(text)]);
      return at;
    },
    all: () => bytes,
  };
}

const section = (id: number, entries: readonly (readonly number[])[]): number[] => [id, ...sized(list(entries))];
const list = (entries: readonly (readonly number[])[]): number[] => [...unsigned(entries.length), ...entries.flat()];
const sized = (bytes: readonly number[]): number[] => [...unsigned(bytes.length), ...bytes];
const bytesOf = (text: string): number[] => sized([...Buffer.from(text)]);

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  const isLast = value >= -0x40 && value < 0x40;
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}
