interface Stoppable {
  stop(): Promise<unknown>;
}

/** Both, or neither: what has started is stopped again when the other has not. */
export async function startTogether<A extends Stoppable, B extends Stoppable>(
  one: Promise<A>,
  other: Promise<B>,
): Promise<[A, B]> {
  await Promise.allSettled([one, other]);
  try {
    return await Promise.all([one, other]);
  } catch (error) {
    await Promise.allSettled([one.then((each) => each.stop()), other.then((each) => each.stop())]);
    throw error;
  }
}
