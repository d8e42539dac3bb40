/** Writes tar archives (POSIX.1-1988 ustar): always the same bytes for the same entries. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;
const PREFIX_BYTES_MAX = 155;

export type TarEntry = {
  /** Relative, without `./`. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly content:
    | { readonly kind: 'folder' }
    | { readonly kind: 'link'; readonly target: string }
    | { readonly kind: 'bytes'; readonly bytes: Buffer }
    | { readonly kind: 'file'; readonly file: string; readonly sizeBytes: number };
};

/** @returns the SHA-256 of what was written to `file`, in hexadecimal. */
export async function writeTar(file: string, entries: Iterable<TarEntry>): Promise<string> {
  await using output = await open(file, 'w', 0o644);
  const hash = createHash('sha256');
  const put = async (bytes: Buffer) => {
    hash.update(bytes);
    await output.writeFile(bytes);
  };
  for (const entry of entries) {
    await put(header(entry));
    const sizeBytes = await putContent(entry, put);
    await put(Buffer.alloc(-sizeBytes & (BLOCK_BYTES - 1)));
  }
  await put(Buffer.alloc(2 * BLOCK_BYTES));
  return hash.digest('hex');
}

async function putContent(
  { path, content }: TarEntry,
  put: (bytes: Buffer) => Promise<void>,
): Promise<number> {
  if (content.kind === 'bytes') await put(content.bytes);
  if (content.kind !== 'file') return sizeOf(content);
  let sizeBytes = 0;
  for await (const chunk of createReadStream(content.file) as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    await put(chunk);
  }
  if (sizeBytes !== content.sizeBytes) throw new Error(`${path} changed while it was read`);
  return sizeBytes;
}

function sizeOf(content: TarEntry['content']): number {
  switch (content.kind) {
    case 'folder':
    case 'link':
      return 0;
    case 'bytes':
      return content.bytes.length;
    case 'file':
      return content.sizeBytes;
  }
}

function header({ path, mode, content }: TarEntry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const [prefix, name] = splitPath(content.kind === 'folder' ? `${path}/` : path);
  block.write(name, 0);
  octal(block, mode, { at: 100, length: 8 });
  // Owner and group are root.
  octal(block, 0, { at: 108, length: 8 });
  octal(block, 0, { at: 116, length: 8 });
  octal(block, sizeOf(content), { at: 124, length: 12 });
  octal(block, 0, { at: 136, length: 12 });
  block.write(typeFlag(content), 156);
  if (content.kind === 'link') block.write(content.target, 157);
  block.write('ustar\0', 257);
  block.write('00', 263);
  block.write(prefix, 345);
  // The checksum is made with itself as spaces.
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  octal(block, sum, { at: 148, length: 7 });
  return block;
}

function typeFlag(content: TarEntry['content']): string {
  switch (content.kind) {
    case 'folder':
      return '5';
    case 'link':
      return '2';
    case 'bytes':
    case 'file':
      return '0';
  }
}

function octal(block: Buffer, value: number, { at, length }: { at: number; length: number }) {
  const digits = value.toString(8).padStart(length - 1, '0');
  if (digits.length >= length) throw new Error(`${value} is too large for a field of a tar header`);
  block.write(digits, at);
  block.writeUInt8(0, at + length - 1);
}

/** A long path is cut at a slash into a prefix and a name. */
function splitPath(path: string): readonly [string, string] {
  if (Buffer.byteLength(path) <= NAME_BYTES_MAX) return ['', path];
  for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (Buffer.byteLength(prefix) > PREFIX_BYTES_MAX) break;
    if (name !== '' && Buffer.byteLength(name) <= NAME_BYTES_MAX) return [prefix, name];
  }
  throw new Error(`a tar archive cannot hold a path this long: ${path}`);
}
