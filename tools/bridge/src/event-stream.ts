/** Where a stream stands, through all the connections that it is read from. */
export interface Cursor {
  /** The id of the last event, for `Last-Event-ID`. */
  lastEventId: string | undefined;
  /** How long the server wants to be left alone after a lost connection. */
  retryMs: number | undefined;
}

/** An id that is longer cannot be counted on to fit into a header; a stream with such ids cannot be resumed. */
const eventIdLengthMax = 1_024;

export function startCursor(): Cursor {
  return { lastEventId: undefined, retryMs: undefined };
}

/**
 * Reads a `text/event-stream` (WHATWG HTML, section 9.2), yields the data of each event as it arrives and moves the
 * cursor along; several data lines are joined with \n. Names and comments are of no use here. An event that the stream's
 * end cuts off is dropped, its id too.
 */
export async function* readEvents(
  source: AsyncIterable<Buffer>,
  options: { readonly bytesMax: number; readonly cursor: Cursor },
): AsyncGenerator<string> {
  const { bytesMax, cursor } = options;
  const event = new PendingEvent(cursor);
  const decoder = new TextDecoder();
  let rest = "";
  let afterReturn = false;
  for await (const chunk of source) {
    let text = decoder.decode(chunk, { stream: true });
    // A \r ends its line at once; the \n that may follow in the next chunk belongs to the same end.
    if (afterReturn && text !== "") {
      afterReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    if (text !== "") afterReturn = text.endsWith("\r");
    let start = 0;
    for (const end of text.matchAll(/\r\n|\n|\r/g)) {
      const line = rest + text.slice(start, end.index);
      rest = "";
      start = end.index + end[0].length;
      if (line !== "") event.add(line);
      else {
        const data = event.dispatch();
        if (data !== "") yield data;
      }
    }
    rest += text.slice(start);
    if (event.held + rest.length > bytesMax) throw new RangeError(`an event is longer than ${bytesMax} bytes`);
  }
}

/** The lines of an event whose end has not come yet. */
class PendingEvent {
  readonly #cursor: Cursor;
  #data: string[] = [];
  #id: string | undefined;
  held = 0;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
    this.#id = cursor.lastEventId;
  }

  add(line: string): void {
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") {
      this.#data.push(value);
      this.held += line.length;
    } else if (field === "id" && !value.includes("\0")) {
      // oxlint-disable-next-line no-control-regex -- what a header may not hold
      const fits = value !== "" && value.length <= eventIdLengthMax && !/[\x00-\x08\x0a-\x1f\x7f]/.test(value);
      this.#id = fits ? value : undefined;
    } else if (field === "retry" && /^\d{1,9}$/.test(value)) this.#cursor.retryMs = Number(value);
  }

  /** An event without data still moves the cursor: servers begin a stream with one, so that it can be resumed. */
  dispatch(): string {
    const data = this.#data.join("\n");
    this.#cursor.lastEventId = this.#id;
    this.#data = [];
    this.held = 0;
    return data;
  }
}
