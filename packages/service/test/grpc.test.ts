import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { AppError, ERROR_CODES, fromGrpc, grpcStatus } from "@tollgate/errors";
import { eventually, testLog } from "@tollgate/testkit";
import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import { callUnary, followStream, serviceMetadata } from "../src/grpc-client.ts";
import { openGrpcClient, unary } from "../src/grpc-server.ts";
import { openLife } from "../src/life.ts";
import { EchoClient, SERVICE_KEY, startEcho } from "./echo-service.ts";

type Callback = (error: ServiceError | null, answer: string) => void;

/** The generic client has no types of its own. */
interface Echo {
  echo(request: string, metadata: Metadata, options: object, callback: Callback): ClientUnaryCall;
  watch(request: string, metadata: Metadata): ClientReadableStream<string>;
  collect(metadata: Metadata, callback: Callback): ClientWritableStream<string>;
  chat(metadata: Metadata): ClientDuplexStream<string, string>;
  close(): void;
}

let life = openLife(testLog);
afterEach(() => life.close());

function connect(port: number): Echo {
  life = openLife(testLog);
  return openGrpcClient(EchoClient, { address: `127.0.0.1:${port}`, name: "echo", life }) as unknown as Echo;
}

const metadata = serviceMetadata(SERVICE_KEY);

function call(client: Echo, request: string, given = metadata, timeoutMs = 5_000): Promise<string> {
  return callUnary<string, string>(client.echo.bind(client), request, {
    metadata: given,
    timeoutMs,
    service: "echo",
  });
}

/** A server's `end` takes metadata, not a last message. */
function endWith(
  stream: ServerWritableStream<string, string> | ServerDuplexStream<string, string>,
  last: string,
): void {
  stream.write(last);
  stream.end();
}

describe("the service key", () => {
  const handled: string[] = [];
  const implementation = {
    echo: unary(testLog, (request: string) => (handled.push("echo"), request)),
    watch: (stream: ServerWritableStream<string, string>) => (handled.push("watch"), endWith(stream, "seen")),
    collect: (stream: ServerReadableStream<string, string>, callback: Callback) => {
      handled.push("collect");
      stream.on("data", () => {}).on("end", () => callback(null, "seen"));
    },
    chat: (stream: ServerDuplexStream<string, string>) => {
      handled.push("chat");
      stream.on("data", () => {}).on("end", () => endWith(stream, "seen"));
    },
  };

  /** The gRPC status that each kind of method ends with; 0 is OK. */
  async function statuses(client: Echo, given: Metadata): Promise<Record<string, number>> {
    const ended = (stream: ClientReadableStream<string> | ClientDuplexStream<string, string>) =>
      new Promise<number>((resolve) =>
        stream
          .on("data", () => {})
          .on("error", () => {})
          .on("status", ({ code }: { code: number }) => resolve(code)),
      );
    const answered = (start: (callback: Callback) => unknown) =>
      new Promise<number>((resolve) => start((error) => resolve(error?.code ?? 0)));
    const chat = client.chat(given);
    const [echo, watch, collect, chatted] = await Promise.all([
      answered((callback) => client.echo("hi", given, {}, callback)),
      ended(client.watch("hi", given)),
      answered((callback) => client.collect(given, callback).end("hi")),
      (chat.end("hi"), ended(chat)),
    ]);
    return { echo, watch, collect, chat: chatted };
  }

  const bearer = (value: string) => {
    const given = new Metadata();
    given.set("authorization", value);
    return given;
  };

  it("opens every kind of method", async () => {
    const server = await startEcho(implementation);
    const client = connect(server.port);
    expect(await statuses(client, metadata)).toEqual({ echo: 0, watch: 0, collect: 0, chat: 0 });
    await server.life.close();
  });

  it.each([
    ["is missing", new Metadata()],
    ["is another of the same length", bearer(`Bearer ${"x".repeat(SERVICE_KEY.length)}`)],
    ["is only the beginning", bearer(`Bearer ${SERVICE_KEY.slice(0, -1)}`)],
    ["has more after it", bearer(`Bearer ${SERVICE_KEY}x`)],
    ["is not a bearer's", bearer(SERVICE_KEY)],
    ["is empty", bearer("")],
  ])("refuses every kind of method when it %s, before any handler sees the call", async (_what, given) => {
    handled.length = 0;
    const server = await startEcho(implementation);
    const client = connect(server.port);
    const refused = status.UNAUTHENTICATED;
    expect(await statuses(client, given)).toEqual({ echo: refused, watch: refused, collect: refused, chat: refused });
    expect(handled).toEqual([]);
    // The connection serves the next call, with the key, as ever.
    expect(await call(client, "after")).toBe("after");
    await server.life.close();
  });

  it("is not taken for a client's own mistake when it is refused", async () => {
    const server = await startEcho(implementation);
    const client = connect(server.port);
    await expect(call(client, "hi", new Metadata())).rejects.toMatchObject({
      code: "unavailable",
      message: "echo cannot be reached: the service key is missing or wrong",
    });
    await server.life.close();
  });
});

