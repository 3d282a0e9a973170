import { resolve } from "node:path";
import { runProgram } from "../src/program.ts";

export interface Came {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Options {
  readonly env?: Readonly<Record<string, string>>;
  /** What whoever is asked answers; undefined: nobody can be asked. */
  readonly answer?: string;
  readonly here?: string;
  readonly width?: number;
}

/** Runs a command line in this process: all of it but the process itself, which test/launcher.ts starts. */
export async function run(words: readonly string[], options: Options = {}): Promise<Came> {
  const { env = {}, answer, here = process.cwd(), width = Infinity } = options;
  let [out, err] = ["", ""];
  const code = await runProgram({
    root: resolve(import.meta.dirname, "../../.."),
    here,
    env,
    words,
    script: resolve(import.meta.dirname, "../src/main.ts"),
    streams: {
      out: (text) => void (out += text),
      err: (text) => void (err += text),
      width,
      ask: () => Promise.resolve(answer),
    },
  });
  return { code, out, err };
}
