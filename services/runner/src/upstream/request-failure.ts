/** No answer came. The message is to be read after "the server". */
export class RequestFailure extends Error {
  /** It is certain that the API has not taken the request. */
  readonly notDelivered: boolean;

  constructor(reason: string, { notDelivered }: { notDelivered: boolean }) {
    super(reason);
    this.name = "RequestFailure";
    this.notDelivered = notDelivered;
  }
}