describe("an error", () => {
  it("keeps its code and its message on the way through unary calls and streams", async () => {
    const thrown = (code: string) => new AppError(code as "internal", `${code}: line\nbreak, 語 and 100 %`);
    const server = await startEcho({
      echo: unary(testLog, (code: string) => Promise.reject(thrown(code))),
      watch: (stream: ServerWritableStream<string, string>) =>
        void stream.emit("error", grpcStatus(thrown(stream.request))),
      collect: () => {},
      chat: () => {},
    });
    const client = connect(server.port);
    for (const code of ERROR_CODES) {
      const { message } = thrown(code);
      await expect(call(client, code)).rejects.toMatchObject({ code, message });
      const streamed = await new Promise<ServiceError>((resolve) =>
        client
          .watch(code, metadata)
          .on("data", () => {})
          .on("error", (error: ServiceError) => resolve(error)),
      );
      expect(fromGrpc(streamed, "echo")).toMatchObject({ code, message });
    }
    await server.life.close();
  });

  it("that nobody threw on purpose goes to the log, and only there", async () => {
    const lines: string[] = [];
    const log = pino({ level: "trace" }, { write: (line) => void lines.push(line) });
    const server = await startEcho({
      echo: unary(log, () => {
        throw new Error("relation audit.events does not exist");
      }),
      watch: () => {},
      collect: () => {},
      chat: () => {},
    });
    const error = await call(connect(server.port), "hi").catch((thrown: unknown) => thrown as AppError);
    expect(error).toMatchObject({ code: "internal" });
    expect((error as AppError).message).not.toContain("relation");
    expect(lines.join()).toContain("relation audit.events does not exist");
    expect(lines.join()).toContain("/test.Echo/Echo");
    await server.life.close();
  });

  it.each([
    ["very long", "語".repeat(50_000)],
    ["cut through a character", "🙂".slice(0, 1)],
    ["full of control characters", "a\r\n\t\0b"],
  ])("arrives when its message is %s, and the server lives on", async (_what, message) => {
    const server = await startEcho({
      echo: unary(testLog, (request: string) => {
        if (request === "fail") throw new AppError("invalid_argument", message);
        return request;
      }),
      watch: () => {},
      collect: () => {},
      chat: () => {},
    });
    const client = connect(server.port);
    await expect(call(client, "fail")).rejects.toMatchObject({ code: "invalid_argument" });
    expect(await call(client, "after")).toBe("after");
    await server.life.close();
  });
});

