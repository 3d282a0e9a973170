/** Readers of what is sent to SIEMs, after the formats' specifications and not after the code that writes them. */

export interface SyslogMessage {
  readonly facility: number;
  readonly severity: number;
  readonly time: string;
  readonly host: string;
  readonly app: string;
  readonly process: string;
  readonly messageId: string;
  /** By the elements' ids. */
  readonly data: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly text: string;
}

const HEADER =
  /^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) ([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) /;

/** RFC 5424. @throws {Error} what is wrong with it */
export function parseSyslog(message: string): SyslogMessage {
  const header = HEADER.exec(message);
  if (header === null) throw new Error(`no RFC 5424 header: ${message.slice(0, 100)}`);
  const [whole, priority, time, host, app, process, messageId] = header as unknown as string[];
  let at = whole!.length;
  const data: Record<string, Record<string, string>> = {};
  if (message[at] === "-") at += 1;
  else {
    while (message[at] === "[") {
      const id = /^\[([^\s="\]]{1,32})/.exec(message.slice(at));
      if (id === null) throw new Error("an element without an id");
      at += id[0].length;
      const parameters: Record<string, string> = (data[id[1]!] = {});
      while (message[at] === " ") {
        const name = /^ ([\x21-\x7e]{1,32}?)="/.exec(message.slice(at));
        if (name === null || /[="\]]/.test(name[1]!)) throw new Error("a parameter without a name");
        at += name[0].length;
        let value = "";
        for (; message[at] !== '"'; at += 1) {
          if (message[at] === undefined || message[at] === "]") throw new Error("a value that does not end");
          if (message[at] === "\\" && /["\\\]]/.test(message[at + 1] ?? "")) at += 1;
          value += message[at];
        }
        at += 1;
        parameters[name[1]!] = value;
      }
      if (message[at] !== "]") throw new Error("an element that does not end");
      at += 1;
    }
  }
  if (message[at] !== " ") throw new Error("no message");
  const number = Number(priority);
  const text = message.slice(at + 1);
  const facility = Math.floor(number / 8);
  return {
    facility,
    severity: number % 8,
    time: time!,
    host: host!,
    app: app!,
    process: process!,
    messageId: messageId!,
    data,
    text,
  };
}

export interface CefEvent {
  /** Version, vendor, product, its version, signature, name, severity. */
  readonly header: readonly string[];
  readonly extension: Readonly<Record<string, string>>;
}

/** ArcSight's "Implementing Common Event Format". @throws {Error} what is wrong with it */
export function parseCef(text: string): CefEvent {
  if (!text.startsWith("CEF:") || text.includes("\n")) throw new Error("no CEF");
  const header: string[] = [];
  let field = "";
  let at = "CEF:".length;
  for (; header.length < 7; at += 1) {
    const character = text[at];
    if (character === undefined) throw new Error("the header ends too early");
    if (character === "|") {
      header.push(field);
      field = "";
    } else if (character === "\\") {
      at += 1;
      if (text[at] !== "\\" && text[at] !== "|") throw new Error("a backslash in the header that escapes nothing");
      field += text[at];
    } else field += character;
  }
  const extension: Record<string, string> = {};
  const rest = text.slice(at);
  // A key stands before an equals sign that is not escaped.
  const keys = [...rest.matchAll(/(?:^| )([A-Za-z0-9_.]+)(?<!\\)=/g)];
  for (const [index, key] of keys.entries()) {
    const value = rest.slice(key.index + key[0].length, keys[index + 1]?.index);
    if (/(?<!\\)(?:\\\\)*=/.test(value)) throw new Error(`an equals sign in ${key[1]} that is not escaped`);
    extension[key[1]!] = value.replace(/\\([\\=nr])/g, (_whole, escaped: string) =>
      escaped === "n" ? "\n" : escaped === "r" ? "\r" : escaped,
    );
  }
  return { header, extension };
}

/** Octet counting (RFC 6587): the messages that are whole, and what is left. @throws {Error} when it is something else */
export function readFrames(bytes: Buffer): { messages: string[]; rest: Buffer } {
  const messages: string[] = [];
  let rest = bytes;
  for (;;) {
    const space = rest.indexOf(" ");
    if (space === -1) {
      if (!/^(?:[1-9]\d{0,8})?$/.test(rest.toString("latin1"))) throw new Error("no octet count");
      return { messages, rest };
    }
    const count = rest.subarray(0, space).toString("latin1");
    if (!/^[1-9]\d{0,8}$/.test(count)) throw new Error(`no octet count: ${count.slice(0, 20)}`);
    const end = space + 1 + Number(count);
    if (rest.length < end) return { messages, rest };
    messages.push(rest.subarray(space + 1, end).toString());
    rest = rest.subarray(end);
  }
}
