import type { LogicalUnit, Nexus } from '../../scsi/index.ts';
import { Command } from './command.ts';

/**
 * The commands of one session: a pool, those that are under way by their tag, and those that wait
 * for room. A session holds a bounded number of bytes for data; who comes when they are used up
 * waits in line, and so does everybody after it, so that commands begin in the order of CmdSN.
 */
export class CommandStore {
  readonly #make: () => Command;
  readonly #free: Command[] = [];
  readonly #byTag = new Map<number, Command>();
  readonly #line: Command[] = [];
  readonly #reservedBytesMax: number;
  #reservedBytes = 0;

  constructor(options: {
    readonly unit: LogicalUnit;
    readonly nexus: Nexus;
    readonly reservedBytesMax: number;
    readonly finished: (command: Command) => void;
  }) {
    const { unit, nexus, finished } = options;
    this.#make = () => new Command(unit, nexus, finished);
    this.#reservedBytesMax = options.reservedBytesMax;
  }

  /** Commands that are not over. */
  get count(): number {
    return this.#byTag.size;
  }

  get all(): IterableIterator<Command> {
    return this.#byTag.values();
  }

  find(taskTag: number): Command | undefined {
    return this.#byTag.get(taskTag);
  }

  /** A fresh command in state `waiting`. The tag must not be in use. */
  take(taskTag: number): Command {
    const command = this.#free.pop() ?? this.#make();
    command.state = 'waiting';
    command.taskTag = taskTag;
    this.#byTag.set(taskTag, command);
    return command;
  }

  /** It is over, and will be another one. */
  release(command: Command): void {
    this.#byTag.delete(command.taskTag);
    this.#reservedBytes -= command.reservedBytes;
    command.reset();
    this.#free.push(command);
  }

  /** Would `reserve` give room now? */
  hasRoom(lengthBytes: number): boolean {
    return this.#line.length === 0 && this.#fits(lengthBytes);
  }

  /**
   * Room for the data of a command whose turn it is, or a place at the end of the line. At least
   * one command always has room, however large it is.
   *
   * @param mustWait whatever room there is.
   */
  reserve(command: Command, lengthBytes: number, mustWait: boolean): boolean {
    if (mustWait || !this.hasRoom(lengthBytes)) {
      command.reservedBytes = 0;
      this.#line.push(command);
      return false;
    }
    command.reservedBytes = lengthBytes;
    this.#reservedBytes += lengthBytes;
    return true;
  }

  /** The first in line, with its room, or undefined while there is none. */
  takeFromLine(lengthBytesOf: (command: Command) => number): Command | undefined {
    const first = this.#line[0];
    if (first === undefined) return undefined;
    const lengthBytes = lengthBytesOf(first);
    if (!this.#fits(lengthBytes)) return undefined;
    this.#line.shift();
    first.reservedBytes = lengthBytes;
    this.#reservedBytes += lengthBytes;
    return first;
  }

  /** An aborted command leaves the line, if it is there. */
  leaveLine(command: Command): void {
    const index = this.#line.indexOf(command);
    if (index >= 0) this.#line.splice(index, 1);
  }

  #fits(lengthBytes: number): boolean {
    return this.#reservedBytes === 0 || this.#reservedBytes + lengthBytes <= this.#reservedBytesMax;
  }
}
