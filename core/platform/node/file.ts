import * as fs from 'node:fs';
import { assert } from '../../assert.ts';
import { MiB } from '../../units.ts';
import type { AllocatedRange, File, FileDone } from '../files.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  type Libc,
  SEEK_DATA,
  SEEK_HOLE,
  systemError,
} from './libc.ts';

const OFFSET_IS_WHOLE = 'an offset in a file is a whole number, not negative';
const EIO = 5;
const EINVAL = 22;
const ENXIO = 6;
const EOPNOTSUPP = 95;
const ZEROS = Buffer.alloc(MiB);
/** Transfer objects kept for reuse; more are made when more calls are in flight. */
const POOLED_TRANSFERS_MAX = 256;

type TransferDone = (error: Error | null, transferredBytes: number) => void;

/** One read or write until all is there: the kernel may transfer less than asked for. */
class Transfer {
  readonly #descriptor: number;
  readonly #pool: Transfer[];
  readonly #advanced: (error: Error | null, bytes: number) => void;
  #kind: 'read' | 'write' = 'read';
  #buffer: Buffer = ZEROS;
  #offsetBytes = 0;
  #transferredBytes = 0;
  #done: TransferDone | null = null;

  constructor(descriptor: number, pool: Transfer[]) {
    this.#descriptor = descriptor;
    this.#pool = pool;
    this.#advanced = (error, bytes) => this.#advance(error, bytes);
  }

  start(kind: 'read' | 'write', buffer: Buffer, offsetBytes: number, done: TransferDone): void {
    // Node takes a negative position for "where the file stands", and cuts off fractions.
    assert(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0, OFFSET_IS_WHOLE);
    this.#kind = kind;
    this.#buffer = buffer;
    this.#offsetBytes = offsetBytes;
    this.#transferredBytes = 0;
    this.#done = done;
    this.#step();
  }

  #step(): void {
    const from = this.#transferredBytes;
    const length = this.#buffer.length - from;
    const position = this.#offsetBytes + from;
    if (this.#kind === 'read') {
      fs.read(this.#descriptor, this.#buffer, from, length, position, this.#advanced);
    } else {
      fs.write(this.#descriptor, this.#buffer, from, length, position, this.#advanced);
    }
  }

  #advance(error: Error | null, bytes: number): void {
    if (error !== null) {
      this.#finish(error);
      return;
    }
    this.#transferredBytes += bytes;
    if (this.#transferredBytes === this.#buffer.length) this.#finish(null);
    else if (bytes > 0) this.#step();
    // Nothing more: the end of the file for a read; a write that takes nothing cannot go on.
    else this.#finish(this.#kind === 'read' ? null : systemError('write', EIO));
  }

  #finish(error: Error | null): void {
    const done = this.#done;
    const transferredBytes = this.#transferredBytes;
    this.#done = null;
    this.#buffer = ZEROS;
    if (this.#pool.length < POOLED_TRANSFERS_MAX) this.#pool.push(this);
    done?.(error, transferredBytes);
  }
}

/** A file over node:fs with callbacks; what Node has no API for goes through libc. */
export class NodeFile implements File {
  readonly #descriptor: number;
  readonly #libc: Libc | null;
  readonly #transfers: Transfer[] = [];
  #punches: boolean;

  constructor(descriptor: number, libc: Libc | null) {
    this.#descriptor = descriptor;
    this.#libc = libc;
    this.#punches = libc !== null;
  }

  read(buffer: Buffer, offsetBytes: number, done: TransferDone): void {
    this.#transfer().start('read', buffer, offsetBytes, done);
  }

  write(buffer: Buffer, offsetBytes: number, done: FileDone): void {
    this.#transfer().start('write', buffer, offsetBytes, done);
  }

