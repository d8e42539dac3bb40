/**
 * Task management (RFC 7143 §11.5, §11.6; SAM-5 §7). Only what the device has nothing of is
 * cancelled; the answer comes when the rest has settled (replication R12), so that no write of an
 * aborted command lands after it.
 */
import { UNIT_ATTENTION } from '../../scsi/index.ts';
import { AT, get32, TASK_FUNCTION, TASK_RESPONSE } from '../pdu/format.ts';
import { TASK_MANAGEMENT_COUNT_MAX } from './limits.ts';
import type { Session } from './session.ts';
import { TaskAbort } from './task-abort.ts';

export function manageTasks(session: Session, header: Buffer, at: number): void {
  const taskTag = get32(header, at + AT.taskTag);
  const answer = (response: number) => session.answers.taskManagement(taskTag, response);
  if (session.taskManagementCount >= TASK_MANAGEMENT_COUNT_MAX) {
    // Immediate requests have no window: each that waits would hold on to every command.
    answer(TASK_RESPONSE.rejected);
    return;
  }
  const complete = () => answer(TASK_RESPONSE.complete);
  const code = (header[at + 1] as number) & 0x7f;
  const isOurUnit = isFirstUnit(header, at);
  switch (code) {
    case TASK_FUNCTION.abortTask:
      if (isOurUnit) abortTask(session, header, at);
      else answer(TASK_RESPONSE.noSuchUnit);
      return;
    case TASK_FUNCTION.abortTaskSet:
    case TASK_FUNCTION.clearTaskSet:
    case TASK_FUNCTION.unitReset:
      if (!isOurUnit) answer(TASK_RESPONSE.noSuchUnit);
      else if (code === TASK_FUNCTION.abortTaskSet) abortTaskSet(session, complete);
      else if (code === TASK_FUNCTION.clearTaskSet) clearTaskSet(session, complete);
      else reset(session, complete);
      return;
    case TASK_FUNCTION.targetWarmReset:
      reset(session, complete);
      return;
    case TASK_FUNCTION.targetColdReset:
      // §11.5.1: every session ends, this one after its answer.
      reset(session, () => {
        complete();
        session.target.endSessions('cold reset');
      });
      return;
    case TASK_FUNCTION.taskReassign:
      answer(TASK_RESPONSE.reassignNotSupported);
      return;
    default:
      // CLEAR ACA among them: NACA is refused, so there never is one.
      answer(TASK_RESPONSE.notSupported);
  }
}

/** A function that is carried out, until what it waits for has settled. */
function waiting(session: Session, done: () => void): TaskAbort {
  session.taskManagementCount += 1;
  return new TaskAbort(() => {
    session.taskManagementCount -= 1;
    done();
  });
}

/** LUN 0 in peripheral or flat addressing. */
function isFirstUnit(header: Buffer, at: number): boolean {
  const high = get32(header, at + AT.lun);
  return get32(header, at + AT.lun + 4) === 0 && (high === 0 || high === 0x4000_0000);
}

function abortTask(session: Session, header: Buffer, at: number): void {
  const taskTag = get32(header, at + AT.taskTag);
  const referenced = session.commands.find(get32(header, at + AT.referencedTaskTag));
  if (referenced === undefined) {
    session.answers.taskManagement(taskTag, responseForMissing(session, header, at));
    return;
  }
  const abort = waiting(session, () =>
    session.answers.taskManagement(taskTag, TASK_RESPONSE.complete),
  );
  session.abort(referenced, abort);
  abort.settle();
}

/**
 * §11.6.1: a command that has not come yet, by its CmdSN, is taken as come and aborted; one that
 * is over, or never was, does not exist.
 */
function responseForMissing(session: Session, header: Buffer, at: number): number {
  const number = get32(header, at + AT.referencedCommandNumber);
  if (!session.window.contains(number) || session.window.isHeld(number)) {
    return TASK_RESPONSE.noSuchTask;
  }
  session.window.hold(number, 'aborted');
  session.runHeld();
  return TASK_RESPONSE.complete;
}

function abortTaskSet(session: Session, complete: () => void): void {
  const abort = waiting(session, complete);
  session.abortAll(abort);
  abort.settle();
}

/** The tasks of all sessions; theirs are told (TAS=0, SAM-5 §5.14). */
function clearTaskSet(session: Session, complete: () => void): void {
  const abort = waiting(session, complete);
  for (const other of session.target.sessions) {
    if (other !== session && other.commands.count > 0) {
      other.nexus.raise(UNIT_ATTENTION.commandsCleared);
    }
    other.abortAll(abort);
  }
  abort.settle();
}

function reset(session: Session, complete: () => void): void {
  const abort = waiting(session, () => {
    session.target.unit.reset();
    complete();
  });
  for (const other of session.target.sessions) other.abortAll(abort);
  abort.settle();
}
