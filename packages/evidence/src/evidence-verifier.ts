import { chainName, genesisHash, type Chain } from "./chain.ts";
import { type ChainVerifier, createChainVerifier, type Finding } from "./chain-verifier.ts";
import { CHECKPOINT_FORM, CUT_FORM } from "./checkpoint.ts";
import {
  type ChainRange,
  type EvidenceHeader,
  type EvidenceLine,
  HEADER_FORM,
  leavesOf,
  parseEvidenceLine,
} from "./evidence-file.ts";
import { type KeyLine, openKeyLine } from "./key-line.ts";

export interface EvidenceReport {
  readonly header: EvidenceHeader;
  readonly keys: KeyLine;
  readonly chains: number;
  readonly checkpoints: number;
  readonly events: number;
  readonly findings: number;
}

/** A chain of the file, as far as it was read. */
interface Section {
  readonly range: ChainRange;
  readonly verifier: ChainVerifier;
  /** Its end was there; it is finished when another begins, since something of it may still follow. */
  state: "reading" | "ended" | "finished";
}

type Of<T extends EvidenceLine["type"]> = Extract<EvidenceLine, { type: T }>;

/**
 * Proves an evidence file from itself alone, line by line; it keeps two segments of each chain that it has not seen the
 * end of.
 * @param pin a public key (PEM) or its id: nothing that it does not vouch for is trusted
 */
export async function verifyEvidence(options: {
  lines: AsyncIterable<string>;
  pin?: string;
  report: (finding: Finding) => void;
}): Promise<EvidenceReport> {
  let findings = 0;
  const report = (finding: Finding): void => {
    findings++;
    options.report(finding);
  };
  let reader: FileReader | undefined;
  let at = 0;
  for await (const text of options.lines) {
    at++;
    const parsed = parseEvidenceLine(text);
    if (!parsed.ok) report(ofFile("changed", `line ${at} is ${parsed.reason}`));
    else if (reader !== undefined) reader.read(parsed.value, at);
    else if (parsed.value.type === "evidence") reader = openReader(parsed.value, options.pin, report);
    // Without the first line nothing says what there has to be, nor who has signed it.
    else break;
  }
  if (reader === undefined) {
    report(ofFile("removed", "the first line, which says what there is and who has signed it, is missing or changed"));
    return { header: NO_HEADER, keys: NO_KEYS, chains: 0, checkpoints: 0, events: 0, findings };
  }
  const counts = reader.end(() => findings > 0);
  return { header: reader.header, keys: reader.keys, ...counts, findings };
}

interface FileReader {
  readonly header: EvidenceHeader;
  readonly keys: KeyLine;
  read(line: EvidenceLine, at: number): void;
  end(isBroken: () => boolean): { chains: number; checkpoints: number; events: number };
}

function openReader(first: Of<"evidence">, pin: string | undefined, report: (finding: Finding) => void): FileReader {
  const { header } = first;
  const keys = trustedKeys(first, pin, report);
  const ranges = new Map(header.chains.map((range) => [chainName(range), range]));
  const sections = new Map<string, Section>();
  const count = { chains: 0, checkpoints: 0, events: 0 };
  let current: Section | undefined;
  let total: Of<"total"> | undefined;
  let isBehindEnd = false;

  function begin(range: ChainRange, checkpoint: Of<"chain">["checkpoint"]): Section {
    const start = { number: range.from, hash: Buffer.from(range.fromHash, "hex"), ...(checkpoint && { checkpoint }) };
    const verifier = createChainVerifier({ chain: range, start, keys, report });
    const section: Section = { range, verifier, state: "reading" };
    if (current?.state === "ended") finish(current);
    sections.set(chainName(range), section);
    count.chains++;
    return section;
  }

  function finish(section: Section): void {
    section.state = "finished";
    section.verifier.end({ number: section.range.to, hash: Buffer.from(section.range.toHash, "hex") });
  }

  /** The next chain of which nothing was seen yet: its first line is missing. */
  function beginUnannounced(): Section | undefined {
    const range = header.chains.find((each) => !sections.has(chainName(each)));
    if (range === undefined) return undefined;
    report(ofChain(range, "removed", "the line that begins it is missing"));
    return begin(range, null);
  }

  function readChain(line: Of<"chain">): void {
    const { chain, checkpoint } = line;
    const range = ranges.get(chainName(chain));
    if (range === undefined) return report(ofChain(chain, "inserted", "a chain that the first line does not name"));
    if (sections.has(chainName(range))) return report(ofChain(range, "moved", "a line that begins it once more"));
    const problem = startProblem(line, range, keys) ?? cutProblem(line, header, keys);
    if (problem !== undefined) report(ofChain(range, "changed", problem));
    current = begin(range, problem === undefined ? checkpoint : null);
  }

  function readCheckpoint({ checkpoint, leaves }: Of<"checkpoint">): void {
    const name = chainName(checkpoint);
    const known = ranges.get(name);
    if (known !== undefined && (current === undefined || chainName(current.range) !== name)) {
      const section = sections.get(name);
      if (section === undefined) report(ofChain(known, "removed", "the line that begins it is missing"));
      current = section ?? begin(known, null);
    }
    current ??= beginUnannounced();
    count.checkpoints++;
    if (isOpen(current)) current.verifier.checkpoint(checkpoint, leavesOf(leaves)!);
    else report({ ...ofChain(checkpoint, "inserted", "a checkpoint of no chain here"), number: checkpoint.to });
  }

  function readEvent({ number, line }: Of<"event">): void {
    if (current === undefined) current = beginUnannounced();
    count.events++;
    if (isOpen(current)) current.verifier.event(number, line);
    else report({ ...ofFile("inserted", "an event after the end of all chains"), number });
  }

  function isOpen(section: Section | undefined): section is Section {
    if (section?.state === "ended") {
      report(ofChain(section.range, "moved", "its end does not stand behind all of it"));
      section.state = "reading";
    }
    return section?.state === "reading";
  }

  function readEnd(line: Of<"end">): void {
    const section = sections.get(chainName(line));
    if (section === undefined || section.state !== "reading")
      return report(ofChain(line, "inserted", "an end of what has not begun"));
    if (section !== current) return report(ofChain(line, "moved", "its end does not stand behind it"));
    if (line.number !== section.range.to || line.hash !== section.range.toHash)
      report({
        ...ofChain(line, "changed", "its last line says another end than the first line"),
        number: line.number,
      });
    section.state = "ended";
  }

  function read(line: EvidenceLine, at: number): void {
    if (total !== undefined && !isBehindEnd) {
      isBehindEnd = true;
      report(ofFile("moved", `line ${at}, and what follows, stands behind the last line`));
    }
    switch (line.type) {
      case "evidence":
        return report(ofFile("inserted", `line ${at} begins another file`));
      case "chain":
        return readChain(line);
      case "checkpoint":
        return readCheckpoint(line);
      case "event":
        return readEvent(line);
      case "end":
        return readEnd(line);
      case "total":
        total = line;
    }
  }

  function end(isBroken: () => boolean): typeof count {
    for (const section of sections.values()) {
      if (section.state === "finished") continue;
      if (section.state === "reading") report(ofChain(section.range, "removed", "its end is missing"));
      finish(section);
    }
    for (const range of header.chains)
      if (!sections.has(chainName(range))) report(ofChain(range, "removed", "the whole chain is missing"));
    if (total === undefined) report(ofFile("removed", "the last line is missing"));
    else if (!isBroken() && (Object.keys(count) as (keyof typeof count)[]).some((name) => total![name] !== count[name]))
      report(ofFile("changed", "the last line counts something else than is here"));
    return count;
  }

  return { header, keys, read, end };
}

