import { type Frame, requestsOf } from "./frame.ts";

const requestsInFlightMax = 256;
/** Notifications and responses have a bound of their own, so that a cancellation passes when the requests are full. */
const othersInFlightMax = 256;
const inFlightBytesMax = 64 * 1024 * 1024;
/** How long a stream may stay open after its requests have been answered or cancelled. */
const lingerMsMax = 1_000;

/**
 * One frame on its way. It is settled once each of its requests is answered or will never be (cancelled): from then on
 * nothing of it reaches the client.
 */
export interface Flight {
  readonly frame: Frame;
  readonly controller: AbortController;
  /** The requests that still get an answer. */
  readonly awaited: Set<Frame>;
  settled: boolean;
  /** Set while the frame is being sent and answered; resolves when its bytes have left or it has failed. */
  posting: Promise<void> | undefined;
  linger: NodeJS.Timeout | undefined;
  /** Opens the gate that this frame holds, if it holds one. */
  release: () => void;
  /** A subscription that the client knows to be open; and whether that was said in the attempt under way. */
  readonly subscription: { known: boolean; open: boolean };
  carried: Promise<void>;
}

/** All frames on their way, within bounds. */
export class Flights {
  readonly #flights = new Set<Flight>();
  #requests = 0;
  #others = 0;
  #bytes = 0;

  [Symbol.iterator](): IterableIterator<Flight> {
    return this.#flights.values();
  }

  /** Undefined when too much is on its way. */
  start(frame: Frame): Flight | undefined {
    const requests = requestsOf(frame);
    const isFull =
      requests.length > 0 ? this.#requests + requests.length > requestsInFlightMax : this.#others >= othersInFlightMax;
    if (isFull || this.#bytes + frame.bytes.length > inFlightBytesMax) return undefined;
    const flight: Flight = {
      frame,
      controller: new AbortController(),
      awaited: new Set(requests),
      settled: false,
      posting: undefined,
      linger: undefined,
      release: () => {},
      subscription: { known: false, open: false },
      carried: Promise.resolve(),
    };
    this.#flights.add(flight);
    this.#count(frame, 1);
    return flight;
  }

  end(flight: Flight): void {
    clearTimeout(flight.linger);
    flight.release();
    if (this.#flights.delete(flight)) this.#count(flight.frame, -1);
  }

  /** The flight whose request with this id still gets an answer. */
  awaiting(id: unknown): { flight: Flight; request: Frame } | undefined {
    if (id === undefined) return undefined;
    for (const flight of this.#flights) {
      const request = [...flight.awaited].find((each) => each.id === id);
      if (request) return { flight, request };
    }
    return undefined;
  }

  /** The request gets no further answer. */
  settle(flight: Flight, request: Frame): void {
    flight.awaited.delete(request);
    if (flight.awaited.size > 0 || flight.settled) return;
    flight.settled = true;
    flight.release();
    flight.linger = setTimeout(() => flight.controller.abort(), lingerMsMax);
  }

  #count(frame: Frame, sign: 1 | -1): void {
    const requests = requestsOf(frame).length;
    this.#requests += sign * requests;
    if (requests === 0) this.#others += sign;
    this.#bytes += sign * frame.bytes.length;
  }
}
