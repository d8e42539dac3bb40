/** The text format of login and text PDUs: `key=value` pairs, each ended by a zero byte (§6.1). */

/** Of a public or vendor key name (RFC 7143 §6.1). */
const KEY = /^[A-Za-z][A-Za-z0-9.+@_#-]{0,62}$/;
/** Longer values exist only for binary items of authentication; nothing is longer than this. */
const VALUE_CHARACTERS_MAX = 8192;
/** More than all keys that there are: enough for anybody who is in earnest. */
const PAIR_COUNT_MAX = 64;

export type TextPair = readonly [key: string, value: string];

/** The pairs in the order they came, or null when the text is malformed. */
export function decodeText(text: Buffer): TextPair[] | null {
  if (text.length === 0) return [];
  // Beyond ASCII a name must be prepared UTF-8 (RFC 3722); ill-formed bytes never are.
  const decoded = text.toString('utf8');
  if (decoded.includes('\ufffd')) return null;
  const pairs: TextPair[] = [];
  for (const item of decoded.split('\0')) {
    // The last pair's zero byte, and zeros that some initiators pad with.
    if (item === '') continue;
    const at = item.indexOf('=');
    const key = item.slice(0, at);
    const value = item.slice(at + 1);
    if (at < 0 || !KEY.test(key) || value.length > VALUE_CHARACTERS_MAX) return null;
    pairs.push([key, value]);
    if (pairs.length > PAIR_COUNT_MAX) return null;
  }
  return pairs;
}

export function encodeText(pairs: readonly TextPair[]): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''));
}

const DECIMAL = /^(?:0|[1-9][0-9]{0,9})$/;
const HEXADECIMAL = /^0[xX][0-9A-Fa-f]{1,8}$/;

/** A numerical value (§6.1), or null when it is none or does not fit into 32 bits. */
export function decodeNumber(value: string): number | null {
  if (!DECIMAL.test(value) && !HEXADECIMAL.test(value)) return null;
  const number = Number(value);
  return number <= 0xffffffff ? number : null;
}

/**
 * Gathers a text that comes in several PDUs (the C bit). Bounded: a text that grows beyond
 * `bytesMax` is refused.
 */
export class TextGatherer {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** False: too long. */
  add(part: Buffer): boolean {
    this.#bytes += part.length;
    if (this.#bytes > this.#bytesMax) return false;
    this.#parts.push(part);
    return true;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** The whole text; begins anew. */
  take(): Buffer {
    const [only] = this.#parts;
    const whole =
      this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return whole;
  }
}
