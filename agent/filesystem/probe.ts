/** What is on a device: looked at in three ways, because a wrong "nothing" would cost the data. */
import type { File, Files } from '../../core/platform/index.ts';
import { MiB } from '../../core/units.ts';
import { type Commands, commandError, runOk } from '../host/commands.ts';

export type Content =
  /** No signature, and zeros where every kind of file system has its marks. */
  | { readonly kind: 'blank' }
  | { readonly kind: 'fileSystem'; readonly type: string; readonly uuid: string | null }
  /** Not zeros, and no signature: a file system cut short looks like that, among others. */
  | { readonly kind: 'data' }
  /** A signature of something else: a partition table, or several that contradict each other. */
  | { readonly kind: 'foreign'; readonly what: string };

export interface ProbeDependencies {
  readonly commands: Commands;
  readonly files: Files;
}

const TIMEOUT_MS = 30_000;
/** blkid(8): nothing found; and: several that contradict each other. */
const EXIT_NOTHING = 2;
const EXIT_AMBIVALENT = 8;

export const HEAD_BYTES = 4 * MiB;
export const TAIL_BYTES = MiB;
const PIECE_BYTES = MiB;

export async function probe(device: string, dependencies: ProbeDependencies): Promise<Content> {
  const found = await signature(device, dependencies);
  if (found !== null) return found;
  const sizeBytes = await deviceBytes(device, dependencies);
  const isBlank = await readsAsZeros(device, sizeBytes, dependencies.files);
  return isBlank ? { kind: 'blank' } : { kind: 'data' };
}

export async function deviceBytes(
  device: string,
  { commands }: Pick<ProbeDependencies, 'commands'>,
): Promise<number> {
  const line = ['blockdev', '--getsize64', device] as const;
  const sizeBytes = Number((await runOk(commands, line, { timeoutMs: TIMEOUT_MS })).trim());
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0) return sizeBytes;
  throw new Error(`${device} has no size`);
}

/** `-p`: by reading the device itself, never from blkid's cache. */
async function signature(device: string, { commands }: ProbeDependencies): Promise<Content | null> {
  const line = ['blkid', '-p', '-o', 'export', device] as const;
  const result = await commands.run(line, { timeoutMs: TIMEOUT_MS });
  if (result.exitCode === EXIT_NOTHING) return null;
  if (result.exitCode === EXIT_AMBIVALENT) {
    return { kind: 'foreign', what: 'several signatures that contradict each other' };
  }
  if (result.exitCode !== 0) throw commandError(line, result);
  const tags = new Map(
    result.stdout.split('\n').map((text) => {
      const index = text.indexOf('=');
      return [text.slice(0, index), text.slice(index + 1)] as const;
    }),
  );
  const type = tags.get('TYPE');
  if (type === undefined) {
    return { kind: 'foreign', what: `a ${tags.get('PTTYPE') ?? 'partition'} table or the like` };
  }
  return { kind: 'fileSystem', type, uuid: tags.get('UUID') ?? null };
}

async function readsAsZeros(device: string, sizeBytes: number, files: Files): Promise<boolean> {
  const file = await files.open(device, 'read');
  const zeros = Buffer.alloc(PIECE_BYTES);
  try {
    const head = { startBytes: 0, endBytes: Math.min(HEAD_BYTES, sizeBytes) };
    const tail = { startBytes: Math.max(0, sizeBytes - TAIL_BYTES), endBytes: sizeBytes };
    for (const { startBytes, endBytes } of [head, tail]) {
      for (let offset = startBytes; offset < endBytes; offset += PIECE_BYTES) {
        const piece = await readPiece(file, offset, Math.min(PIECE_BYTES, endBytes - offset));
        if (!piece.equals(zeros.subarray(0, piece.length))) return false;
      }
    }
    return true;
  } finally {
    await new Promise<void>((resolve) => {
      file.close(() => resolve());
    });
  }
}

/** The first bytes of a device or file. */
export async function readStart(device: string, length: number, files: Files): Promise<Buffer> {
  const file = await files.open(device, 'read');
  try {
    return await readPiece(file, 0, length);
  } finally {
    await new Promise<void>((resolve) => {
      file.close(() => resolve());
    });
  }
}

/** @throws Error also when less can be read: what is not seen cannot be called blank. */
function readPiece(file: File, offsetBytes: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length, 0xff);
  return new Promise((resolve, reject) => {
    file.read(buffer, offsetBytes, (error, readBytes) => {
      if (error !== null) reject(error);
      else if (readBytes !== length) reject(new Error(`only ${readBytes} of ${length} bytes read`));
      else resolve(buffer);
    });
  });
}
