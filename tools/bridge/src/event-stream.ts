/**
 * Reads a `text/event-stream` (WHATWG HTML, section 9.2) and yields the data of each event as it arrives; several data
 * lines are joined with \n. Names, ids and comments are of no use here. An event that the stream's end cuts off is dropped.
 */
export async function* readEvents(source: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  let held = 0;
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
      if (line === "") {
        const joined = data.join("\n");
        if (joined !== "") yield joined;
        data = [];
        held = 0;
      } else if (line === "data" || line.startsWith("data:")) {
        data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
        held += line.length;
      }
    }
    rest += text.slice(start);
    if (held + rest.length > bytesMax) throw new RangeError(`an event is longer than ${bytesMax} bytes`);
  }
}