describe("a call", () => {
  it("to a service that is not there fails at once, and names it", async () => {
    const server = await startEcho({ echo: () => {}, watch: () => {}, collect: () => {}, chat: () => {} });
    await server.life.close();
    const started = performance.now();
    await expect(call(connect(server.port), "hi", metadata, 20_000)).rejects.toMatchObject({
      code: "unavailable",
      retryable: true,
      message: expect.stringContaining("echo cannot be reached"),
    });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("that is not answered ends when its time is over", async () => {
    const server = await startEcho({ echo: () => {}, watch: () => {}, collect: () => {}, chat: () => {} });
    const client = connect(server.port);
    await expect(call(client, "hi", metadata, 300)).rejects.toMatchObject({
      code: "deadline_exceeded",
      message: "echo did not answer in time",
    });
    await server.life.close();
  });
});

describe("closing a server", () => {
  it("lets a call that is under way end, and cuts off streams that never would", async () => {
    let answer: (() => void) | undefined;
    const server = await startEcho({
      echo: unary(testLog, (request: string) => new Promise((resolve) => (answer = () => resolve(`${request}, done`)))),
      watch: (stream: ServerWritableStream<string, string>) => void stream.write("open"),
      collect: () => {},
      chat: () => {},
    });
    const client = connect(server.port);
    const underWay = call(client, "hi");
    const stream = client.watch("hi", metadata);
    const cut = new Promise<number>((resolve) => stream.on("error", (error: ServiceError) => resolve(error.code)));
    await new Promise((resolve) => stream.once("data", resolve));
    await eventually(() => expect(answer).toBeDefined());
    const closing = server.life.close();
    answer!();
    expect(await underWay).toBe("hi, done");
    await closing;
    expect([status.CANCELLED, status.UNAVAILABLE]).toContain(await cut);
  });
});

describe("a followed stream", () => {
  const counting = (opened: { count: number }) => ({
    echo: () => {},
    watch: (stream: ServerWritableStream<string, string>) => {
      opened.count += 1;
      stream.write(`${stream.request} ${opened.count}`);
    },
    collect: () => {},
    chat: () => {},
  });

  it("is opened again when the service was restarted, and says when it was lost", async () => {
    const opened = { count: 0 };
    const first = await startEcho(counting(opened));
    const client = connect(first.port);
    const messages: string[] = [];
    let lost = 0;
    followStream({
      name: "watch",
      open: () => client.watch("message", metadata),
      onMessage: (message: string) => void messages.push(message),
      onLost: () => (lost += 1),
      signal: life.signal,
      log: testLog,
    });
    await eventually(() => expect(messages).toEqual(["message 1"]));
    await first.life.close();
    await eventually(() => expect(lost).toBeGreaterThan(0));
    const second = await startEcho(counting(opened), { port: first.port });
    await eventually(() => expect(messages).toEqual(["message 1", "message 2"]));
    // Followed once, however often it was tried meanwhile.
    expect(opened.count).toBe(2);
    await life.close();
    await second.life.close();
  });

  it("that the service ends is opened again, and a message that cannot be taken does not end it", async () => {
    let opened = 0;
    const server = await startEcho({
      echo: () => {},
      watch: (stream: ServerWritableStream<string, string>) => {
        opened += 1;
        stream.write("bad");
        endWith(stream, `good ${opened}`);
      },
      collect: () => {},
      chat: () => {},
    });
    const client = connect(server.port);
    const messages: string[] = [];
    followStream({
      name: "watch",
      open: () => client.watch("hi", metadata),
      onMessage: (message: string) => {
        if (message === "bad") throw new Error("cannot be taken");
        messages.push(message);
      },
      signal: life.signal,
      log: testLog,
    });
    await eventually(() => expect(messages.slice(0, 3)).toEqual(["good 1", "good 2", "good 3"]));
    await life.close();
    const atClose = opened;
    await server.life.close();
    expect(opened).toBe(atClose);
  });

  it("is not opened when closing has begun", async () => {
    let opened = 0;
    const closed = openLife(testLog);
    await closed.close();
    followStream({
      name: "watch",
      open: () => {
        opened += 1;
        throw new Error("must not be opened");
      },
      onMessage: () => {},
      signal: closed.signal,
      log: testLog,
    });
    expect(opened).toBe(0);
  });
});
