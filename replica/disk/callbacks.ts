/** The callback calls of a File as promises: for metadata only, never per I/O. */
import type { AllocatedRange, File } from '../../core/platform/index.ts';

type Done = (error: Error | null) => void;

function settle(start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

export function writeTo(file: File, content: Buffer, offsetBytes: number): Promise<void> {
  return settle((done) => file.write(content, offsetBytes, done));
}

export function datasync(file: File): Promise<void> {
  return settle((done) => file.datasync(done));
}

export function truncate(file: File, sizeBytes: number): Promise<void> {
  return settle((done) => file.truncate(sizeBytes, done));
}

export function closeFile(file: File): Promise<void> {
  return settle((done) => file.close(done));
}

/** Shorter than asked for at the end of the file. */
export function readFrom(file: File, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(lengthBytes);
  return new Promise((resolve, reject) => {
    file.read(buffer, offsetBytes, (error, readBytes) => {
      if (error === null) resolve(buffer.subarray(0, readBytes));
      else reject(error);
    });
  });
}

export function sizeOf(file: File): Promise<number> {
  return new Promise((resolve, reject) => {
    file.sizeBytes((error, sizeBytes) => {
      if (error === null) resolve(sizeBytes);
      else reject(error);
    });
  });
}

const RANGES_PER_CALL = 1024;

/** All data ranges of the file, from `offsetBytes` on. */
export async function allocatedRanges(
  file: File,
  offsetBytes: number,
  endBytes: number,
): Promise<AllocatedRange[]> {
  const all: AllocatedRange[] = [];
  let at = offsetBytes;
  while (at < endBytes) {
    const range = { offsetBytes: at, lengthBytes: endBytes - at };
    const some = await new Promise<readonly AllocatedRange[]>((resolve, reject) => {
      file.allocatedRanges(range, RANGES_PER_CALL, (error, ranges) => {
        if (error === null) resolve(ranges);
        else reject(error);
      });
    });
    all.push(...some);
    const last = some.at(-1);
    if (last === undefined || some.length < RANGES_PER_CALL) break;
    at = last.offsetBytes + last.lengthBytes;
  }
  return all;
}