function trustedKeys(
  { header, keys }: Of<"evidence">,
  pin: string | undefined,
  report: (finding: Finding) => void,
): KeyLine {
  const opened = openKeyLine(keys, pin);
  const line = opened.ok ? opened.value : NO_KEYS;
  for (const problem of line.problems) report(ofFile("signature", problem));
  const problem = line.problemOf(HEADER_FORM, header);
  if (problem !== undefined) report(ofFile("signature", `the first line is ${problem}`));
  return line;
}

/** What is wrong with the line that begins a chain. */
function startProblem({ chain: given, checkpoint }: Of<"chain">, range: ChainRange, keys: KeyLine): string | undefined {
  const names = ["from", "to", "fromHash", "toHash"] as const;
  if (names.some((name) => given[name] !== range[name])) return "its first line says something else than the file's";
  if (range.from === 0) {
    const isRight = checkpoint === null && range.fromHash === genesisHash(range).toString("hex");
    return isRight ? undefined : "it does not begin as a chain of this tenant and kind does";
  }
  if (checkpoint === null) return "the checkpoint that proves its beginning is missing";
  const isThere = chainName(checkpoint) === chainName(range) && checkpoint.to === range.from;
  if (!isThere || checkpoint.hash !== range.fromHash) return "the checkpoint before it does not prove its beginning";
  const problem = keys.problemOf(CHECKPOINT_FORM, checkpoint);
  return problem === undefined ? undefined : `the checkpoint before it is ${problem}`;
}

/** Whoever did not ask for a time is given all from the first event on, or from where a cut says so. */
function cutProblem({ chain, cut }: Of<"chain">, { fromMs }: EvidenceHeader, keys: KeyLine): string | undefined {
  if (cut === null)
    return chain.from > 0 && fromMs === null
      ? "its first events are missing, and no cut says that they were let go of"
      : undefined;
  if (chainName(cut) !== chainName(chain) || cut.number !== chain.from || cut.hash !== chain.fromHash)
    return "the cut before it is another one";
  const problem = keys.problemOf(CUT_FORM, cut);
  return problem === undefined ? undefined : `the cut before it is ${problem}`;
}

function ofFile(what: Finding["what"], detail: string): Finding {
  return { tenant: "", kind: "", number: 0, eventId: "", what, detail };
}

function ofChain({ tenant, kind }: Chain, what: Finding["what"], detail: string): Finding {
  return { tenant, kind, number: 0, eventId: "", what, detail };
}

const NO_KEYS: KeyLine = {
  ids: [],
  problems: [],
  placeOf: () => -1,
  problemOf: () => "signed by nobody who is known here",
};
const NO_HEADER: EvidenceHeader = {
  v: 1,
  tenant: "",
  kind: "",
  fromMs: null,
  toMs: null,
  at: 0,
  chains: [],
  keyId: "",
  signature: "",
};
