/** Raw JSON-RPC on standard input and output, for the test server: nothing is checked, so that it can misbehave. */
export interface Message {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: Params;
  readonly result?: any;
  readonly error?: unknown;
}

export interface Params {
  readonly [name: string]: any;
  readonly arguments?: Record<string, any>;
  readonly _meta?: Record<string, any>;
}

export const modern = process.env["FIXTURE_ERA"] === "modern";

export function send(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
}

export function reply(id: Message["id"], result: object): void {
  send({ id, result: modern ? { resultType: "complete", ...result } : result });
}

export function fail(id: Message["id"], code: number, message: string, data?: unknown): void {
  send({ id, error: { code, message, data } });
}

export function text(id: Message["id"], value: string, more: object = {}): void {
  reply(id, { content: [{ type: "text", text: value }], ...more });
}

export const pause = (ms: unknown) => new Promise((resolve) => setTimeout(resolve, Number(ms ?? 0)));

const questions = new Map<unknown, (answer: Message) => void>();
let asked = 0;

/** Asks the client; resolves with its whole response. Ids are numbers that begin anew with each process. */
export function ask(method: string, params?: object): { readonly id: number; readonly answer: Promise<Message> } {
  const id = asked++;
  const answer = new Promise<Message>((resolve) => questions.set(id, resolve));
  send({ id, method, params });
  return { id, answer };
}

export function takeAnswer(message: Message): void {
  questions.get(message.id)?.(message);
  questions.delete(message.id);
}
