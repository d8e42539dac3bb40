/**
 * A value that must be storable when the disk is full and must survive a power cut at any moment:
 * two preallocated slots, written one after the other, each durable before the other is touched
 * (replication R8). `store` ends when both hold the value: a slot that cannot be read later takes
 * nothing with it, and the one that was being written when power went is told by its checksum.
 */
import { assert } from '../../core/assert.ts';
import type { File, Files } from '../../core/platform/index.ts';
import {
  asStorageError,
  corruptFile,
  newerFormat,
  type SealedKind,
  sealPage,
  unsealPage,
} from '../chain/index.ts';
import { closeFile, datasync, sizeOf, truncate, writeTo } from './callbacks.ts';

const SLOTS = 2;

export interface SlotKind extends SealedKind {
  /** Bytes of one slot, a multiple of 4096. */
  readonly slotBytes: number;
}

interface Slot {
  readonly index: number;
  readonly sequence: number;
  readonly value: unknown;
}

export class SlotFile {
  /** Told once, when a store has failed: only opening the file anew tells what it holds. */
  onBroken: (detail: string) => void = () => undefined;
  readonly #kind: SlotKind;
  readonly #path: string;
  readonly #file: File;
  #sequence: number;
  #value: unknown;
  /** Stores one after the other. */
  #last: Promise<void> = Promise.resolve();
  #failure: unknown = null;

  private constructor(kind: SlotKind, path: string, file: File, slot: Slot) {
    this.#kind = kind;
    this.#path = path;
    this.#file = file;
    this.#sequence = slot.sequence;
    this.#value = slot.value;
  }

  /** Writes the file with its first value: all its space is taken now. The folder is not synced. */
  static async create(files: Files, path: string, kind: SlotKind, value: unknown): Promise<void> {
    assert(kind.slotBytes % 4096 === 0, 'a slot is a whole number of blocks');
    const file = await files.open(path, 'create');
    try {
      await truncate(file, kind.slotBytes * SLOTS);
      const page = sealPage(kind, { sequence: 1, value }, kind.slotBytes);
      for (let slot = 0; slot < SLOTS; slot += 1) await writeTo(file, page, slot * kind.slotBytes);
      await datasync(file);
    } finally {
      await closeFile(file);
    }
  }

  /**
   * What is read may only be in the page cache: a process before us was killed before its
   * fdatasync, or that one failed. It is written once more, so that `value` is durable.
   *
   * @throws StorageError: missing, corrupt (no slot is whole), newerFormat, system.
   */
  static async open(files: Files, path: string, kind: SlotKind): Promise<SlotFile> {
    let file: File;
    try {
      file = await files.open(path, 'write');
    } catch (error) {
      throw asStorageError(error, path);
    }
    try {
      const sizeBytes = await sizeOf(file);
      if (sizeBytes !== kind.slotBytes * SLOTS) {
        throw corruptFile(path, `${sizeBytes} bytes instead of ${kind.slotBytes * SLOTS}`);
      }
      const content = await files.readWhole(path, kind.slotBytes * SLOTS);
      const newest = newestSlot(kind, path, content);
      const opened = new SlotFile(kind, path, file, newest);
      // The other one first: until it is durable, the one that was read stays as it is.
      for (const slot of [1 - newest.index, newest.index]) {
        await opened.#writeSlot(slot, newest.sequence, newest.value);
      }
      return opened;
    } catch (error) {
      await closeFile(file);
      throw asStorageError(error, path);
    }
  }

  get value(): unknown {
    return this.#value;
  }

  /**
   * Durable when it has returned; until then `value` is the old one. After a failure nobody
   * knows what the medium holds: every later store fails.
   */
  async store(value: unknown): Promise<void> {
    const own = this.#last.then(() => this.#storeNow(value));
    this.#last = own.catch(() => undefined);
    await own;
  }

  async close(): Promise<void> {
    await this.#last;
    await closeFile(this.#file);
  }

  async #storeNow(value: unknown): Promise<void> {
    if (this.#failure !== null) throw asStorageError(this.#failure, this.#path);
    const sequence = this.#sequence + 1;
    try {
      for (let slot = 0; slot < SLOTS; slot += 1) await this.#writeSlot(slot, sequence, value);
    } catch (error) {
      this.#failure = error;
      const failure = asStorageError(error, this.#path);
      this.onBroken(failure.message);
      throw failure;
    }
    this.#sequence = sequence;
    this.#value = value;
  }

  async #writeSlot(slot: number, sequence: number, value: unknown): Promise<void> {
    const { slotBytes } = this.#kind;
    const page = sealPage(this.#kind, { sequence, value }, slotBytes);
    await writeTo(this.#file, page, slot * slotBytes);
    await datasync(this.#file);
  }
}

function newestSlot(kind: SlotKind, path: string, content: Buffer): Slot {
  const whole: Slot[] = [];
  const reasons: string[] = [];
  for (let index = 0; index < SLOTS; index += 1) {
    const page = content.subarray(index * kind.slotBytes, (index + 1) * kind.slotBytes);
    const slot = unsealPage(kind, page);
    switch (slot.kind) {
      case 'newer':
        throw newerFormat(path, slot.formatVersion, kind.formatVersion);
      case 'invalid':
        reasons.push(slot.why);
        break;
      case 'valid':
        whole.push({ index, sequence: slot.sequence, value: slot.value });
        break;
    }
  }
  const [first, second] = whole;
  if (first === undefined) throw corruptFile(path, `both slots: ${reasons.join(', ')}`);
  if (second === undefined || first.sequence >= second.sequence) return first;
  return second;
}
