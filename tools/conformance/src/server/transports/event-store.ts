import type { EventStore, JSONRPCMessage } from "@modelcontextprotocol/server";

const EVENTS_MAX = 1_000;

/** What a session's streams have sent, for clients that come back with Last-Event-ID. */
export class MemoryEventStore implements EventStore {
  readonly #events: { readonly id: string; readonly streamId: string; readonly message: JSONRPCMessage }[] = [];
  #count = 0;

  storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    const id = `${streamId}:${++this.#count}`;
    this.#events.push({ id, streamId, message });
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
    return Promise.resolve(id);
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (id: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const last = this.#events.findIndex(({ id }) => id === lastEventId);
    const streamId = lastEventId.slice(0, lastEventId.lastIndexOf(":"));
    const missed = this.#events.slice(last + 1).filter((event) => event.streamId === streamId);
    // The event that opens a stream carries an id only, and no message.
    for (const { id, message } of missed) if ("jsonrpc" in message) await send(id, message);
    return streamId;
  }
}
