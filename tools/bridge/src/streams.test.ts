import { expect, test } from "vitest";
import { readEvents, startCursor } from "./event-stream.ts";
import { readLines } from "./line-reader.ts";

async function* chunksOf(bytes: Buffer, ...cuts: number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    yield bytes.subarray(from, cut);
    from = cut;
  }
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

test("events are the same however their bytes are cut", async () => {
  const bytes = Buffer.from(
    '\uFEFF: hi\r\nevent: message\r\nid: 1\r\ndata: {"ä":"😀"}\r\n\r\ndata:\n\ndata\rdata: b\rdata:  c\r\r\n\ndata:d\r\ndata: e\r\n\r\ndata: cut off',
  );
  const expected = ['{"ä":"😀"}', "\nb\n c", "d\ne"];
  for (let first = 0; first <= bytes.length; first++) {
    for (const second of [first, first + 1, first + 2]) {
      expect(
        await collect(
          readEvents(chunksOf(bytes, first, Math.min(second, bytes.length)), {
            bytesMax: 1_000,
            cursor: startCursor(),
          }),
        ),
      ).toEqual(expected);
    }
  }
});

test("the cursor stands behind the last whole event, with data or without", async () => {
  for (const [text, expected] of [
    ["id: a\n\n", { lastEventId: "a", retryMs: undefined }],
    ["retry: 20\nid:b\ndata: x\n\ndata: y\n\nid: c\ndata: cut off\n", { lastEventId: "b", retryMs: 20 }],
    ["id: a\n\nid: b\0\nretry: soon\n\n", { lastEventId: "a", retryMs: undefined }],
    ["id: a\n\nid\n\n", { lastEventId: undefined, retryMs: undefined }],
    [`id: ${"x".repeat(2_000)}\n\n`, { lastEventId: undefined, retryMs: undefined }],
  ] as const) {
    const cursor = startCursor();
    await collect(readEvents(chunksOf(Buffer.from(text)), { bytesMax: 10_000, cursor }));
    expect(cursor).toEqual(expected);
  }
});

test("an event may not outgrow its bound, with or without a line's end", async () => {
  for (const text of [`data: ${"x".repeat(101)}`, "data: 0123456789\n".repeat(11)]) {
    await expect(
      collect(readEvents(chunksOf(Buffer.from(text)), { bytesMax: 100, cursor: startCursor() })),
    ).rejects.toThrow("longer than 100 bytes");
  }
});

test("lines are the same however their bytes are cut; one that is too long is skipped", async () => {
  const bytes = Buffer.from("é😀\r\n\n \t\n0123456789\n0123456789a\nlast");
  const expected = ["é😀", "0123456789", "too long", "last"];
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const lines = await collect(readLines(chunksOf(bytes, first, second), 10));
      expect(lines.map((line) => (line.tooLong ? "too long" : line.bytes.toString()))).toEqual(expected);
    }
  }
});
