import { type Command, InvalidArgumentError, Option } from "commander";
import type { Api } from "./api.ts";
import type { GatewayOptions, Target } from "./connect.ts";
import type { StateDir } from "./state-dir.ts";
import type { Row } from "./table.ts";
import type { Streams, Terminal } from "./terminal.ts";

/** What a command runs in. */
export interface Surroundings {
  /** The project's folder. */
  readonly root: string;
  /** What the user writes is relative to here. */
  readonly here: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The command line, for a program that is started once more. */
  readonly words: readonly string[];
  readonly script: string;
  readonly streams: Streams;
}

/** What every command takes. */
export interface GlobalOptions extends GatewayOptions {
  readonly json?: true;
  readonly state?: string;
}

/** What a command is asked for, and what it may use. Options have commander's names for them. */
export interface Asked<O extends object = object> extends Surroundings {
  readonly args: readonly string[];
  readonly options: O & GlobalOptions;
  readonly state: StateDir;
  readonly terminal: Terminal;
  /** @throws {AppError} where no gateway is known */
  readonly target: () => Promise<Target>;
  readonly api: () => Promise<Api>;
  /** Ends with the exit code of who calls the program wrongly. */
  readonly mistake: (message: string) => never;
}

/** What came of it: the API's answer for programs, a text for people. */
export interface Said {
  readonly answer: unknown;
  readonly text: string;
  /** 0 where it is not said. */
  readonly code?: number;
}

/** Makes what a command does when it is its turn. A number is the exit code of one that has said all by itself. */
export type Act = <O extends object = object>(
  handle: (asked: Asked<O>) => Promise<Said | number>,
) => (...given: unknown[]) => Promise<void>;

/** Adds arguments, options, parts and what it does to a command. */
export type Declare = (command: Command, act: Act) => void;

/** @throws {InvalidArgumentError} */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d{1,9}$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It has to be a number from ${min} to ${max}.`);
  };
}

/** @throws {InvalidArgumentError} */
export function time(text: string): string {
  if (/^\d{1,16}$/.test(text) || (/^\d{4}-/.test(text) && !Number.isNaN(Date.parse(text)))) return text;
  throw new InvalidArgumentError("It has to be a time, such as 2026-11-21T07:00:00Z.");
}

/** For an option that may be given again. */
export function more(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

const LIMIT_MAX = 100_000;

export function limitOption(usual: number): Option {
  return new Option("--limit <n>", "at most so many").argParser(integer(1, LIMIT_MAX)).default(usual);
}

/** That there are more than were asked for is no part of the table. */
export function noteMore(terminal: Terminal, nextCursor: unknown, limit: number): void {
  if (typeof nextCursor === "string") terminal.progress(`There are more: --limit ${Math.min(limit * 10, LIMIT_MAX)}`);
}

/** A sentence for people, with the answer for programs. */
export function said(answer: Row, text: string): Said {
  return { answer, text };
}