  datasync(done: FileDone): void {
    fs.fdatasync(this.#descriptor, done);
  }

  punchHole(offsetBytes: number, lengthBytes: number, done: FileDone): void {
    assert(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0, OFFSET_IS_WHOLE);
    const libc = this.#libc;
    if (libc === null || !this.#punches) {
      this.#writeZeros(offsetBytes, lengthBytes, done);
      return;
    }
    const mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
    libc.fallocate(this.#descriptor, mode, { offsetBytes, lengthBytes }, (errno) => {
      if (errno === EOPNOTSUPP) {
        this.#punches = false;
        this.#writeZeros(offsetBytes, lengthBytes, done);
      } else {
        done(errno === 0 ? null : systemError('fallocate', errno));
      }
    });
  }

  truncate(sizeBytes: number, done: FileDone): void {
    fs.ftruncate(this.#descriptor, sizeBytes, done);
  }

  sizeBytes(done: (error: Error | null, sizeBytes: number) => void): void {
    fs.fstat(this.#descriptor, (error, status) => {
      if (error === null) done(null, status.size);
      else done(error, 0);
    });
  }

  allocatedRanges(
    range: AllocatedRange,
    countMax: number,
    done: (error: Error | null, ranges: readonly AllocatedRange[]) => void,
  ): void {
    const endBytes = range.offsetBytes + range.lengthBytes;
    const found: AllocatedRange[] = [];
    const libc = this.#libc;
    if (libc === null) {
      this.#everything(range, done);
      return;
    }
    const seekFrom = (offsetBytes: number): void => {
      if (offsetBytes >= endBytes || found.length >= countMax) {
        done(null, found);
        return;
      }
      libc.seek(this.#descriptor, offsetBytes, SEEK_DATA, (errno, startBytes) => {
        if (errno === ENXIO || (errno === 0 && startBytes >= endBytes)) done(null, found);
        else if (errno === EINVAL) this.#everything(range, done);
        else if (errno !== 0) done(systemError('lseek', errno), []);
        else seekEnd(startBytes);
      });
    };
    const seekEnd = (startBytes: number): void => {
      libc.seek(this.#descriptor, startBytes, SEEK_HOLE, (errno, holeBytes) => {
        // ENXIO: the file was cut short in between; what lies beyond its end is a hole.
        if (errno === ENXIO) done(null, found);
        else if (errno !== 0) done(systemError('lseek', errno), []);
        else {
          const stopBytes = Math.min(holeBytes, endBytes);
          // Equal when the data was punched away between the two calls.
          if (stopBytes > startBytes) {
            found.push({ offsetBytes: startBytes, lengthBytes: stopBytes - startBytes });
          }
          seekFrom(Math.max(stopBytes, startBytes + 1));
        }
      });
    };
    seekFrom(range.offsetBytes);
  }

  close(done: FileDone): void {
    fs.close(this.#descriptor, (error) => done(error ?? null));
  }

  #transfer(): Transfer {
    return this.#transfers.pop() ?? new Transfer(this.#descriptor, this.#transfers);
  }

  /** Where the file system knows no holes: zeros, but never beyond the end of the file. */
  #writeZeros(offsetBytes: number, lengthBytes: number, done: FileDone): void {
    this.sizeBytes((error, sizeBytes) => {
      if (error !== null) {
        done(error);
        return;
      }
      const endBytes = Math.min(offsetBytes + lengthBytes, sizeBytes);
      const writeFrom = (at: number): void => {
        if (at >= endBytes) {
          done(null);
          return;
        }
        const zeros = ZEROS.subarray(0, Math.min(ZEROS.length, endBytes - at));
        this.write(zeros, at, (failed) => {
          if (failed === null) writeFrom(at + zeros.length);
          else done(failed);
        });
      };
      writeFrom(offsetBytes);
    });
  }

  #everything(
    range: AllocatedRange,
    done: (error: Error | null, ranges: readonly AllocatedRange[]) => void,
  ): void {
    this.sizeBytes((error, sizeBytes) => {
      const endBytes = Math.min(range.offsetBytes + range.lengthBytes, sizeBytes);
      const lengthBytes = endBytes - range.offsetBytes;
      const some = error === null && lengthBytes > 0;
      done(error, some ? [{ offsetBytes: range.offsetBytes, lengthBytes }] : []);
    });
  }
}
