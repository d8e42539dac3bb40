/**
 * Data-path promise 3. From the first answer of a target on, no target of a lower epoch answers
 * GOOD to a change that it was given later; from its first change on, none answers a read. The same
 * of targets of an earlier attachment, whatever their epoch (R4).
 */
import { textOf } from '../client/command.ts';
import type { WorldEvent } from '../world/events.ts';
import type { TargetHost } from '../world/target-host.ts';
import type { MakeChecker } from './checker.ts';

type Answered = Extract<WorldEvent, { kind: 'answered' }>;

export const oneWriter: MakeChecker = (world, fail) => {
  const tokens: string[] = [];
  const byEpoch = newestFirst('epoch', (target) => target.coordinator.state.record?.epoch ?? 0);
  const byAttachment = newestFirst('attachment', (target) => tokens.indexOf(target.token));
  return {
    name: 'one-writer',
    heard(event) {
      if (event.kind === 'committed') {
        const { attachment } = event.commit.record;
        if (attachment !== null && !tokens.includes(attachment.token)) {
          tokens.push(attachment.token);
        }
      }
      if (event.kind !== 'answered' || event.error !== null) return;
      const { nowMs } = world.simulation;
      const wrong = byEpoch(event, nowMs) ?? byAttachment(event, nowMs);
      if (wrong !== null) fail(wrong);
    },
  };
};

/** What is wrong with an answer when targets reign one after the other, by rank; else null. */
function newestFirst(
  what: string,
  rankOf: (target: TargetHost) => number,
): (event: Answered, nowMs: number) => string | null {
  let newest = -1;
  let firstAnswerMs = 0;
  let firstChangeMs: number | null = null;
  return ({ command, target }, nowMs) => {
    const rank = rankOf(target);
    if (rank > newest) {
      newest = rank;
      firstAnswerMs = nowMs;
      firstChangeMs = null;
    }
    const isRead = command.kind === 'read';
    if (rank === newest) {
      if (!isRead) firstChangeMs ??= nowMs;
      return null;
    }
    const who = `the target of ${what} ${rank} answered ${textOf(command)}`;
    if (isRead && firstChangeMs !== null) {
      return `${who} after that of ${what} ${newest} had changed something`;
    }
    if (!isRead && command.attemptMs > firstAnswerMs) {
      return `${who}, given to it after that of ${what} ${newest} had answered something`;
    }
    return null;
  };
}
