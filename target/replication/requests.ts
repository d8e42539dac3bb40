/** Promises around single member requests, for background work only: never per I/O. */
import { type BlockError, blockError } from '../../core/block/block-device.ts';
import { crc32c } from '../../core/crc32c/index.ts';
import type { Clock } from '../../core/platform/index.ts';
import {
  decodeExtents,
  EXTENTS_MAX,
  type Extent,
  encodeExtentsRequest,
} from '../../core/wire/extents.ts';
import { Op, type RebuildAnswer, type RebuildRequest } from '../../core/wire/frame.ts';
import type { DataOp, MemberPort, PromiseResult } from './ports.ts';

interface Range {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** What can be asked of a member's data session. */
export type Askable = Pick<MemberPort, 'id' | 'submit'>;

/** The same member; `failed` hears of every request that it answers with an error. */
export function telling(port: MemberPort, failed: (error: BlockError) => void): Askable {
  return {
    id: port.id,
    submit: (op, range, payload, sink, tag) => {
      const answered = (of: number, error: BlockError | null, data: Buffer): void => {
        if (error !== null && error.code !== 'disconnected') failed(error);
        sink.answered(of, error, data);
      };
      port.submit(op, range, payload, { answered }, tag);
    },
  };
}

export function request(
  port: Askable,
  op: DataOp,
  range: Range,
  bytes: Buffer | null = null,
): Promise<Buffer> {
  return new Promise((resolve, reject: (error: BlockError) => void) => {
    const payload = bytes === null ? null : { bytes, crc: crc32c(bytes) };
    const answered = (_tag: number, error: BlockError | null, data: Buffer) => {
      if (error === null) resolve(data);
      else reject(error);
    };
    port.submit(op, range, payload, { answered }, 0);
  });
}

export function checksumsOf(port: Askable, range: Range): Promise<Buffer> {
  return request(port, Op.checksum, range);
}

/** All extents within the range, page by page. */
export async function extentsOf(port: Askable, range: Range): Promise<readonly Extent[]> {
  const end = range.offsetBytes + range.lengthBytes;
  const all: Extent[] = [];
  let from = range.offsetBytes;
  while (from < end) {
    const lengthBytes = end - from;
    const payload = encodeExtentsRequest(lengthBytes);
    const page = decodeExtents(
      await request(port, Op.extents, { offsetBytes: from, lengthBytes: 0 }, payload),
    );
    if (page === null) throw blockError('refused', `replica ${port.id} answered no extents`);
    all.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < EXTENTS_MAX) break;
    from = last.offsetBytes + last.lengthBytes;
  }
  return all;
}

export function promiseOf(
  port: MemberPort,
  epoch: number,
  instance: string,
): Promise<PromiseResult> {
  return new Promise((resolve) => {
    port.promise(epoch, instance, resolve);
  });
}

export function orderRebuild(port: MemberPort, order: RebuildRequest): Promise<RebuildAnswer> {
  return new Promise((resolve, reject) => {
    port.rebuild(order, (error, answer) => {
      if (error !== null || answer === null) {
        reject(error ?? blockError('refused', `replica ${port.id} answered nothing`));
      } else {
        resolve(answer);
      }
    });
  });
}

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.timer(delayMs, resolve);
  });
}
