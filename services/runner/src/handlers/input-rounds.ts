import { AppError } from "@tollgate/errors";
import { type ResponseFrame, parseFrame, type RequestFrame, resultMember } from "@tollgate/mcp";
import { allowedCapabilities, canBeAsked } from "../domain/client-capabilities.ts";
import {
  type InputRequest,
  inputRequestsOf,
  isInputMethod,
  requestText,
  withInputResponses,
} from "../domain/input-required.ts";
import { askClient, type CallState } from "./call-state.ts";

const ROUNDS_MAX = 16;

/**
 * A legacy client does not know `input_required`: what a modern server wants to know it is asked in requests, all at
 * once, and then its own request is made once more with the answers.
 * @throws {AppError} when the client cannot be asked, or does not answer
 */
export async function answerInputRequest(state: CallState, frame: ResponseFrame, round: number): Promise<RequestFrame> {
  const { server } = state.envelope.facts;
  if (round > ROUNDS_MAX)
    throw new AppError("unavailable", `server ${server} asked for input more than ${ROUNDS_MAX} times`);
  const requests = inputRequestsOf(frame);
  checkAskable(state, requests);
  const answers = await Promise.all(requests.map((request) => ask(state, request)));
  const responses = new Map(requests.map(({ key }, i) => [key, answers[i]!]));
  const parsed = parseFrame(withInputResponses(state.frame, responses, resultMember(frame, "requestState")));
  if (!parsed.ok || parsed.frame.kind !== "request") throw new AppError("internal", "the retry is no request");
  return parsed.frame;
}

function checkAskable({ envelope, options }: CallState, requests: readonly InputRequest[]): void {
  const { client, facts } = envelope;
  const allowed = options.poolOf(facts.server)?.spec.clientCapabilities ?? [];
  const capabilities = allowedCapabilities(client.capabilities, allowed);
  for (const { method } of requests) {
    if (isInputMethod(method) && canBeAsked(capabilities, method) && facts.session !== undefined) continue;
    const message = `server ${facts.server} wants ${method}, which the client cannot be asked`;
    throw new AppError("failed_precondition", message);
  }
}

/** The client's result as JSON. */
function ask(state: CallState, request: InputRequest): Promise<string> {
  const { envelope, options } = state;
  return new Promise((resolve, reject) => {
    const refuse = (reason: string) =>
      reject(new AppError("failed_precondition", `${request.method} was not answered: ${reason}`));
    let settled: () => void = () => undefined;
    const settle = (done: () => void) => (settled(), done());
    const asked = options.questions.ask((id) => requestText(id, request), {
      session: envelope.facts.session!,
      send: (text, asks) => state.emit(text, asks),
      onAnswer: (frame) => {
        const span = frame.members.spans["result"];
        if (frame.error !== undefined || !span) return settle(() => refuse(String(frame.error?.message)));
        settle(() => resolve(frame.text.slice(span.start, span.end)));
      },
      onTimeout: () => settle(() => refuse("the client did not answer in time")),
    });
    if (!asked) return refuse("too many questions are open");
    settled = askClient(state, (reason) => {
      asked.drop();
      refuse(reason);
    });
  });
}
