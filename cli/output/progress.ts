import type { CliContext } from '../context.ts';
import { CliError, interruptedError } from '../failure.ts';

/** What is over sooner says nothing. */
const QUIET_MS = 1_000;
const FRAME_MS = 100;
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const CLEAR_LINE = '\r\u001b[K';

/**
 * Waits for `call`, and after a second tells so on stderr: a spinner with the time on a terminal,
 * one plain line elsewhere. `doing` is a participle: `creating volume "data"`.
 *
 * @throws CliError interrupted when Ctrl-C ended the wait.
 */
export async function withProgress<Result>(
  context: CliContext,
  doing: string,
  call: () => Promise<Result>,
): Promise<Result> {
  const stop = showProgress(context, doing);
  try {
    context.interrupted.throwIfAborted();
    return await call();
  } catch (error) {
    if (context.interrupted.aborted && !(error instanceof CliError)) {
      throw interruptedError(doing, error);
    }
    throw error;
  } finally {
    stop();
  }
}

function showProgress({ stderr, clock }: CliContext, doing: string): () => void {
  const startMs = clock.nowMs();
  let frame = 0;
  const stopClock = clock.every(FRAME_MS, () => {
    const elapsedMs = clock.nowMs() - startMs;
    if (elapsedMs < QUIET_MS) return;
    frame += 1;
    if (stderr.isTerminal) {
      const seconds = Math.floor(elapsedMs / 1_000);
      stderr.write(`${CLEAR_LINE}${FRAMES[frame % FRAMES.length]} ${doing} (${seconds} s)`);
    } else if (frame === 1) {
      stderr.write(`${doing} ...\n`);
    }
  });
  return () => {
    stopClock();
    if (frame > 0 && stderr.isTerminal) stderr.write(CLEAR_LINE);
  };
}
